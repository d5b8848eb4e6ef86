"""A model and judges without networks: clips of noise or of true scenes, and judges who know what was asked, or mistake all of it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from kinema.core.card import ModelCard
from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.evaluation.judges import WINDOW, Judges, SubjectVerdict, Verdict, looked_at
from kinema.evaluation.model import Examination, Examinee
from kinema.evaluation.questions import OF_SUBJECTS, Question, asked
from kinema.evaluation.scores import Answer, answer
from kinema.media.picture import read_picture
from kinema.prompt.normalise import normalise
from kinema.training.judge_data import places_of
from kinema.weights.folder import ModelFolder, open_model
from kinema.world.camera import camera_features
from kinema.world.render import render
from kinema.world.scene import Scene
from kinema.world.score import motion_score

USUAL = {"place": "park", "time": "day", "weather": "clear", "style": "toy", "camera": "static"}
CORE = Examination(scenes=3)


@dataclass(frozen=True, kw_only=True)
class FakeClip:
    """Frames, and what they were asked for with."""

    frames: np.ndarray
    shape: VideoShape
    request: GenerationRequest


@dataclass(kw_only=True)
class FakeEngine:
    """Makes noise of the request, or the scenes of the prompts in ``drawn``; a keyframe is its first frame. ``batches`` keeps all."""

    folder: ModelFolder
    batches: list[list[FakeClip]] = field(default_factory=list)
    drawn: Mapping[str, Scene] = field(default_factory=dict)

    @property
    def card(self) -> ModelCard:
        return self.folder.card

    def change_card(self, **changes: Any) -> None:
        """Another card for the same model."""
        (self.folder.path / "card.json").write_text(replace(self.card, **changes).to_json(), encoding="utf-8")
        self.folder = open_model(self.folder.path)

    @property
    def clips(self) -> list[FakeClip]:
        """All that were made, in order."""
        return [clip for batch in self.batches for clip in batch]

    def generate_batch(
        self, requests: Sequence[GenerationRequest], *, observer: Observer = ignore_progress, cancel: CancelToken | None = None
    ) -> list[FakeClip]:  # fmt: skip
        (cancel or CancelToken()).check("denoise")
        self.batches.append([self._clip(request) for request in requests])
        return self.batches[-1]

    def _clip(self, request: GenerationRequest) -> FakeClip:
        shape = self.card.check(request)
        if request.prompt in self.drawn:
            frames = drawn(self.drawn[request.prompt], shape).numpy().copy()
        else:
            rng = np.random.default_rng(zlib.crc32(repr(request.replace(keyframes=()).to_dict()).encode()))
            frames = rng.integers(0, 256, (shape.frames, shape.height_px, shape.width_px, 3), np.uint8)
        for keyframe in request.keyframes:
            frames[0] = read_picture(keyframe.media, width_px=shape.width_px, height_px=shape.height_px)
        return FakeClip(frames=frames, shape=shape, request=request)


@dataclass(kw_only=True)
class Knowing:
    """Judges that know what ``engine`` was asked for, and true clips of the scenes of ``questions`` under any of its cameras.

    They say so, or, if they are not ``honest``, that it isn't there.
    """

    engine: FakeEngine
    questions: Mapping[str, Question]
    honest: bool = True
    card: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
        clip = next((c for c in reversed(self.engine.clips) if np.array_equal(c.frames, frames.numpy())), None)
        said = self._of_true(frames, fps) if clip is None else self._of_asked(clip)
        assert clip is None or clip.shape.fps == fps
        return said if self.honest else mistaken(said)

    def _of_true(self, frames: Tensor, fps: float) -> Verdict:
        shape = VideoShape(frames=len(frames), height_px=frames.shape[1], width_px=frames.shape[2], fps=fps)
        scenes = dict.fromkeys(q.scene for q in self.questions.values() if q.scene is not None)
        cameras = [replace(scene, camera=c) for scene in scenes for c in self.engine.card.cameras]
        scene = next(s for s in (*scenes, *cameras) if torch.equal(drawn(s, shape), frames))
        said = verdict_of(asked(scene, language="en", seed=0), shape=shape)
        return replace(said, motion_score=motion_score(scene, shape))

    def _of_asked(self, clip: FakeClip) -> Verdict:
        fps = clip.shape.fps
        said = verdict_of(self.questions[clip.request.prompt], shape=clip.shape)
        said = replace(
            said, camera=clip.request.camera or said.camera, motion_score=clip.request.motion or said.motion_score
        )
        if clip.request.camera is not None:
            numbers = looked_at(clip.shape.frames, fps)
            said = replace(said, camera_path=camera_features(clip.request.camera, numbers, fps=fps))
        return said


@cache
def drawn(scene: Scene, shape: VideoShape) -> Tensor:
    """The true clip of ``scene``."""
    frames = render([scene], shape)[0].frames
    assert frames is not None, "asked for"
    return frames


def verdict_of(question: Question, *, shape: VideoShape | None = None, **words: str) -> Verdict:
    """What judges say of a clip that shows what ``question`` asks for, and ``words`` of the whole."""
    shape = shape or VideoShape(frames=9, height_px=32, width_px=32, fps=8.0)
    numbers, scene = looked_at(shape.frames, shape.fps), question.scene
    first = numbers[:WINDOW]
    places = torch.zeros(len(question.subjects), max(1, len(first) - 1), 3)
    if scene is not None and len(first) > 1:
        places = places_of(scene, shape)[:, first[1:]]
    seconds = (first[-1] - first[1]) / shape.fps if len(first) > 2 else 1.0
    velocities = [tuple(v) for v in ((places[:, -1] - places[:, 0]) / seconds).tolist()]
    subjects = [
        subject(velocity=v, places=p, **{n: s.get(n, "?") for n in OF_SUBJECTS})
        for s, v, p in zip(question.subjects, velocities, places, strict=True)
    ]
    whole = {**USUAL, **question.whole, **words}
    path = camera_features(whole["camera"] if scene is None else scene, numbers, fps=shape.fps)
    return Verdict(
        subjects=tuple(subjects), camera_path=path, motion_score=40, background_kept=1.0,
        times_s=tuple(n / shape.fps for n in numbers), sureness={}, **whole,
    )  # fmt: skip


def subject(kind: str = "cat", colour: str = "red", action: str = "walk", **other: Any) -> SubjectVerdict:
    """A subject that judges see."""
    places = {"boxes": torch.zeros(2, 4), "places": torch.zeros(1, 3), "velocity": (0.0, 0.0, 0.0)}
    seen = {**places, "kept": 1.0, "sureness": {"kind": 0.9}, "events": (), **other}
    return SubjectVerdict(kind=kind, colour=colour, action=action, **seen)


def surely(verdict: Verdict) -> Verdict:
    """``verdict`` as one that says how sure it is: three quarters of the whole, half of each subject."""
    subjects = tuple(replace(s, sureness=dict.fromkeys((*OF_SUBJECTS, "there"), 0.5)) for s in verdict.subjects)
    return replace(verdict, subjects=subjects, sureness=dict.fromkeys(USUAL, 0.75))


def mistaken(verdict: Verdict) -> Verdict:
    """``verdict`` with no word as it was, nothing kept, and one subject too few, or of one alone one too many."""
    subjects = [
        replace(s, kind=f"no {s.kind}", colour=f"no {s.colour}", action=f"no {s.action}", kept=0.0)
        for s in verdict.subjects
    ]
    whole = {name: f"no {getattr(verdict, name)}" for name in USUAL}
    others = subjects[:-1] if len(subjects) > 1 else subjects * 2
    return replace(verdict, subjects=tuple(others), background_kept=0.0, **whole)


def answers(question: Question, *right: bool) -> list[Answer]:
    """An answer each, right in all or wrong in all."""
    said = verdict_of(question)
    return [answer(question, said if is_right else mistaken(said)) for is_right in right]


def fake_engine(folder: Path, card: ModelCard, **changes: Any) -> FakeEngine:
    """A model folder without tensors, and its engine; ``changes`` are the card's."""
    folder.mkdir()
    (folder / "card.json").write_text(replace(card, vocabulary={}, **changes).to_json(), encoding="utf-8")
    (folder / "model_index.json").write_text('{"_class_name": "Toy"}', encoding="utf-8")
    return FakeEngine(folder=open_model(folder))


def examinee_of(
    engine: FakeEngine, examination: Examination = CORE, *, honest: bool = True, **how: Any,
) -> Examinee:  # fmt: skip
    """An examinee whose judges know all that it may be asked."""
    judges = Knowing(engine=engine, questions={}, honest=honest)
    examinee = Examinee(cast(Engine, engine), cast(Judges, judges), examination, **how)
    asked_for = examinee.asked()
    for number, scene in enumerate(examinee.scenes()):
        for shown in (scene, replace(scene, camera="static")):
            asked_for.append(asked(shown, language="en", seed=number))
    judges.questions = {normalise(q.prompt): q for q in asked_for}
    return examinee
