"""Control pictures that follow from the exact truth: sketches (outlines) and pose maps (strokes along the limbs)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.world.camera import frame_times, scene_camera
from kinema.world.scene import Scene
from kinema.world.stage import EFFECT, cast
from kinema.world.view import View

_HUES = ((255, 90, 60), (60, 200, 90), (80, 140, 255))
_STEP = 0.06  # a jump of nearness, by how near it is, that counts as an edge


def sketch(depth: Float[Tensor, "t h w"], owner: Int[Tensor, "t h w"]) -> UInt8[Tensor, "t h w 3"]:
    """Dark outlines on white: where the depth jumps or a subject ends."""
    near = torch.where(depth.isinf(), 0.0, 1 / depth)  # along a plane it changes evenly, however steeply one looks
    edge = torch.zeros_like(owner, dtype=torch.bool)
    for axis in (1, 2):
        size = depth.shape[axis] - 1
        if not size:
            continue
        one, two = near.narrow(axis, 0, size), near.narrow(axis, 1, size)
        rise = two - one
        before, after = (rise.roll(way, axis) for way in (1, -1))
        before.narrow(axis, 0, 1).copy_(rise.narrow(axis, 0, 1))
        after.narrow(axis, size - 1, 1).copy_(rise.narrow(axis, size - 1, 1))
        break_ = torch.minimum((rise - before).abs(), (rise - after).abs())
        jump = torch.minimum(break_, rise.abs()) > _STEP * torch.maximum(one, two)  # the flat between two edges is none
        jump |= owner.narrow(axis, 0, size) != owner.narrow(axis, 1, size)
        edge.narrow(axis, 0, size).logical_or_(jump)  # a view: writes into edge
    return torch.where(edge, 20, 255).to(torch.uint8)[..., None].expand(-1, -1, -1, 3).contiguous()


def pose_map(scene: Scene, shape: VideoShape, *, device: str | torch.device = "cpu") -> UInt8[Tensor, "t h w 3"]:
    """The long axis of every part of every subject as a stroke on black; each subject has a hue of its own."""
    inner, times = scene.unflipped(), frame_times(shape.frames, shape.fps)
    view = View.of([scene_camera(inner, times)], height_px=shape.height_px, width_px=shape.width_px)
    act = cast(inner, times)
    out = torch.zeros(shape.frames, shape.height_px, shape.width_px, 3, dtype=torch.uint8, device=device)
    y = torch.arange(shape.height_px, device=device, dtype=torch.float32)[:, None] + 0.5
    x = torch.arange(shape.width_px, device=device, dtype=torch.float32)[None, :] + 0.5
    width = max(0.75, min(shape.height_px, shape.width_px) / 96)
    for part, owner in enumerate(act.owners):
        if owner == EFFECT:
            continue
        matrix = act.solids.matrix[:, part]
        longest = matrix[..., :3].square().sum(1).argmax(-1)
        reach = matrix[torch.arange(len(matrix)), :, longest]
        ends = [_seen_at(view, matrix[..., 3] + side * reach).to(device, torch.float32) for side in (-1.0, 1.0)]
        colour = torch.tensor(_HUES[owner], dtype=torch.uint8, device=device)
        for frame in range(shape.frames):
            near = _distance(x, y, ends[0][frame], ends[1][frame]) < width
            out[frame] = torch.where(near[..., None], colour, out[frame])
    return out.flip(2) if scene.flipped else out


def _seen_at(view: View, point: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Pixels (x, y) where world points are seen."""
    seen = (view.axes * (point - view.position)[:, None, :]).sum(-1)
    scale = view.focal_px / seen[:, 2].clamp(min=0.05)
    return torch.stack([view.width_px / 2 + seen[:, 0] * scale, view.height_px / 2 - seen[:, 1] * scale], -1)


def _distance(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """How far each pixel (x, y) is from the stroke from a to b."""
    along = b - a
    share = (((x - a[0]) * along[0] + (y - a[1]) * along[1]) / along.square().sum().clamp(min=1e-6)).clamp(0, 1)
    return torch.hypot(x - a[0] - share * along[0], y - a[1] - share * along[1])
