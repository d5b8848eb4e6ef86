from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kinema.world.affine import compose, rotate, scale, translate
from kinema.world.hits import HITS
from kinema.world.kinds import BUILD, subject_solids
from kinema.world.solids import (
    BOX,
    CAPSULE,
    CONE,
    CYLINDER,
    DOME,
    ELLIPSOID,
    PYRAMID,
    RING,
    WEDGE,
    Prop,
    Shape,
    Solid,
    Solids,
    capsule,
    cone,
    gather,
    pyramid,
    ring,
    stand,
    wedge,
)
from kinema.world.trace import FAR, trace
from kinema.world.view import View, screen_boxes
from tests.world.poses import DISTANCE, pose, subject, views

CPU = torch.device("cpu")
STEP = 5e-3
SHAPES = [
    ELLIPSOID, BOX, CYLINDER, DOME, CONE, cone(0.35), cone(0.9), CAPSULE, capsule(0.2), RING, ring(0.12), WEDGE, wedge(0.6),
    PYRAMID, pyramid(0.4),
]  # fmt: skip


def _view(height_px: int = 29, width_px: int = 37) -> View:
    return views(-25.0, 0.0, 25.0, height_px=height_px, width_px=width_px)


def inside(shape: Shape, p: Tensor) -> Tensor:
    """Whether points in a shape's own coordinates lie in it, by its equation."""
    x, y, z = p.unbind(-1)
    across, r = x * x + z * z, shape.ratio
    if shape.name == "ellipsoid":
        return across + y * y <= 1
    if shape.name == "dome":
        return (y >= -1) & (across + ((y + 1) / 2) ** 2 <= 1)
    if shape.name == "capsule":
        over = (y - y.clamp(r - 1, 1 - r)) / r
        return across + over * over <= 1
    if shape.name == "ring":
        return ((x * x + y * y).sqrt() - 1 + r) ** 2 + (z * r) ** 2 <= r * r
    room = (1 + r) / 2 - (1 - r) / 2 * y
    if shape.name == "wedge":
        return (x.abs() <= 1) & (y.abs() <= 1) & (z.abs() <= room)
    if shape.name == "pyramid":
        return (y.abs() <= 1) & (z.abs() <= room) & (x.abs() <= room)
    if shape.name == "cone":
        return (y.abs() <= 1) & (across <= room**2)
    if shape.name == "cylinder":
        return (y.abs() <= 1) & (across <= 1)
    assert shape.name == "box"
    return p.abs().amax(-1) <= 1


def _march(solid: Solid, view: View, frame: int) -> Tensor:
    """(h, w) depths where the rays are first inside, found by walking along them in small steps: slow, and sure."""
    focal = float(view.focal_px[frame])
    rows, columns = torch.meshgrid(torch.arange(view.height_px), torch.arange(view.width_px), indexing="ij")
    x, y = (columns + 0.5 - view.width_px / 2) / focal, (view.height_px / 2 - rows - 0.5) / focal
    right, up, forward = view.axes[frame]
    ray = forward + x[..., None] * right + y[..., None] * up
    matrix = solid.matrix[frame]
    inverse = torch.linalg.inv(matrix[:, :3])
    found = torch.full(rows.shape, math.inf, dtype=torch.float64)
    for step in range(500, -1, -1):
        depth = DISTANCE - 1.25 + step * STEP
        world = view.position[frame] + depth * ray
        found[inside(solid.shape, (world - matrix[:, 3]) @ inverse.T)] = depth
    return found


@pytest.mark.parametrize("tilt", [0.4, 2.1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_hits_are_where_walking_along_the_ray_finds_them(shape: Shape, tilt: float) -> None:
    turn = torch.tensor([0.1, 0.7, 1.9], dtype=torch.float64)
    matrix = compose(translate(0.1, 0.7, 0.2), rotate("y", turn), rotate("x", tilt), scale(0.6, 0.4, 0.3))
    solid = Solid(shape=shape, matrix=matrix, colour=(1.0, 0.0, 0.0))
    view = _view(height_px=23, width_px=29)
    hits = trace(gather([solid]), view, view.whole(), device=CPU, with_index=True)
    for frame in range(3):
        expected, found = _march(solid, view, frame), hits.depth[frame].to(torch.float64)
        both = torch.isfinite(expected) & (found < FAR)
        assert int(both.sum()) > 15
        # A ray that grazes the shape may be inside for less than a step.
        assert int((torch.isfinite(expected) != (found < FAR)).sum()) <= 5
        late = found[both] - expected[both]
        assert float((late.abs() < 2 * STEP).float().mean()) > 0.98
        assert int((late < -2 * STEP).sum()) <= (1 if shape.name == "ring" else 0), "rays that graze a ring"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normals_stand_on_the_skin(shape: Shape) -> None:
    # The hits of rays beside each other span the skin; a normal has no part along it.
    matrix = compose(translate(0.0, 0.6, 0.0), rotate("y", 0.6), rotate("x", 0.5), scale(0.7, 0.5, 0.6))
    view = views(0.0, height_px=201, width_px=201)
    solids = gather([Solid(shape=shape, matrix=matrix.expand(1, 3, 4), colour=(1.0, 0.0, 0.0))])
    hits = trace(solids, view, view.whole(), device=CPU)
    ray = torch.stack([r.expand(1, 201, 201)[0] for r in view.rays(view.slopes(view.whole(), CPU), CPU)], -1)
    at, normal = ray * hits.depth[0][..., None], torch.stack(hits.normal, -1)[0]
    seen = hits.depth[0] < FAR
    assert torch.allclose(normal[seen].square().sum(-1), torch.ones(int(seen.sum())), atol=1e-4)
    assert float((normal * ray).sum(-1)[seen].max()) < 0.05, "it looks at the camera"
    across, down = at[:, 2:] - at[:, :-2], at[2:] - at[:-2]
    flat = torch.cat([((across * normal[:, 1:-1]).sum(-1) / across.norm(dim=-1))[seen[:, 2:] & seen[:, :-2]],
                      ((down * normal[1:-1]).sum(-1) / down.norm(dim=-1))[seen[2:] & seen[:-2]]])  # fmt: skip
    assert float((flat.abs() < 0.05).float().mean()) > 0.94, "but at edges"


def test_the_nearest_solid_is_seen_whatever_their_order() -> None:
    view = _view()
    near = Prop(colour=(1.0, 0.0, 0.0), centre=(0.0, 0.6, 0.5), radii=(0.3, 0.3, 0.3))
    far = Prop(colour=(0.0, 1.0, 0.0), centre=(0.0, 0.6, -0.5), radii=(0.6, 0.6, 0.6))
    first, second = (
        trace(stand([p], 3), view, view.whole(), device=CPU, with_index=True) for p in ([near, far], [far, near])
    )
    assert torch.equal(first.depth, second.depth)
    assert first.index is not None
    assert first.index[1, 14, 18] == 0
    assert {int(i) for i in first.index.unique()} == {-1, 0, 1}
    assert all(torch.equal(a, b) for a, b in zip(first.colour, second.colour, strict=True))


def test_gloss_is_the_solid_s_own() -> None:
    view = _view()
    matrix = compose(translate(torch.zeros(3, dtype=torch.float64), 0.6, 0.0), scale(0.4, 0.4, 0.4))
    solids = [Solid(shape=ELLIPSOID, matrix=matrix, colour=(1.0, 0.0, 0.0), gloss=g) for g in (0.0, 0.75)]
    dull = trace(gather(solids[:1]), view, view.whole(), device=CPU)
    assert dull.gloss is None
    shiny = trace(gather(solids[1:]), view, view.whole(), device=CPU)
    assert shiny.gloss is not None
    assert torch.equal(shiny.gloss, torch.where(shiny.depth < FAR, 0.75, 0.0))


@pytest.mark.parametrize("kind", BUILD)
def test_screen_boxes_hold_all_that_is_seen(kind: str) -> None:
    # Crops come from the boxes, so a box that is too small cuts a piece off.
    view = _view(height_px=43, width_px=59)
    moments = pose(3, yaw=0.5, roll=0.2, gait=1.0, effort=1.0, lift=0.6, tip=0.1)
    solids = subject_solids(subject(kind), moments)
    boxes = screen_boxes(solids, view)
    rows, columns = torch.arange(43) + 0.5, torch.arange(59) + 0.5
    for p in range(len(solids.shapes)):
        for frame in (0, 2):
            mask = _silhouette(solids, p, view.take(torch.tensor([frame])), frame)
            if not mask.any():
                continue
            left, top, right, bottom = boxes[frame, p].tolist()
            down, across = rows[mask.any(1)], columns[mask.any(0)]
            assert left <= float(across.min()) <= float(across.max()) <= right
            assert top <= float(down.min()) <= float(down.max()) <= bottom


def _silhouette(solids: Solids, p: int, view: View, frame: int) -> torch.Tensor:
    """Pixels whose ray meets solid ``p``, by its equation, everywhere in the picture."""
    linear = torch.linalg.inv(solids.matrix[frame, p, :, :3])
    ray = torch.stack(
        [r.expand(1, view.height_px, view.width_px)[0] for r in view.rays(view.slopes(view.whole(), CPU), CPU)], -1
    )
    local = (ray.to(torch.float64) @ linear.T).unbind(-1)
    start = linear @ (view.position[0] - solids.matrix[frame, p, :, 3])
    shape = solids.shapes[p]
    t, _, _ = HITS[shape.name](list(start), list(local), shape.ratio)
    return t < FAR


def test_a_view_s_hits_do_not_depend_on_those_beside_it() -> None:
    view = _view(height_px=31, width_px=41)
    solids = subject_solids(subject("train", material="wood"), pose(3, yaw=[0.0, 0.4, 2.0], turned=[0.0, 1.0, 2.0]))
    together = trace(solids, view, view.whole(), device=CPU)
    one = subject_solids(subject("train", material="wood"), pose(1, yaw=0.4, turned=1.0))
    alone_view = view.take(torch.tensor([1]))
    alone = trace(one, alone_view, alone_view.whole(), device=CPU)
    assert torch.equal(together.depth[1:2], alone.depth)
    for a, b in zip((*together.normal, *together.colour), (*alone.normal, *alone.colour), strict=True):
        assert torch.equal(a[1:2], b)
