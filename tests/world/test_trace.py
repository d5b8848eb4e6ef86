from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kinema.world.affine import compose, rotate, scale, translate
from kinema.world.camera import DISTANCE, camera_path, frame_times, scene_camera
from kinema.world.motion import pose
from kinema.world.places import props
from kinema.world.scene import KINDS, PLACES
from kinema.world.solids import BOX, CONE, ELLIPSOID, Prop, Solid, Solids, gather, stand
from kinema.world.subjects import subject_solids
from kinema.world.trace import _HIT, FAR, trace
from kinema.world.view import View, screen_boxes
from tests.world.scenes import make

CPU = torch.device("cpu")
TIMES = frame_times(3, 2)
STEP = 5e-3


def _view(name: str = "around_left", height_px: int = 29, width_px: int = 37) -> View:
    return View.of([camera_path(name, times_s=TIMES)], height_px=height_px, width_px=width_px)


def _inside(shape: str, p: Tensor) -> Tensor:
    x, y, z = p.unbind(-1)
    if shape == ELLIPSOID:
        return x * x + y * y + z * z <= 1
    if shape == BOX:
        return p.abs().amax(-1) <= 1
    return (y.abs() <= 1) & (x * x + z * z <= ((1 - y) / 2) ** 2)


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
    for step in range(600, -1, -1):
        depth = DISTANCE - 1.5 + step * STEP
        world = view.position[frame] + depth * ray
        found[_inside(solid.shape, (world - matrix[:, 3]) @ inverse.T)] = depth
    return found


@pytest.mark.parametrize("shape", [ELLIPSOID, BOX, CONE])
def test_hits_are_where_walking_along_the_ray_finds_them(shape: str) -> None:
    turn = torch.tensor([0.1, 0.7, 1.9], dtype=torch.float64)
    matrix = compose(translate(0.1, 0.7, 0.2), rotate("y", turn), rotate("x", 0.4), scale(0.6, 0.4, 0.3))
    solid = Solid(shape=shape, matrix=matrix, colour=(1.0, 0.0, 0.0))
    view = _view(height_px=19, width_px=23)
    hits = trace(gather([solid]), view, view.whole(), device=CPU, with_index=True)
    assert 20 < int((hits.depth[0] < FAR).sum()) < 300
    for frame in range(3):
        expected, found = _march(solid, view, frame), hits.depth[frame].to(torch.float64)
        both = torch.isfinite(expected) & (found < FAR)
        assert int(both.sum()) > 12
        # A ray that grazes the shape may be inside for less than a step.
        assert int((torch.isfinite(expected) != (found < FAR)).sum()) <= 4
        # The cone's base is open, so a ray through it goes on to the side.
        late = found[both] - expected[both]
        assert float((late.abs() < 2 * STEP).float().mean()) > (0.9 if shape == CONE else 0.999)
        assert float(late.min()) > -2 * STEP


def test_normals_look_at_the_camera_and_have_length_one() -> None:
    scene = make("car", "spin")
    view = View.of([scene_camera(scene, TIMES)], height_px=31, width_px=41)
    hits = trace(subject_solids([scene], pose(scene, TIMES)), view, view.whole(), device=CPU)
    seen = hits.depth < FAR
    nx, ny, nz = (n[seen] for n in hits.normal)
    assert torch.allclose(nx * nx + ny * ny + nz * nz, torch.ones(1), atol=1e-4)
    ray = view.rays(view.slopes(view.whole(), CPU), CPU)
    rx, ry, rz = (r.expand_as(hits.depth)[seen] for r in ray)
    assert float((nx * rx + ny * ry + nz * rz).max()) < 0.05


def test_the_nearest_solid_is_seen_whatever_their_order() -> None:
    view = _view("static")
    near = Prop(colour=(1.0, 0.0, 0.0), centre=(0.0, 0.6, 0.5), radii=(0.3, 0.3, 0.3))
    far = Prop(colour=(0.0, 1.0, 0.0), centre=(0.0, 0.6, -0.5), radii=(0.6, 0.6, 0.6))
    first, second = (
        trace(stand([p], 3), view, view.whole(), device=CPU, with_index=True) for p in ([near, far], [far, near])
    )
    assert torch.equal(first.depth, second.depth)
    assert first.index is not None
    assert first.index[0, 14, 18] == 0
    assert {int(i) for i in first.index.unique()} == {-1, 0, 1}
    assert all(torch.equal(a, b) for a, b in zip(first.colour, second.colour, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_screen_boxes_hold_all_that_is_seen(kind: str) -> None:
    # Crops come from the boxes, so a box that is too small cuts a piece off: each solid alone, with a huge one around it
    # that makes the crop the whole picture, must give the same pixels.
    scene = make(kind, "play", camera="around_left")
    view = View.of([scene_camera(scene, TIMES)], height_px=43, width_px=59)
    solids = subject_solids([scene], pose(scene, TIMES))
    boxes = screen_boxes(solids, view)
    rows, columns = torch.arange(43) + 0.5, torch.arange(59) + 0.5
    for p in range(len(solids.shapes)):
        one = Solids(
            shapes=solids.shapes[p : p + 1],
            patterns=solids.patterns[p : p + 1],
            casts=(True,),
            matrix=solids.matrix[:, p : p + 1],
            colour=solids.colour[:, p : p + 1],
            accent=solids.accent[:, p : p + 1],
        )
        for frame in range(3):
            mask = _silhouette(one, view.take(torch.tensor([frame])), frame)
            if not mask.any():
                continue
            left, top, right, bottom = boxes[frame, p].tolist()
            down, across = rows[mask.any(1)], columns[mask.any(0)]
            assert left <= float(across.min()) <= float(across.max()) <= right
            assert top <= float(down.min()) <= float(down.max()) <= bottom


def _silhouette(solids: Solids, view: View, frame: int) -> torch.Tensor:
    """Pixels whose ray meets the one solid, by its equation, everywhere in the picture."""
    linear = torch.linalg.inv(solids.matrix[frame, 0, :, :3])
    ray = torch.stack(
        [r.expand(1, view.height_px, view.width_px)[0] for r in view.rays(view.slopes(view.whole(), CPU), CPU)], -1
    )
    local = (ray.to(torch.float64) @ linear.T).unbind(-1)
    start = linear @ (view.position[0] - solids.matrix[frame, 0, :, 3])
    t, _, _ = _HIT[solids.shapes[0]](list(start), list(local))
    return t < FAR


@pytest.mark.parametrize("place", PLACES)
def test_a_place_has_the_same_solids_in_every_layout(place: str) -> None:
    one, two = (props(make(place=place, layout=n)) for n in (1, 2**62))
    assert [p.shape for p in one] == [p.shape for p in two]
    assert [p.centre for p in one] != [p.centre for p in two]
    joint = stand([one, two], 3)
    assert joint.matrix.shape == (6, len(one), 3, 4)
    assert torch.equal(joint.matrix[:3], stand([one], 3).matrix)
    assert all(p.centre[2] < -1.2 for p in one), "props stand behind the subject"
