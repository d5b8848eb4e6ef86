"""`StepCache`: in some denoising steps a transformer's blocks aren't run; what they added in the last computed step is added again.

The ways in and out of the blocks are run in every step: there the new latents and noise level enter. Reusing what the blocks add,
and not the velocity (which would only make one long step of two), is TeaCache's idea (Liu et al. 2024, arXiv:2411.19108); which
steps are left out is known beforehand here (`kinema.core.skips`) and doesn't depend on the latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.flow.guidance import step_of
from kinema.flow.steppers import Predictor

_SEAM = "through_blocks"


class StepCache:
    """A context in which ``networks`` run their blocks in the ``computed`` steps alone. It must be told of each step: `at`.

    A network may be called several times in a step, as where guidance is split: each call has what it added itself. Steppers must ask
    once a step. Memory: a tensor of the video tokens for every call of a step.
    Raises: InvalidInput for a network whose blocks can't be left out.
    """

    def __init__(self, networks: Sequence[nn.Module], computed: Sequence[bool]) -> None:
        for network in networks:
            if not hasattr(network, _SEAM):
                raise InvalidInput(
                    "cache_level", type(network).__name__, "has no blocks that can be left out; must be 0"
                )
        self._networks, self._computed = tuple(networks), tuple(computed)
        self._step, self._calls = 0, 0
        self._added: dict[tuple[int, int], Tensor] = {}

    def __enter__(self) -> StepCache:
        for number, network in enumerate(self._networks):
            setattr(network, _SEAM, self._cached(number, getattr(network, _SEAM)))
        return self

    def __exit__(self, *_: object) -> None:
        for network in self._networks:
            delattr(network, _SEAM)  # the class's own is there again
        self._added.clear()

    def at(self, step: int) -> None:
        """The networks' next calls belong to ``step``."""
        self._step, self._calls = step, 0

    def predictor(self, predict: Predictor, sigmas: Tensor) -> Predictor:
        """``predict``, which says at every call in which step of ``sigmas`` it is."""

        def counted(x: Tensor, sigma: Tensor) -> Tensor:
            self.at(step_of(sigmas, sigma))
            return predict(x, sigma)

        return counted

    def _cached(self, network: int, blocks: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(tokens: Tensor, *others: Any) -> Tensor:
            call = network, self._calls
            self._calls += 1
            added = None if self._computed[self._step] else self._added.get(call)
            if added is not None:
                return tokens + added
            out = blocks(tokens, *others)
            self._added[call] = out - tokens
            return out

        return run
