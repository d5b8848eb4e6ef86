"""What a model makes of conditions that are no words: a camera class, a motion score, a first frame."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch

from kinema.core.media_ref import Keyframe, MediaRef
from kinema.evaluation.judges import KEPT, looked_at
from kinema.evaluation.measures import flicker, path_errors, psnr, spearman
from kinema.evaluation.model import Examinee, Made
from kinema.evaluation.questions import Question, asked
from kinema.evaluation.scores import matched, share_of, shares
from kinema.media.write import write_picture
from kinema.training.judge_data import places_of
from kinema.world.camera import camera_features
from kinema.world.render import render
from kinema.world.scene import Scene

MOTIONS = (16, 64, 128, 200)


def conditions(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """What is measured of every condition that the model takes, by its name; nothing of a model that makes pictures."""
    card = examinee.engine.card
    kinds = {"camera": camera, "motion": motion, "keyframes": first_frame}
    taken = [name for name in kinds if name in card.conditions and (name != "camera" or _classes(examinee))]
    return {name: kinds[name](examinee, scenes) for name in taken} if examinee.shape.frames > 2 else {}


def camera(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Camera classes: how often each is seen, and how far the path is from the one that was asked for (`path_errors`, medians)."""
    classes = _classes(examinee)
    rows = [
        replace(q, whole={"camera": c}) for c in classes for q in _at_rest(scenes[: -(-len(scenes) // len(classes))])
    ]
    made = list(examinee.make([(q, examinee.request(q.prompt, q.seed, camera=q.whole["camera"])) for q in rows]))
    errors = [path_errors(m.answer.verdict.camera_path, _path(m)) for m in made]
    by_class = {c: [m.answer.right["camera"] for m in made if m.question.whole["camera"] == c] for c in classes}
    return {
        "all": share_of([m.answer.right["camera"] for m in made]),
        "classes": {c: share_of(right) for c, right in by_class.items()},
        "path_medians": {name: round(median(e[name] for e in errors), 4) for name in errors[0]},
    }


def motion(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Motion scores asked for against those that are measured: their rank correlation, and the mean of each."""
    rows = [(q, score) for q in _at_rest(scenes[: -(-len(scenes) // len(MOTIONS))]) for score in MOTIONS]
    made = list(examinee.make([(q, examinee.request(q.prompt, q.seed, motion=score)) for q, score in rows]))
    pairs = [(score, m.answer.verdict.motion_score) for (_, score), m in zip(rows, made, strict=True)]
    return {
        "spearman": round(spearman([a for a, _ in pairs], [b for _, b in pairs]), 4),
        "measured_means": {str(score): round(mean(b for a, b in pairs if a == score), 1) for score in MOTIONS},
        "clips": len(pairs),
    }


def first_frame(examinee: Examinee, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Clips that begin with the true first frame: what is right, what is kept, and how near the others are to the true ones.

    ``psnr_db`` of frames 2 to the end against the true clip stands beside that of standing still; ``nearer`` is the share of clips that
    beat it. Velocities are in subject heights a second, of the first subject.
    """
    shape = examinee.shape
    numbers = looked_at(shape.frames, shape.fps)
    questions = [asked(scene, language="en", seed=n) for n, scene in enumerate(scenes)]
    true = [_drawn(scene, examinee) for scene in scenes]
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for number, (question, frames) in enumerate(zip(questions, true, strict=True)):
            path = Path(folder) / f"{number}.png"
            write_picture(path, frames[0].numpy())
            keyframes = (Keyframe(MediaRef(str(path))),)
            rows.append((question, examinee.request(question.prompt, number, keyframes=keyframes)))
        made = list(examinee.make(rows))
    clips = [torch.from_numpy(m.clip.frames) for m in made]
    own = [psnr(clip[1:], frames[1:]) for clip, frames in zip(clips, true, strict=True)]
    still = [psnr(frames[:1].expand(len(frames) - 1, -1, -1, -1), frames[1:]) for frames in true]
    places = [places_of(scene, shape)[0, numbers] for scene in scenes]
    speeds = [(p[-1] - p[1]) / max(1, numbers[-1] - numbers[1]) * shape.fps for p in places]
    firsts = [matched(m.question.subjects, m.answer.verdict.subjects)[0] for m in made]
    seen = [(first, speed) for first, speed in zip(firsts, speeds, strict=True) if first is not None]
    return {
        "words": shares([m.answer for m in made]),
        "psnr_db": round(median(own), 2),
        "psnr_db_of_standing_still": round(median(still), 2),
        "nearer": share_of([a > b for a, b in zip(own, still, strict=True)]),
        "first_frame_psnr_db": round(median(psnr(c[:1], t[:1]) for c, t in zip(clips, true, strict=True)), 2),
        "velocity_error": round(median(float((torch.tensor(s.velocity) - v).norm()) for s, v in seen), 4)
        if seen
        else None,
        **kept(made),
    }


def kept(made: Sequence[Made]) -> dict[str, Any]:
    """How many clips keep their first subject and their background, and how much they flicker (grey levels, median)."""
    seen = [m.answer.verdict for m in made]
    return {
        "identity_kept": share_of([bool(v.subjects) and v.subjects[0].kept >= KEPT for v in seen]),
        "background_kept": share_of([v.background_kept >= KEPT for v in seen]),
        "flicker": round(median(flicker(torch.from_numpy(m.clip.frames)) for m in made), 3),
    }


def true_flicker(examinee: Examinee, scenes: Sequence[Scene]) -> float:
    """That of true clips of ``scenes``, which a model's stands beside."""
    return round(median(flicker(_drawn(scene, examinee)) for scene in scenes), 3)


def _classes(examinee: Examinee) -> list[str]:
    """The camera's classes but for tracking: what that follows is the clip's own."""
    return [c for c in examinee.engine.card.cameras if c != "tracking"]


def _at_rest(scenes: Sequence[Scene]) -> list[Question]:
    """Questions whose words say nothing of the camera."""
    return [asked(replace(scene, camera="static"), language="en", seed=n) for n, scene in enumerate(scenes)]


def _path(made: Made) -> torch.Tensor:
    shape = made.clip.shape
    return camera_features(made.question.whole["camera"], looked_at(shape.frames, shape.fps), fps=shape.fps)


def _drawn(scene: Scene, examinee: Examinee) -> torch.Tensor:
    examinee.cancel.check("evaluate")
    frames = render([scene], examinee.shape)[0].frames
    assert frames is not None, "asked for"
    return frames
