"""How often the judges are right on true renders: the floor below which no score of a model means anything.

A clip's subjects are matched to the true ones by where they are, so an attribute is scored on the subject that is meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.evaluation.judges import FPS, KEPT, Judges, SubjectVerdict, Verdict, looked_at
from kinema.evaluation.measures import path_errors
from kinema.evaluation.statistics import wilson
from kinema.training.judge_data import boxes_of, places_of
from kinema.training.prepare import draw
from kinema.world.camera import camera_features
from kinema.world.edits import edit
from kinema.world.events import events
from kinema.world.geometry import geometry
from kinema.world.nature import PLACES
from kinema.world.scene import Scene
from kinema.world.score import score_of_flow

Frames = UInt8[Tensor, "t h w 3"]
WORDS = ("place", "time", "weather", "style", "camera")
_CONTACTS, _SOFT = ("impact", "hit_ground"), 0.6  # contacts slower than this, in heights a second, can't be seen
_VISIBLE = 0.01  # of the picture
_SIDE_PX = 64  # at which it is looked up where subjects truly are
FIRST_SEED = 700_000  # of the scenes that floors are of
_NEAR = 0.25  # of the picture: a verdict further from a subject than this isn't of it
_SOON_S = 0.15  # an event is found if one of its kind, and of no other event, is said to be at most this far from it


@dataclass
class Tally:
    """Right and asked, by attribute; ``errors`` holds measured differences."""

    right: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    confused: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, name: str, said: object, wanted: object) -> None:
        """Counts one answer."""
        self.asked[name] = self.asked.get(name, 0) + 1
        self.right[name] = self.right.get(name, 0) + (said == wanted)
        if said != wanted:
            pair = f"{wanted} -> {said}"
            rows = self.confused.setdefault(name, {})
            rows[pair] = rows.get(pair, 0) + 1

    def measure(self, name: str, error: float) -> None:
        """Notes one difference."""
        self.errors.setdefault(name, []).append(error)

    def table(self) -> dict[str, Any]:
        """Shares with their 95 % intervals and the commonest confusions; medians and 90th percentiles of the differences."""
        shares = {}
        for name, total in self.asked.items():
            share = self.right[name] / total
            low, high = wilson(self.right[name], total)
            worst = sorted(self.confused.get(name, {}).items(), key=lambda kv: -kv[1])[:5]
            shares[name] = {
                "share": round(share, 4), "interval_95": [round(low, 4), round(high, 4)], "asked": total, "confused": dict(worst)
            }  # fmt: skip
        errors = {}
        for name, values in self.errors.items():
            ordered = torch.tensor(values, dtype=torch.float64)
            errors[name] = {
                "median": round(float(ordered.quantile(0.5)), 4), "p90": round(float(ordered.quantile(0.9)), 4), "asked": len(values)
            }  # fmt: skip
        return {"right": shares, "errors": errors}


def floors(
    judges: Judges, scenes: Sequence[Scene], shape: VideoShape, *, after: Callable[[Frames], Frames] | None = None
) -> dict[str, Any]:
    """The `Tally.table` of ``scenes`` rendered at ``shape``; ``after`` changes the frames first, as an autoencoder does."""
    tally = Tally()
    for number, scene in enumerate(scenes):
        frames = _drawn(scene, shape, after)
        compare(judges(frames, fps=shape.fps), scene, shape, tally)
        if shape.frames == 1:
            continue  # nothing changes in a picture
        cut = shape.frames // 2
        for name, other in changed(scene, seed=number).items():
            spliced = torch.cat([frames[:cut], _drawn(other, shape, after)[cut:]])
            verdict = judges(spliced, fps=shape.fps)
            # who sees no subject doesn't see that it is another one
            identity = verdict.identity_kept if verdict.subjects else 1.0
            kept = verdict.background_kept if name == "background" else identity
            tally.add(f"{name}_changed", kept < KEPT, wanted=True)
    return tally.table()


def changed(scene: Scene, *, seed: int) -> dict[str, Scene]:
    """``scene`` with another subject and with another background: what a clip that cuts to it doesn't keep."""
    out: dict[str, Scene] = {}
    with suppress(InvalidInput):  # where nothing else could do what this one does
        out["identity"] = edit(scene, seed=seed, kind=("recolour", "replace")[seed % 2]).after
    others = [name for name, place in PLACES.items() if name != scene.place and place == PLACES[scene.place]]
    if others:
        out["background"] = replace(scene, place=others[seed % len(others)])
    return out


def _drawn(scene: Scene, shape: VideoShape, after: Callable[[Frames], Frames] | None) -> Frames:
    frames = next(draw([scene], shape, "cpu"))
    return after(frames) if after else frames


def compare(verdict: Verdict, scene: Scene, shape: VideoShape, tally: Tally) -> None:
    """Adds to ``tally`` how ``verdict`` agrees with what is true of ``scene``."""
    for name in WORDS:
        if name not in verdict.unseen:
            tally.add(name, getattr(verdict, name), getattr(scene, name))
    exact, numbers = geometry(scene, _coarse(shape)), looked_at(shape.frames, shape.fps)
    boxes = boxes_of(exact.owner[numbers], len(scene.subjects))
    visible = [n for n in range(len(scene.subjects)) if is_visible(exact.owner[numbers] == n)]
    tally.add("count", verdict.count, len(visible))
    places = places_of(scene, shape)[:, numbers]
    acted_on = {s.target for s in scene.subjects}
    for number, found in match(verdict.subjects, boxes, visible).items():
        subject = scene.subjects[number]
        tally.add("kind", found and found.kind, subject.kind)
        tally.add("colour", found and found.colour, subject.colour)
        if number not in acted_on and "action" not in verdict.unseen:
            tally.add("action", found and found.action, subject.action)
        if found is None:
            continue
        if len(numbers) > 1:
            last = len(found.places)
            off = (found.places - places[number, 1 : last + 1]).square().sum(-1).sqrt()
            tally.measure("position_heights", float(off.mean()))
        if len(numbers) > 2:
            speed = (places[number, last] - places[number, 1]) / (verdict.times_s[last] - verdict.times_s[1])
            tally.measure(
                "velocity_heights_a_second", float((torch.tensor(found.velocity) - speed).square().sum().sqrt())
            )
    if len(numbers) == 1:
        return
    tally.add("identity_kept", verdict.identity_kept >= KEPT, wanted=True)
    tally.add("background_kept", verdict.background_kept >= KEPT, wanted=True)
    _compare_events(verdict, scene, shape, tally)
    for name, error in path_errors(verdict.camera_path, camera_features(scene, numbers, fps=shape.fps)).items():
        tally.measure(f"camera_{name}", error)
    tally.measure("motion_score", abs(verdict.motion_score - score_of_flow(exact.flow, fps=shape.fps)))


def is_visible(mask: Bool[Tensor, "t h w"]) -> bool:
    """Whether a subject with this ``mask`` is there to be seen: `_VISIBLE` of the picture in most frames."""
    return float((mask.float().mean((1, 2)) >= _VISIBLE).float().mean()) > 0.5


def _compare_events(verdict: Verdict, scene: Scene, shape: VideoShape, tally: Tally) -> None:
    """What happens to subjects: whether it is found near its time, and of pairs whether causes come before effects."""
    seconds = (shape.frames - 1) / shape.fps
    happening = [e for e in events(scene, seconds) if e.subject is not None]
    true = [(e.kind, e.time_s) for e in happening if not (e.kind in _CONTACTS and e.strength < _SOFT)]
    soft = [(e.kind, e.time_s) for e in happening if e.kind in _CONTACTS and e.strength < _SOFT]
    said = [(kind, time_s) for kind, time_s, _ in verdict.events]
    pairs = one_to_one(true, said)
    for number, (kind, _) in enumerate(true):
        tally.add("event", kind if number in pairs else None, kind)
    for number, other in pairs.items():
        tally.measure("event_seconds", abs(true[number][1] - said[other][1]))
    for number, one in enumerate(said):
        if number in pairs.values() or not one_to_one(soft, [one]):
            tally.add("event_said", number in pairs.values(), wanted=True)
    if any(s.target is not None for s in scene.subjects):
        wanted, found = first_times(true), first_times(said)
        pairs = [(a, b) for a in wanted for b in wanted if wanted[b] - wanted[a] > 2 / min(FPS, shape.fps)]
        if pairs:
            is_right = all(a in found and b in found and found[a] < found[b] for a, b in pairs)
            tally.add("order", is_right, wanted=True)


def one_to_one(true: Sequence[tuple[str, float]], said: Sequence[tuple[str, float]]) -> dict[int, int]:
    """Which of ``said`` stands for which of ``true`` happenings (kind, seconds): the nearest pairs first, each once."""
    near = sorted(
        (abs(time_s - other_s), n, m)
        for n, (kind, time_s) in enumerate(true)
        for m, (other, other_s) in enumerate(said)
        if kind == other and abs(time_s - other_s) <= _SOON_S
    )
    out: dict[int, int] = {}
    for _, n, m in near:
        if n not in out and m not in out.values():
            out[n] = m
    return out


def _coarse(shape: VideoShape) -> VideoShape:
    """``shape`` at a size whose shorter side is at most `_SIDE_PX`: where subjects are is plain enough there."""
    scale = min(1.0, _SIDE_PX / min(shape.height_px, shape.width_px))
    return replace(
        shape, height_px=max(1, round(shape.height_px * scale)), width_px=max(1, round(shape.width_px * scale))
    )


def first_times(happenings: Sequence[tuple[str, float]]) -> dict[str, float]:
    """When each kind of event happens first, in seconds."""
    out: dict[str, float] = {}
    for kind, time_s in happenings:
        out[kind] = min(time_s, out.get(kind, math.inf))
    return out


def match(
    found: Sequence[SubjectVerdict], boxes: Float[Tensor, "n t 4"], visible: Sequence[int]
) -> Mapping[int, SubjectVerdict | None]:
    """Which verdict is of which of the ``visible`` true subjects: the nearest, each once; None where there is none near."""
    pairs = []
    for n in visible:
        seen = boxes[n, :, 2] > 0
        for j, verdict in enumerate(found):
            gap = (verdict.boxes[:, :2] - boxes[n, :, :2]).square().sum(-1).sqrt()[seen].mean()
            pairs.append((float(gap), n, j))
    out: dict[int, SubjectVerdict | None] = dict.fromkeys(visible)
    used = set[int]()
    for gap, n, j in sorted(pairs):
        if gap < _NEAR and out[n] is None and j not in used:
            out[n] = found[j]
            used.add(j)
    return out
