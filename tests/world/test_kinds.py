from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from kinema.world.kinds import BUILD, FRONT_EDGE, SCALE, placement, subject_solids
from kinema.world.kinds.paints import FINISH, PAINT, dark_of, shade
from kinema.world.nature import COLOURS, KINDS
from kinema.world.pose import Pose
from kinema.world.scene import MATERIALS, Subject
from kinema.world.solids import GRAIN, Solids
from kinema.world.trace import FAR, trace
from kinema.world.view import View, Window
from tests.world.poses import pose, subject, views

CPU = torch.device("cpu")
MAX_SOLIDS = 26


def _reach(solids: Solids, way: Tensor) -> float:
    """How far the solids of the first moment reach along ``way``, exactly."""
    far = -math.inf
    for shape, m in zip(solids.shapes, solids.matrix[0], strict=True):
        x, y, z = (way[:, None] * m[:, :3]).sum(0).tolist()
        across, r = math.hypot(x, z), shape.ratio
        room = {
            "ellipsoid": math.hypot(across, y),
            "box": abs(x) + abs(y) + abs(z),
            "cylinder": across + abs(y),
            "cone": max(across - y, r * across + y),
            "capsule": (1 - r) * abs(y) + math.hypot(across, r * y),
            "ring": (1 - r) * math.hypot(x, y) + math.hypot(r * math.hypot(x, y), z),
            "dome": math.hypot(across, 2 * max(y, 0.0)) - y,
            "wedge": abs(x) + max(abs(z) - y, r * abs(z) + y),
            "pyramid": max(abs(x) + abs(z) - y, r * (abs(x) + abs(z)) + y),
        }[shape.name]
        far = max(far, float((way * m[:, 3]).sum()) + room)
    return far


def _way(x: float, y: float, z: float) -> Tensor:
    return torch.tensor([x, y, z], dtype=torch.float64)


def test_every_kind_is_built() -> None:
    assert set(BUILD) == set(SCALE) == set(KINDS)


@pytest.mark.parametrize("kind", BUILD)
def test_a_kind_is_as_wide_as_its_table_says_and_about_one_tall(kind: str) -> None:
    solids = subject_solids(subject(kind), pose())
    assert len(solids.shapes) <= MAX_SOLIDS
    turns = [math.pi * k / 36 for k in range(72)]
    wide = max(_reach(solids, _way(math.cos(a), 0.0, math.sin(a))) for a in turns) / SCALE[kind]
    assert KINDS[kind].half_width - 0.02 < wide <= KINDS[kind].half_width + 0.002
    assert 0.79 <= _reach(solids, _way(0.0, 1.0, 0.0)) / SCALE[kind] <= 1.26
    assert -0.04 <= -_reach(solids, _way(0.0, -1.0, 0.0)) / SCALE[kind] <= 0.04, "it stands on the ground"


@pytest.mark.parametrize("kind", BUILD)
def test_a_kind_has_the_same_solids_at_every_moment_and_in_every_finish(kind: str) -> None:
    moments = pose(
        3, gait=[0.0, 1.0, 4.0], effort=1.0, lift=[0.0, 0.5, 1.0], reach=0.5, bend=0.2, turned=[0.0, 2.0, 9.0]
    )
    first = subject_solids(subject(kind), moments)
    assert torch.isfinite(first.matrix).all()
    for material in MATERIALS:
        other = subject_solids(subject(kind, "black", material), moments)
        assert other.shapes == first.shapes
        assert torch.equal(other.matrix, first.matrix)
        assert any(other.gloss) or not FINISH[material].gloss
        assert any(p.endswith(GRAIN) for p in other.patterns) == FINISH[material].has_grain
    one = subject_solids(subject(kind), pose(1, gait=1.0, effort=1.0, lift=0.5, reach=0.5, bend=0.2, turned=2.0))
    assert torch.equal(one.matrix[0], first.matrix[1])


@pytest.mark.parametrize("kind", BUILD)
def test_half_of_what_is_seen_of_a_kind_is_in_its_colour(kind: str) -> None:
    # Both colours' clips show where the paint is.
    view = _alone()
    moments = pose(2, yaw=[-0.6, -0.9])
    red, blue = (_colours(subject(kind, colour), moments, view) for colour in ("red", "turquoise"))
    seen = red[1]
    painted = ((red[0] - blue[0]).abs().sum(-1) > 0.3) & seen
    assert float(painted.sum()) / float(seen.sum()) > 0.5


def _alone() -> View:
    return views(0.0, 0.0, height_px=64, width_px=64)


def _colours(actor: Subject, moments: Pose, view: View) -> tuple[Tensor, Tensor]:
    zero = torch.zeros(2, dtype=torch.int64)
    window = Window(top=zero, left=zero, height_px=64, width_px=64, grain=2)
    hits = trace(subject_solids(actor, moments), view, window, device=CPU)
    return torch.stack(hits.colour, -1), hits.depth < FAR


@pytest.mark.parametrize("kind", ["ball", "puppy", "train"])
def test_placement_moves_turns_and_tips(kind: str) -> None:
    actor = subject(kind)
    foot = placement(actor, pose(1, x=0.3, y=0.2, z=-0.4))[0]
    assert foot[:, 3].tolist() == pytest.approx([0.3, 0.2, -0.4])
    turned = placement(actor, pose(1, yaw=math.pi / 2))[0]
    assert (turned[:, :3] @ _way(1.0, 0.0, 0.0)).tolist() == pytest.approx([0.0, 0.0, -SCALE[kind]], abs=1e-12)
    squashed = placement(actor, pose(1, squash=0.64))[0]
    assert float(torch.linalg.det(squashed[:, :3])) == pytest.approx(SCALE[kind] ** 3)


@pytest.mark.parametrize("kind", FRONT_EDGE)
def test_what_tips_turns_about_its_front_edge(kind: str) -> None:
    actor = subject(kind)
    edge = torch.tensor([FRONT_EDGE[kind], 0.0, 0.0], dtype=torch.float64)
    for tip in (0.3, math.pi / 2):
        m = placement(actor, pose(1, tip=tip))[0]
        assert (m[:, :3] @ edge + m[:, 3]).tolist() == pytest.approx([SCALE[kind] * FRONT_EDGE[kind], 0.0, 0.0])
        top = m[:, :3] @ _way(FRONT_EDGE[kind], 1.0, 0.0) + m[:, 3]
        assert float(top[0]) == pytest.approx(SCALE[kind] * (FRONT_EDGE[kind] + math.sin(tip)))


def _lab(paint: tuple[float, float, float]) -> tuple[float, float, float]:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (min(max(v, 0.0), 1.0) for v in paint)
    ]
    r, g, b = linear
    x, y, z = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b, (
        0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089  # fmt: skip
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


# What a paint in full light and in half light is multiplied by, and a veil of fog over it.
_LIGHTS = {
    "day": ((1.06, 1.06, 1.05), None), "sunset": ((1.08, 0.98, 0.90), None), "night": ((0.95, 0.96, 1.06), None),
    "fog": ((1.0, 1.0, 1.0), (0.86, 0.89, 0.91)),
}  # fmt: skip


@pytest.mark.parametrize("light", _LIGHTS)
def test_every_two_colours_stay_apart(light: str) -> None:
    factors, veil = _LIGHTS[light]
    seen = {}
    for colour in COLOURS:
        lit = [c * f for c, f in zip(PAINT[colour], factors, strict=True)]
        seen[colour] = _lab(tuple(0.75 * c + 0.25 * v for c, v in zip(lit, veil, strict=True)) if veil else tuple(lit))
    for a, b in itertools.combinations(COLOURS, 2):
        # 20 is a difference that nobody overlooks.
        assert math.dist(seen[a], seen[b]) > (24 if veil else 28), f"{a} and {b}"


def test_shades_keep_their_colour() -> None:
    for colour in COLOURS:
        own = [PAINT[colour], dark_of(colour), *(shade(PAINT[colour], f.base) for f in FINISH.values())]
        assert all(0 <= c <= 1 for paint in own for c in paint)
