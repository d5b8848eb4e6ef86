"""Exact truth a pixel: depth, whose pixel it is, and optical flow, at one sample in each pixel's middle.

Legend: n views, p solids, h w pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.world.affine import compose, invert
from kinema.world.backdrop import backdrop_depth
from kinema.world.camera import frame_times, scene_camera
from kinema.world.hits import FAR, Coordinates
from kinema.world.scene import Scene
from kinema.world.scenery import scenery
from kinema.world.solids import Solids
from kinema.world.spray import spray_points
from kinema.world.stage import EFFECT, cast
from kinema.world.trace import trace
from kinema.world.view import View

_SKY_DEPTH = 1.0e5  # far enough that only the camera's turning moves it


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Per-pixel truth of one clip; `kinema.world.render.Rendered` states units and conventions."""

    depth: Float[Tensor, "t h w"]
    owner: Int[Tensor, "t h w"]
    flow: Float[Tensor, "t h w 2"]

    def masks(self, count: int) -> Bool[Tensor, "s t h w"]:
        """The pixels of each of ``count`` subjects."""
        return torch.stack([self.owner == number for number in range(count)])


def geometry(scene: Scene, shape: VideoShape, *, device: str | torch.device = "cpu") -> Geometry:
    """The `Geometry` of ``scene``'s clip of ``shape``, on ``device``. The last frame flows to where the scene would go next."""
    place = torch.device(device)
    inner = scene.unflipped()
    times = frame_times(shape.frames, shape.fps)
    later = times + 1 / shape.fps
    view, after = (
        View.of([scene_camera(inner, t)], height_px=shape.height_px, width_px=shape.width_px) for t in (times, later)
    )
    now, moved = (cast(inner, t) for t in (times, later))
    behind, swayed = (scenery([inner], t) for t in (times, later))
    front, back = (trace(solids, view, view.whole(), device=place, with_index=True) for solids in (now.solids, behind))
    depth, point = _seen(inner, view, torch.minimum(front.depth, back.depth), place)
    is_front = front.depth < back.depth
    assert front.index is not None, "asked for"
    moving = [(is_front, front.index, now.solids, moved.solids)]
    if not torch.equal(behind.matrix, swayed.matrix):
        assert back.index is not None, "asked for"
        moving.append((~is_front & (back.depth <= depth), back.index, behind, swayed))
    for where, index, before, then in moving:
        carried = _carried(point, index, before, then)
        point = [torch.where(where, c, p) for c, p in zip(carried, point, strict=True)]
    owners = torch.tensor(now.owners, dtype=torch.int16, device=place)
    owner = torch.where(is_front, owners[front.index.clamp(min=0).to(torch.int64)], EFFECT)
    for burst in now.bursts:
        thrown = spray_points(burst, view, after, 1 / shape.fps, device=place)
        if thrown is not None:
            is_nearer = thrown[0] < depth
            depth = torch.where(is_nearer, thrown[0], depth)
            owner = torch.where(is_nearer, EFFECT, owner)
            point = [torch.where(is_nearer, t, p) for t, p in zip(thrown[1], point, strict=True)]
    flow = _project(after, point, place) - _middles(view, place)
    if scene.flipped:
        depth, owner, flow = depth.flip(2), owner.flip(2), flow.flip(2) * torch.tensor([-1.0, 1.0], device=place)
    return Geometry(depth=depth, owner=owner, flow=flow)


def mask_boxes(mask: Bool[Tensor, "t h w"]) -> Int[Tensor, "t 4"]:
    """The box (left, top, right, bottom; right and bottom exclusive) of each mask's true pixels, -1 where there are none."""
    across, down = mask.any(1), mask.any(2)
    boxes = []
    for line in (across, down):
        length = line.shape[1]
        numbers = torch.arange(length, device=mask.device)
        boxes.append((torch.where(line, numbers, length).amin(1), torch.where(line, numbers, -1).amax(1) + 1))
    box = torch.stack([boxes[0][0], boxes[1][0], boxes[0][1], boxes[1][1]], -1)
    return torch.where(across.any(1, keepdim=True), box, -1)


def _seen(scene: Scene, view: View, depth: Tensor, device: torch.device) -> tuple[Tensor, Coordinates]:
    """(depth with the backdrop's in it, the world points that the pixels see)."""
    ray = view.rays(view.slopes(view.whole(), device), device)
    eye = view.eye(device)
    depth = torch.minimum(depth, backdrop_depth(scene, view, device=device))
    sky = depth >= FAR
    reach = torch.where(sky, _SKY_DEPTH, depth)
    return torch.where(sky, torch.inf, depth), [eye[:, k] + reach * ray[k] for k in range(3)]


def _carried(point: Coordinates, index: Tensor, before: Solids, later: Solids) -> Coordinates:
    """Where points of the solids numbered ``index`` are later: each moves with its solid, out of its frame now, into its frame then."""
    carry = compose(later.matrix, invert(before.matrix)).to(index.device, torch.float32)
    views = torch.arange(len(carry), device=index.device)[:, None, None]
    own = carry[views, index.clamp(min=0).to(torch.int64)]  # n h w 3 4
    return [
        own[..., k, 0] * point[0] + own[..., k, 1] * point[1] + own[..., k, 2] * point[2] + own[..., k, 3]
        for k in range(3)
    ]


def _middles(view: View, device: torch.device) -> Float[Tensor, "h w 2"]:
    x = torch.arange(view.width_px, device=device, dtype=torch.float32) + 0.5
    y = torch.arange(view.height_px, device=device, dtype=torch.float32) + 0.5
    return torch.stack([x[None, :].expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)


def _project(view: View, point: Coordinates, device: torch.device) -> Float[Tensor, "n h w 2"]:
    """Where in the picture world points are seen."""
    axes = view.axes.to(device, torch.float32)[:, :, :, None, None]
    eye = view.eye(device)
    away = [point[k] - eye[:, k] for k in range(3)]
    seen = [axes[:, i, 0] * away[0] + axes[:, i, 1] * away[1] + axes[:, i, 2] * away[2] for i in range(3)]
    scale = view.focal_px.to(device, torch.float32)[:, None, None] / seen[2].clamp(min=1e-3)
    return torch.stack([view.width_px / 2 + seen[0] * scale, view.height_px / 2 - seen[1] * scale], -1)
