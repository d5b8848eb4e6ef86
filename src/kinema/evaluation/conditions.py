"""What a model makes of conditions that are no words: a camera class, a motion score, a first frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.media_ref import Keyframe, MediaRef
from kinema.evaluation.judges import KEPT, Verdict, looked_at
from kinema.evaluation.measures import Frames, path_errors, psnr, spearman
from kinema.evaluation.model import Examinee, Made, Seen
from kinema.evaluation.questions import Question, asked
from kinema.evaluation.scores import matched, share_of, shares
from kinema.media.write import write_picture
from kinema.training.judge_data import places_of
from kinema.world.camera import camera_features
from kinema.world.scene import Scene
from kinema.world.score import motion_score

MOTIONS = (16, 64, 128, 200)


Measure = Callable[[Examinee, Sequence[Scene]], dict[str, Any]]


def conditions(examinee: Examinee) -> dict[str, Measure]:
    """How each condition that the model takes is measured, by its name; none of a model that makes pictures."""
    card = examinee.engine.card
    kinds: dict[str, Measure] = {"camera": camera, "motion": motion, "keyframes": first_frame}
    taken = [name for name in kinds if name in card.conditions and (name != "camera" or _classes(examinee))]
    return {name: kinds[name] for name in taken} if examinee.shape.frames > 2 else {}


def camera(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Camera classes: how often each is seen, and how far the path is from the one that was asked for (`path_errors`, medians).

    ``floor`` is the same of true clips of the same scenes, seen by that camera.
    """
    classes = _classes(examinee)
    some = scenes[: -(-len(scenes) // len(classes))]
    rows = [
        (replace(q, whole={"camera": c}), scene) for c in classes for q, scene in zip(_at_rest(some), some, strict=True)
    ]
    asked_for = [(q, examinee.request(q.prompt, q.seed, camera=q.whole["camera"])) for q, _ in rows]
    shape = examinee.shape
    numbers = looked_at(shape.frames, shape.fps)
    own = [
        _Filmed(
            name=(c := m.question.whole["camera"]),
            verdict=m.answer.verdict,
            path=camera_features(c, numbers, fps=shape.fps),
        )
        for m in examinee.make(asked_for)
    ]
    true = []
    for question, scene in rows:
        filmed = replace(scene, camera=question.whole["camera"])
        verdict = examinee.judges(examinee.drawn(filmed), fps=shape.fps)
        path = camera_features(filmed, numbers, fps=shape.fps)
        true.append(_Filmed(name=filmed.camera, verdict=verdict, path=path))
    return {**_camera_table(own), "floor": _camera_table(true)}


def motion(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Motion scores asked for against those that are measured: their rank correlation, and the mean of each.

    ``floor`` is the correlation of what is measured in true clips with their true scores.
    """
    some = scenes[: -(-len(scenes) // len(MOTIONS))]
    rows = [(q, score) for q in _at_rest(some) for score in MOTIONS]
    made = examinee.make([(q, examinee.request(q.prompt, q.seed, motion=score)) for q, score in rows])
    pairs = [(score, m.answer.verdict.motion_score) for (_, score), m in zip(rows, made, strict=True)]
    shape = examinee.shape
    true = [(motion_score(s, shape), examinee.judges(examinee.drawn(s), fps=shape.fps).motion_score) for s in scenes]
    return {
        "spearman": round(spearman([a for a, _ in pairs], [b for _, b in pairs]), 4),
        "measured_means": {str(score): round(mean(b for a, b in pairs if a == score), 1) for score in MOTIONS},
        "clips": len(pairs),
        "floor": {"spearman": round(spearman([a for a, _ in true], [b for _, b in true]), 4), "clips": len(true)},
    }


def first_frame(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Clips that begin with the true first frame: what is right, what is kept, and how near the others are to the true ones.

    ``psnr_db`` of frames 2 to the end against the true clip stands beside that of standing still; ``nearer`` is the share of clips that
    beat it. Velocities are in subject heights a second, of the first subject that was asked for; the floors of the rest are those of
    the words.
    """
    questions = [asked(scene, language="en", seed=n) for n, scene in enumerate(scenes)]
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for number, (question, scene) in enumerate(zip(questions, scenes, strict=True)):
            path = Path(folder) / f"{number}.png"
            write_picture(path, examinee.drawn(scene)[0].numpy())
            keyframes = (Keyframe(MediaRef(str(path))),)
            rows.append((question, examinee.request(question.prompt, number, keyframes=keyframes)))
        found = [
            _continued(m, scene, examinee.drawn(scene)) for m, scene in zip(examinee.make(rows), scenes, strict=True)
        ]
    errors = [one.velocity_error for one in found if one.velocity_error is not None]
    return {
        "words": shares([one.seen.answer for one in found]),
        "psnr_db": round(median(one.psnr_db for one in found), 2),
        "psnr_db_of_standing_still": round(median(one.still_db for one in found), 2),
        "nearer": share_of([one.psnr_db > one.still_db for one in found]),
        "first_frame_psnr_db": round(median(one.first_db for one in found), 2),
        "velocity_error": round(median(errors), 4) if errors else None,
        **kept([one.seen for one in found]),
    }


@dataclass(frozen=True, kw_only=True)
class _Continued:
    """How a clip goes on from the true first frame."""

    seen: Seen
    psnr_db: float
    still_db: float
    first_db: float
    velocity_error: float | None


def _continued(made: Made, scene: Scene, true: Frames) -> _Continued:
    clip, shape = torch.from_numpy(made.clip.frames), made.clip.shape
    first = matched(made.question.subjects, made.answer.verdict.subjects)[0]
    error = None
    if first is not None and len(first.places) > 1:
        numbers = looked_at(shape.frames, shape.fps)
        last = len(first.places)
        places = places_of(scene, shape)[0, numbers]
        speed = (places[last] - places[1]) / (numbers[last] - numbers[1]) * shape.fps
        error = float((torch.tensor(first.velocity) - speed).norm())
    return _Continued(
        seen=Seen.of(clip, made.answer), psnr_db=psnr(clip[1:], true[1:]), first_db=psnr(clip[:1], true[:1]),
        still_db=psnr(true[:1].expand(len(true) - 1, -1, -1, -1), true[1:]), velocity_error=error,
    )  # fmt: skip


def kept(seen: Sequence[Seen]) -> dict[str, Any]:
    """How many clips keep all their subjects and their background, and how much they flicker (grey levels, median)."""
    verdicts = [one.answer.verdict for one in seen]
    if not verdicts or any(v.unseen for v in verdicts):
        return {}  # in a picture nothing could change
    return {
        "identity_kept": share_of([v.identity_kept >= KEPT for v in verdicts]),
        "background_kept": share_of([v.background_kept >= KEPT for v in verdicts]),
        "flicker": round(median(one.flicker for one in seen), 3),
    }


@dataclass(frozen=True, kw_only=True)
class _Filmed:
    """A clip that was asked for with the camera ``name``, along ``path``, and what is seen in it."""

    name: str
    verdict: Verdict
    path: Float[Tensor, "t 7"]


def _camera_table(clips: Sequence[_Filmed]) -> dict[str, Any]:
    errors = [path_errors(one.verdict.camera_path, one.path) for one in clips]
    by_class: dict[str, list[bool]] = {}
    for one in clips:
        by_class.setdefault(one.name, []).append(one.verdict.camera == one.name)
    return {
        "all": share_of([is_right for right in by_class.values() for is_right in right]),
        "classes": {name: share_of(right) for name, right in by_class.items()},
        "path_medians": {name: round(median(e[name] for e in errors), 4) for name in errors[0]},
    }


def _classes(examinee: Examinee) -> list[str]:
    """The camera's classes but for tracking: what that follows is the clip's own."""
    return [c for c in examinee.engine.card.cameras if c != "tracking"]


def _at_rest(scenes: Sequence[Scene]) -> list[Question]:
    """Questions whose words say nothing of the camera."""
    return [asked(replace(scene, camera="static"), language="en", seed=n) for n, scene in enumerate(scenes)]
