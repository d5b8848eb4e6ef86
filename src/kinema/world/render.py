"""Pixels of scenes: backdrop, shadows, props, subjects and weather as layers, over all frames of a scene at once.

Legend: t frames, n views (frames of any number of scenes), h w pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape
from kinema.world.backdrop import backdrop, backdrop_depth, look
from kinema.world.camera import frame_times, scene_camera
from kinema.world.derived import pose_map, sketch
from kinema.world.geometry import geometry, mask_boxes
from kinema.world.layers import add_layer, add_shadow, flatten
from kinema.world.lights import lights
from kinema.world.scene import Scene
from kinema.world.scenery import scenery
from kinema.world.spray import add_spray
from kinema.world.stage import Cast, cast
from kinema.world.view import View
from kinema.world.weather import overlay

OUTPUTS = ("rgb", "depth", "masks", "flow", "boxes", "sketch", "pose")

# Pixels drawn at once: on a CPU the frames of one scene at a time, as many as stay in its caches; elsewhere many scenes.
_CPU_CHUNK_PX = 1 << 18
_DEVICE_CHUNK_PX = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What was asked for of one clip; None for the rest.

    ``depth`` is along the view axis in subject heights (infinite for the sky), ``masks`` is true on each of the s subjects, ``flow``
    is in pixels to the next frame (x right, y down), ``boxes`` holds left, top, right, bottom of each subject's visible pixels in
    each frame (right and bottom exclusive; -1 where it isn't seen), ``sketch`` outlines on white, ``pose`` the subjects' limbs as
    coloured strokes on black. All but the frames have one sample a pixel, in its middle.
    Spray that covers more than half of a pixel is what is seen there, and belongs to nobody.
    """

    frames: UInt8[Tensor, "t h w c"] | None = None
    depth: Float[Tensor, "t h w"] | None = None
    masks: Bool[Tensor, "s t h w"] | None = None
    flow: Float[Tensor, "t h w 2"] | None = None
    boxes: Int[Tensor, "s t 4"] | None = None
    sketch: UInt8[Tensor, "t h w c"] | None = None
    pose: UInt8[Tensor, "t h w c"] | None = None


def render(
    scenes: Sequence[Scene], shape: VideoShape, *, outputs: Sequence[str] = ("rgb",), device: str | torch.device = "cpu"
) -> list[Rendered]:
    """One `Rendered` a scene, on ``device``. A scene's pixels don't depend on the scenes beside it.

    Raises: InvalidInput for an unknown output.
    """
    for name in outputs:
        if name not in OUTPUTS:
            raise InvalidInput("outputs", name, f"must be {choices(OUTPUTS)}")
    place = torch.device(device)
    frames = _frames(scenes, shape, place) if "rgb" in outputs else None
    results = []
    for i, scene in enumerate(scenes):
        exact = geometry(scene, shape, device=place) if set(outputs) - {"rgb", "pose"} else None
        masks = exact.masks(len(scene.subjects)) if exact and {"masks", "boxes"} & set(outputs) else None
        results.append(
            Rendered(
                frames=None if frames is None else frames[i],
                depth=exact.depth if exact and "depth" in outputs else None,
                masks=masks if "masks" in outputs else None,
                flow=exact.flow if exact and "flow" in outputs else None,
                boxes=torch.stack([mask_boxes(m) for m in masks]) if masks is not None and "boxes" in outputs else None,
                sketch=sketch(exact.depth, exact.owner) if exact and "sketch" in outputs else None,
                pose=pose_map(scene, shape, device=place) if "pose" in outputs else None,
            )
        )
    return results


def _frames(scenes: Sequence[Scene], shape: VideoShape, device: torch.device) -> UInt8[Tensor, "s t h w c"]:
    times = frame_times(shape.frames, shape.fps)
    out = torch.empty((len(scenes), shape.frames, shape.height_px, shape.width_px, 3), dtype=torch.uint8, device=device)
    for numbers, start, stop in _chunks(scenes, shape, device):
        inner = [scenes[i].unflipped() for i in numbers]
        picture = _draw(inner, times[start:stop], shape, device)
        pixels = (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        pixels = rearrange(pixels, "(s t) c h w -> s t h w c", s=len(numbers))
        for i, clip in zip(numbers, pixels, strict=True):
            out[i, start:stop] = clip.flip(2) if scenes[i].flipped else clip
    return out


def _chunks(scenes: Sequence[Scene], shape: VideoShape, device: torch.device) -> Iterator[tuple[list[int], int, int]]:
    """(numbers of scenes with one backdrop, first frame, end frame) of what is drawn at once."""
    frame_px = shape.height_px * shape.width_px
    limit = _CPU_CHUNK_PX if device.type == "cpu" else _DEVICE_CHUNK_PX
    num_chunks = -(-shape.frames // max(1, limit // frame_px))
    num_frames = -(-shape.frames // num_chunks)  # all chunks about alike
    num_scenes = 1 if device.type == "cpu" else max(1, limit // (frame_px * shape.frames))
    alike: dict[tuple[object, ...], list[int]] = {}
    for i, scene in enumerate(scenes):
        alike.setdefault((*look(scene), scene.style), []).append(i)
    for numbers in alike.values():
        for first in range(0, len(numbers), num_scenes):
            for start in range(0, shape.frames, num_frames):
                yield numbers[first : first + num_scenes], start, min(start + num_frames, shape.frames)


def _draw(
    scenes: Sequence[Scene], times: Float[Tensor, " t"], shape: VideoShape, device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Pictures of unflipped ``scenes`` of one place, time, weather and style, scene by scene."""
    light, moments, is_cartoon = lights(scenes[0]), len(times), scenes[0].style == "cartoon"
    view = View.of([scene_camera(s, times) for s in scenes], height_px=shape.height_px, width_px=shape.width_px)
    picture = backdrop(scenes, times, view, device=device)
    if is_cartoon:
        flatten(picture)
    depth = backdrop_depth(scenes[0], view, device=device)
    acts: list[tuple[Tensor, Cast]] = []
    for number, scene in enumerate(scenes):
        acts.append((torch.arange(moments) + number * moments, cast(scene, times)))
    for rows, act in acts:
        add_shadow(picture, act.solids, view.take(rows), rows=rows, lights=light)
    behind = scenery(scenes, times)
    add_layer(picture, depth, behind, view, rows=torch.arange(len(view)), light=light.world, is_cartoon=is_cartoon)
    for rows, act in acts:
        seen = view.take(rows)
        add_layer(picture, depth, act.solids, seen, rows=rows, light=light.subject, is_cartoon=is_cartoon)
        add_spray(picture, depth, act.bursts, seen, rows=rows, light=light.subject, is_cartoon=is_cartoon)
    overlay(picture, scenes, times, view, depth=depth)
    return picture
