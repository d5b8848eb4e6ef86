"""What the API needs of models, without loading one; `kinema.app.planner` implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kinema.core.card import ModelCard
from kinema.core.request import GenerationRequest
from kinema.serve.jobs.job import Order


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A request that one of the models can carry out.

    ``request`` is what a worker runs: seed, steps, guidance, frames, size and fps are filled in and the prompt is the one that the
    model reads; ``warnings`` tell what is not as it was asked for. The rest is as in `Order`.
    """

    request: GenerationRequest
    warnings: tuple[str, ...]
    shape: str
    steps: int
    cost: float
    plan_key: str

    def order(
        self, asked: GenerationRequest, *, warnings: Sequence[str] = (), rewrites: bool = True, **fields: Any
    ) -> Order:
        """The order of a job: ``request`` as it was asked for, and in ``resolved``:

        ``{"request": what a worker runs, as `GenerationRequest.to_dict` gives it, "warnings": [...]}``, and what a change of the job goes
        on from: ``"rewrite"``, whether its prompt may be rewritten, and ``"dialect_warnings"``, of what its dialect mapped (``warnings``).
        """
        return Order(
            model=self.request.model,
            request=asked.to_dict(),
            resolved={
                "request": self.request.to_dict(),
                "warnings": [*warnings, *self.warnings],
                "rewrite": rewrites,
                "dialect_warnings": list(warnings),
            },
            shape=self.shape,
            steps=self.steps,
            cost=self.cost,
            plan_key=self.plan_key,
            **fields,
        )


class Planner(Protocol):
    """The models that this server has, and what they make of requests."""

    @property
    def models(self) -> Mapping[str, ModelCard]:
        """Name -> card; the first is the default."""
        ...

    def resolve(self, request: GenerationRequest, *, rewrites: bool = True) -> Planned:
        """``request`` with every choice made; ``rewrites``: its prompt may be put in the words that the model was trained on.

        Raises: InvalidInput for what its model can't do, RefusedContent.
        """
        ...

    def dry_run(self, planned: Planned) -> Mapping[str, Any]:
        """``{"plan": ..., "estimate": ..., "placements": [...], "fits": bool | None, "memory_bytes": int | None}``, JSON-ready."""
        ...
