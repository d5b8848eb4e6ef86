"""How much room subjects need: the extent that they sweep, and homes where they don't meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kinema.world.kinds import FRONT_EDGE, SCALE, subject_size
from kinema.world.motion import pairs
from kinema.world.motion.act import TRAVELS, Act
from kinema.world.motion.actions import poses
from kinema.world.motion.constants import MAX_SPAN, WALK_SPAN, half_width, tall
from kinema.world.nature import KINDS
from kinema.world.scene import Scene

_SECONDS = 4.0
_RATE = 60
_GAP = 0.08


@dataclass(frozen=True, kw_only=True)
class Span:
    """The extent of a subject on the ground over time."""

    low_x: float
    high_x: float
    low_z: float
    high_z: float

    def meets(self, other: Span) -> bool:
        """Whether the two have ground in common."""
        apart_x = self.high_x <= other.low_x or other.high_x <= self.low_x
        return not (apart_x or self.high_z <= other.low_z or other.high_z <= self.low_z)


def span_of(scene: Scene, *, seconds: float = _SECONDS) -> list[Span]:
    """The extent that each subject of an unflipped ``scene`` sweeps in the first ``seconds``."""
    times = torch.arange(round(seconds * _RATE) + 1, dtype=torch.float64) / _RATE
    spans = []
    for subject, pose in zip(scene.subjects, poses(scene, times), strict=True):
        width = half_width(subject)
        # A thing that tips or leans reaches further to the side it goes to.
        edge = FRONT_EDGE.get(subject.kind, 0.2) * subject_size(subject)
        fallen = pose.tip.sin() * tall(subject) + edge * (pose.tip > 0.05)
        lean = -pose.roll.sin() * tall(subject)
        still = torch.zeros_like(lean)
        x = [pose.x + w + k for w in (-width, width) for k in (still, lean)] + [pose.x + fallen * pose.yaw.cos()]
        z = [pose.z + w for w in (-width, width)] + [pose.z - fallen * pose.yaw.sin()]
        spans.append(
            Span(
                low_x=float(torch.stack(x).min()), high_x=float(torch.stack(x).max()),
                low_z=float(torch.stack(z).min()), high_z=float(torch.stack(z).max()),
            )
        )  # fmt: skip
    return spans


def pair_fits(scene: Scene) -> bool:
    """Whether the picture has room for all that a `collide` or `knock_over` of ``scene`` shows; true for other scenes."""
    for number, subject in enumerate(scene.subjects):
        if subject.action in ("collide", "knock_over") and subject.target is not None:
            return pairs.fits(Act(scene=scene, number=number), Act(scene=scene, number=subject.target))
    return True


def needed_half_width(kind: str, action: str, size: float = 1.0) -> float:
    """How far from its home to each side of the picture one should be free for ``kind`` to do ``action``."""
    width = KINDS[kind].half_width * SCALE[kind] * size
    extra = {"wave": 0.1, "play": 0.2, "swing": 0.3, "float": 0.1, "topple": 0.55 * size, "fly": 0.3}.get(action, 0.0)
    if action in ("walk", "run", "roll", "slide", "toss"):
        extra = WALK_SPAN.get(kind, MAX_SPAN) / 2
    return width + extra


def layout_homes(
    kinds: Sequence[str], actions: Sequence[str], sizes: Sequence[float], *, span: float | None = None
) -> list[tuple[float, float]]:
    """Homes (x, z) for one to three subjects that don't meet: side by side while they fit into the picture, else one behind the other.

    ``span`` is what the picture's shorter side shows; by default what their number needs (`view_span`). Whoever travels keeps the front
    lane to itself. The homes of pair actions are shifted by the motion itself, so only their order matters.
    """
    wide = span or {1: 2.45, 2: 3.0, 3: 3.3}[len(kinds)]
    needs = [needed_half_width(k, a, s) for k, a, s in zip(kinds, actions, sizes, strict=True)]
    travels = [a in TRAVELS for a in actions]
    order = sorted(range(len(kinds)), key=lambda n: (not travels[n], n))
    rows: list[list[int]] = [[]]
    for n in order:
        used = sum(2 * needs[m] + _GAP for m in rows[-1])
        if rows[-1] and (travels[n] or travels[rows[-1][-1]] or used + 2 * needs[n] > wide + 0.3):
            rows.append([])
        rows[-1].append(n)
    homes = [(0.0, 0.0)] * len(kinds)
    depth = 0.0
    for k, row in enumerate(rows):
        if k:
            depth -= (
                sum(
                    max(KINDS[kinds[n]].half_width * SCALE[kinds[n]] * sizes[n] for n in r) for r in rows[k - 1 : k + 1]
                )
                + _GAP
            )
        total = sum(2 * needs[n] for n in row) + _GAP * (len(row) - 1)
        place = -total / 2
        for n in row:
            shift = 0.35 * wide / 2 * (1 if k % 2 else -1) if k and len(row) == 1 else 0.0
            homes[n] = (round(place + needs[n] + shift, 4), round(max(depth, -2.0), 4))
            place += 2 * needs[n] + _GAP
    return homes
