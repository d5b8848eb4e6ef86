"""A model under examination: clips of questions, made in batches, and what the judges see in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Observer, Progress, StepClock, ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine.clip import Clip
from kinema.engine.engine import Engine
from kinema.engine.resolve import resolve
from kinema.evaluation.judges import Judges
from kinema.evaluation.measures import Frames, flicker
from kinema.evaluation.questions import SUITES, Question, questions
from kinema.evaluation.scores import Answer, answer
from kinema.prompt.normalise import normalise
from kinema.training.prepare import draw
from kinema.world.captions import LANGUAGES
from kinema.world.sampler import DIFFICULTIES, SPLITS
from kinema.world.scene import Scene

_BATCH = 8
_MOST = 10_000  # scenes, and clips of a prompt
_SEED_STEP = 1_000_003  # from one seed of a prompt to the next


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What a model is asked: ``scenes`` of each suite in each language, each prompt with ``seeds`` seeds; the rest as in a request.

    ``buckets`` scenes are also asked for in every size and length (`kinema.evaluation.buckets`).
    """

    split: str = "test"
    difficulty: str = "core"
    suites: tuple[str, ...] = ("plain",)
    scenes: int = 64
    seeds: int = 1
    buckets: int = 0
    languages: tuple[str, ...] = LANGUAGES
    size: str | None = None
    steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        for name, value, options in (("split", self.split, SPLITS), ("difficulty", self.difficulty, DIFFICULTIES)):
            if value not in options:
                raise InvalidInput(name, value, f"must be {choices(options)}")
        for name, values, options in (("suites", self.suites, SUITES), ("languages", self.languages, LANGUAGES)):
            if unknown := [v for v in values if v not in options]:
                raise InvalidInput(name, unknown[0], f"must be {choices(options)}")
            if not values:
                raise InvalidInput(name, "", f"must be at least {choices(options)}")
            if twice := [v for v in options if values.count(v) > 1]:
                raise InvalidInput(name, twice[0], "is named twice; its answers would count twice")
        for name in ("scenes", "seeds"):
            check_whole(name, getattr(self, name), least=1, most=_MOST)
        check_whole("buckets", self.buckets, least=0, most=_MOST)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A clip that came, and how it fits the question; to be looked at and let go."""

    clip: Clip
    answer: Answer

    @property
    def question(self) -> Question:
        """What was asked."""
        return self.answer.question


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is kept of a clip when it is gone."""

    answer: Answer
    flicker: float

    @classmethod
    def of(cls, frames: Frames, answer: Answer) -> Seen:
        """What is kept of ``frames``."""
        return cls(answer=answer, flicker=flicker(frames))


class Examinee:
    """The model of ``engine`` as ``judges`` see it."""

    def __init__(
        self, engine: Engine, judges: Judges, examination: Examination, *, observer: Observer = ignore_progress,
        cancel: CancelToken | None = None,
    ) -> None:  # fmt: skip
        self.engine, self.judges, self.examination = engine, judges, examination
        self.observer, self.cancel = observer, cancel or CancelToken()
        # a model that takes no camera is asked for one at rest, which no caption mentions
        self.vocabulary = {**engine.card.vocabulary, "camera": dict.fromkeys(engine.card.cameras or ("static",))}

    @property
    def shape(self) -> VideoShape:
        """What all clips are made at."""
        return resolve(self.request("a", 0), self.engine.card, model=self.engine.folder.name).video

    def questions(
        self, suite: str, *, languages: Sequence[str] | None = None, count: int | None = None
    ) -> list[Question]:
        """Those of ``suite`` whose words the model knows, about ``count`` scenes or the examination's number. Raises: InvalidInput."""
        one = self.examination
        return questions(
            suite, count or one.scenes, vocabulary=self.vocabulary, split=one.split, difficulty=one.difficulty,
            languages=languages or one.languages,
        )  # fmt: skip

    def scenes(self) -> list[Scene]:
        """The scenes of the plain suite."""
        return [q.scene for q in self.questions("plain", languages=LANGUAGES[:1]) if q.scene is not None]

    def request(self, prompt: str, seed: int, **conditions: Any) -> GenerationRequest:
        """The request for a clip of ``prompt``."""
        one = self.examination
        return GenerationRequest(
            prompt=normalise(prompt), seed=seed, size=one.size, steps=one.steps, guidance=one.guidance, **conditions
        )

    def asked(self) -> list[Question]:
        """The questions of all suites. Raises: InvalidInput."""
        return [q for suite in self.examination.suites for q in self.questions(suite)]

    def words(self, asked: Sequence[Question]) -> Iterator[Made]:
        """The clips of ``asked``, each with every seed."""
        seeds = range(self.examination.seeds)
        return self.make([(q, self.request(q.prompt, q.seed + k * _SEED_STEP)) for q in asked for k in seeds])

    def make(self, asked: Sequence[tuple[Question, GenerationRequest]]) -> Iterator[Made]:
        """The clips of ``asked`` and what is seen in them, in order. Raises: Cancelled."""
        starts = range(0, len(asked), _BATCH)
        clock = StepClock(steps=len(starts))  # a batch is a step: its clips come all at once
        for start in starts:
            part = asked[start : start + _BATCH]
            self.cancel.check("evaluate")
            clips = self.engine.generate_batch([request for _, request in part], cancel=self.cancel)
            verdicts = []
            for clip in clips:
                self.cancel.check("evaluate")
                verdicts.append(self.judges(torch.from_numpy(clip.frames), fps=clip.shape.fps))
            self.observer(Progress(phase="evaluate", step=start + len(part), steps=len(asked), eta_s=clock.tick()))
            for (question, _), clip, verdict in zip(part, clips, verdicts, strict=True):
                yield Made(clip=clip, answer=answer(question, verdict))

    def drawn(self, scene: Scene, shape: VideoShape | None = None) -> Frames:
        """The true clip of ``scene`` in ``shape``, or in the examination's. Raises: Cancelled."""
        self.cancel.check("evaluate")
        return next(draw([scene], shape or self.shape, "cpu"))

    def floor(self, asked: Sequence[Question]) -> list[Seen]:
        """How true clips of the scenes of ``asked`` fit, each once: no model's clips can fit better by merit. Raises: Cancelled."""
        scenes = {q.scene_key: q for q in asked if q.scene is not None}
        clock, found = StepClock(steps=len(scenes)), []
        for step, question in enumerate(scenes.values(), 1):
            assert question.scene is not None, "chosen so"
            frames = self.drawn(question.scene)
            found.append(Seen.of(frames, answer(question, self.judges(frames, fps=self.shape.fps))))
            self.observer(Progress(phase="evaluate", step=step, steps=len(scenes), eta_s=clock.tick()))
        return found
