"""`BestOf`: an engine that makes several clips of a request and gives the one that fits its prompt best."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput
from kinema.core.plan import Estimate, RunPlan
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.core.protocols import C, GenerationEngine
from kinema.core.request import MAX_SEED, GenerationRequest

# frames (t h w c) at a frame rate -> how well they fit, the better the greater
Score = Callable[..., Any]
MOST = 64
_MAX_FRESH_SEED = 2**31


class BestOf:
    """Makes ``count`` clips of each request, whose seeds lie ``step`` apart, and gives the best by ``score_of`` its prompt.

    The clip's own recipe has its seed, so it is made again without the others.
    """

    def __init__(
        self, engine: GenerationEngine[C], *, count: int, step: int = 1, score_of: Callable[[GenerationRequest], Score]
    ) -> None:  # fmt: skip
        check_whole("best_of", count, least=1, most=MOST)
        self.engine, self.count, self.step, self.score_of = engine, count, step, score_of

    def plan(self, request: GenerationRequest) -> RunPlan:
        """How one of the clips would be run."""
        return self.engine.plan(request)

    def estimate(self, request: GenerationRequest, *, plan: RunPlan | None = None) -> Estimate:
        """What one of the clips would cost."""
        return self.engine.estimate(request, plan=plan)

    def generate(
        self, request: GenerationRequest, *, observer: Observer = ignore_progress, cancel: CancelToken | None = None
    ) -> Any:
        """The best clip. Raises: KinemaError."""
        score, best = self.score_of(request), None
        first = secrets.randbelow(_MAX_FRESH_SEED) if request.seed is None else request.seed
        for number in range(self.count):
            # past the last seed it goes on from the first
            seed = (first + number * self.step) % (MAX_SEED + 1)

            def tell(event: Progress, number: int = number) -> None:
                observer(replace(event, sample=number))

            clip = self.engine.generate(request.replace(seed=seed), observer=tell, cancel=cancel)
            found = score(clip.frames, fps=clip.shape.fps)
            if best is None or found > best[0]:
                best = found, clip
        assert best is not None, "there is one at least"
        return best[1]


def judged_best_of(engine: GenerationEngine[C], count: int, *, card: ModelCard, step: int = 1) -> BestOf:
    """`BestOf` with the judges of the world, for the model of ``card``.

    Raises: InvalidInput for a model without a vocabulary, whose clips they can't judge; from `BestOf.generate` WeightsError, too.
    """
    if not card.vocabulary:
        rule = f"needs the judges, who know kinema-mini's words alone; leave --best-of out for {card.name}"
        raise InvalidInput("best_of", count, rule)

    def score_of(request: GenerationRequest) -> Score:
        from kinema.evaluation.best import Scorer, question_of
        from kinema.evaluation.judges import load_judges

        return Scorer(load_judges(), question_of(request.prompt, card.vocabulary))

    return BestOf(engine, count=count, step=step, score_of=score_of)
