"""Pixels of scenes: backdrop, shadow, props and subject as layers, over all frames of like scenes at once.

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
from kinema.world.backdrop import backdrop
from kinema.world.camera import frame_times, scene_camera
from kinema.world.geometry import geometry, mask_boxes
from kinema.world.motion import join, pose
from kinema.world.places import SKIES, props
from kinema.world.scene import Scene
from kinema.world.shadow import shadow, shadow_boxes
from kinema.world.solids import Colour, Solids, Vector, stand
from kinema.world.subjects import subject_solids
from kinema.world.trace import FAR, trace
from kinema.world.view import View, Window, around, screen_boxes

OUTPUTS = ("rgb", "depth", "masks", "flow", "boxes")

# Pixels drawn at once: on a CPU the frames of one scene at a time, as many as stay in its caches; elsewhere many scenes.
_CPU_CHUNK_PX = 1 << 18
_DEVICE_CHUNK_PX = 1 << 24
_GRAIN = 2  # samples per pixel and axis where there are edges
_SHADOW_STRENGTH = 0.52


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What was asked for of one clip; None for the rest.

    ``depth`` is along the view axis in subject heights (infinite for the sky), ``masks`` is true on the subject, ``flow`` is in
    pixels to the next frame (x right, y down), ``boxes`` holds left, top, right, bottom of the subject's visible pixels in each
    frame (right and bottom exclusive; -1 where it isn't seen). All but the frames have one sample a pixel, in its middle.
    """

    frames: UInt8[Tensor, "t h w c"] | None = None
    depth: Float[Tensor, "t h w"] | None = None
    masks: Bool[Tensor, "t h w"] | None = None
    flow: Float[Tensor, "t h w 2"] | None = None
    boxes: Int[Tensor, "t 4"] | None = None


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
        exact = geometry(scene, shape, device=place) if set(outputs) - {"rgb"} else None
        results.append(
            Rendered(
                frames=None if frames is None else frames[i],
                depth=exact.depth if exact and "depth" in outputs else None,
                masks=exact.mask if exact and "masks" in outputs else None,
                flow=exact.flow if exact and "flow" in outputs else None,
                boxes=mask_boxes(exact.mask) if exact and "boxes" in outputs else None,
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
    """(scene numbers of one place and time, first frame, end frame) of what is drawn at once."""
    frame_px = shape.height_px * shape.width_px
    limit = _CPU_CHUNK_PX if device.type == "cpu" else _DEVICE_CHUNK_PX
    num_frames = max(1, min(shape.frames, limit // frame_px))
    num_scenes = 1 if device.type == "cpu" else max(1, limit // (frame_px * shape.frames))
    alike: dict[tuple[str, str], list[int]] = {}
    for i, scene in enumerate(scenes):
        alike.setdefault((scene.place, scene.time), []).append(i)
    for numbers in alike.values():
        for first in range(0, len(numbers), num_scenes):
            for start in range(0, shape.frames, num_frames):
                yield numbers[first : first + num_scenes], start, min(start + num_frames, shape.frames)


def _draw(
    scenes: Sequence[Scene], times: Float[Tensor, " t"], shape: VideoShape, device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Pictures of unflipped ``scenes`` of one place and time, scene by scene."""
    sky, moments = SKIES[scenes[0].time], len(times)
    view = View.of([scene_camera(s, times) for s in scenes], height_px=shape.height_px, width_px=shape.width_px)
    picture = backdrop(scenes, times, view, device=device)
    kinds: dict[str, list[int]] = {}
    for i, scene in enumerate(scenes):
        kinds.setdefault(scene.subject.kind, []).append(i)
    subjects: list[tuple[Tensor, Solids]] = []
    for numbers in kinds.values():
        rows = (torch.tensor(numbers)[:, None] * moments + torch.arange(moments)).flatten()
        actors = [scenes[i] for i in numbers]
        subjects.append((rows, subject_solids(actors, join([pose(s, times) for s in actors]))))
    for rows, solids in subjects:
        _cast(picture, solids, view.take(rows), rows=rows, sun=sky.sun)
    everything = torch.arange(len(view))
    behind = stand([props(s) for s in scenes], moments)
    _layer(picture, behind, view, rows=everything, lights=(sky.sun, sky.sun_light, sky.ambient))
    for rows, solids in subjects:
        lights = (sky.sun, sky.subject_sun, sky.subject_ambient)
        _layer(picture, solids, view.take(rows), rows=rows, lights=lights)
    return picture


def _layer(picture: Tensor, solids: Solids, view: View, *, rows: Tensor, lights: tuple[Vector, Colour, Colour]) -> None:
    """Draws ``solids`` over ``rows`` of ``picture`` in place."""
    window = view.window(around(screen_boxes(solids, view)), grain=_GRAIN)
    if window is None:
        return
    hits = trace(solids, view, window, device=picture.device)
    sun, sun_light, ambient = lights
    length = sum(s * s for s in sun) ** 0.5
    nx, ny, nz = hits.normal
    # Wrapped round the edge between light and dark, so that no side of a toy is black.
    facing = ((nx * (sun[0] / length) + ny * (sun[1] / length) + nz * (sun[2] / length)) * 0.62 + 0.38).clamp(min=0)
    dome = ny * 0.22 + 0.78
    covered = (hits.depth < FAR).to(torch.float32)
    at = _pixels(window, rows, picture.device)
    share = _halve(covered)
    for k in range(3):
        lit = _halve(hits.colour[k] * (facing * sun_light[k] + dome * ambient[k]) * covered)
        pixels = (at[0], k, at[1], at[2])
        picture[pixels] = picture[pixels] * (1 - share) + lit


def _cast(picture: Tensor, solids: Solids, view: View, *, rows: Tensor, sun: Vector) -> None:
    """Darkens the ground in ``rows`` of ``picture`` where ``solids`` cast a shadow, in place."""
    window = view.window(shadow_boxes(solids, sun, view), grain=1)
    if window is None:
        return
    dark = 1 - _SHADOW_STRENGTH * shadow(solids, sun, view, window=window, device=picture.device)
    at = _pixels(window, rows, picture.device)
    for k in range(3):
        pixels = (at[0], k, at[1], at[2])
        picture[pixels] = picture[pixels] * dark


def _pixels(window: Window, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (n 1 1, n h 1, n 1 w) of the window's pixels."""
    down = window.top.to(device)[:, None, None] + torch.arange(window.height_px, device=device)[None, :, None]
    across = window.left.to(device)[:, None, None] + torch.arange(window.width_px, device=device)[None, None, :]
    return rows.to(device)[:, None, None], down, across


def _halve(x: Tensor) -> Tensor:
    """Means of 2x2 samples."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + (x[:, ::2, 1::2] + x[:, 1::2, 1::2])) * 0.25
