"""What judges are taught: labels of clips, and the maps that a frame judge's cells should show.

Legend: b clips, k frames, n subjects, y x cells, m = b k n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from kinema.models.judges.frame import FrameLogits
from kinema.world.camera import CAMERAS
from kinema.world.events import EVENTS, events
from kinema.world.nature import ACTIONS, COLOURS, KINDS, PLACES, STYLES, TIMES, WEATHERS
from kinema.world.scene import Scene

FPS = 8.0  # of the clips that the clip judge learns from
KIND_NAMES, CAMERA_NAMES = tuple(KINDS), tuple(CAMERAS)
WHOLE = {"place": tuple(PLACES), "time": TIMES, "weather": WEATHERS, "style": STYLES}
IGNORED = -100
# x and the turns about y and z change their sign in a mirror
_MIRROR = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Labels of a batch: numbers of words, `IGNORED` where there is nothing to say."""

    kind: Tensor  # b n
    colour: Tensor  # b n
    action: Tensor  # b n
    camera: Tensor  # b
    whole: Mapping[str, Tensor]  # b each
    boxes: Tensor  # b n t 4
    places: Tensor  # b n t 3
    events: Tensor  # b n u e
    path: Tensor  # b u 7
    motion: Tensor  # b


def truth_of(tensors: Mapping[str, Tensor], metadata: Sequence[Mapping[str, Any]], flips: Sequence[bool]) -> Truth:
    """The labels of clips, of those flipped as they are in the mirror."""
    scenes = [Scene.from_dict(m["scene"]) for m in metadata]
    scenes = [s.mirrored() if f else s for s, f in zip(scenes, flips, strict=True)]
    boxes, places, camera = (tensors[name].float().clone() for name in ("boxes", "places", "camera"))
    for i, is_flipped in enumerate(flips):
        if is_flipped:
            seen = boxes[i, :, :, 2] > 0
            boxes[i, :, :, 0] = torch.where(seen, 1 - boxes[i, :, :, 0], 0.0)
            places[i, :, :, 0] *= -1
            camera[i] *= _MIRROR
    count = boxes.shape[1]
    rows = {name: torch.full((len(scenes), count), IGNORED) for name in ("kind", "colour", "action")}
    for i, scene in enumerate(scenes):
        targets = {s.target for s in scene.subjects}
        for n, subject in enumerate(scene.subjects):
            rows["kind"][i, n] = KIND_NAMES.index(subject.kind)
            rows["colour"][i, n] = COLOURS.index(subject.colour)
            if n not in targets:  # what is done to one is another's action
                rows["action"][i, n] = ACTIONS.index(subject.action)
    return Truth(
        **rows,
        events=torch.stack([_events(s, count, boxes.shape[2] - 1) for s in scenes]),
        camera=torch.tensor([CAMERA_NAMES.index(s.camera) for s in scenes]),
        whole={name: torch.tensor([words.index(getattr(s, name)) for s in scenes]) for name, words in WHOLE.items()},
        boxes=boxes,
        places=places,
        path=camera[:, 1:] - camera[:, :-1],
        motion=tensors["motion"].float(),
    )


def cells_of(truth: Truth, logits: FrameLogits) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(picture, row, column, whether seen) of each subject's centre in each key frame, (b k n) each."""
    height, width = logits.heat.shape[1:]
    boxes = rearrange(truth.boxes, "b n k c -> b k n c")
    column = (boxes[..., 0] * width).long().clamp(0, width - 1)
    row = (boxes[..., 1] * height).long().clamp(0, height - 1)
    b, k, n = column.shape
    picture = repeat(torch.arange(b * k).view(b, k), "b k -> b k n", n=n)
    return picture, row, column, boxes[..., 2] > 0


def at_cells(maps: Tensor, cells: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """``maps`` (b c y x) read at the cells: (m c)."""
    picture, row, column = (c.flatten().to(maps.device) for c in cells[:3])
    return maps[picture, :, row, column]


def edges_of(truth: Truth, cells: tuple[Tensor, ...], size: Sequence[int]) -> Tensor:
    """The way from each cell's middle to the box's left, top, right and bottom, in cells: (m 4)."""
    boxes = rearrange(truth.boxes, "b n k c -> b k n c")
    scale = torch.tensor([size[1], size[0]], dtype=torch.float32)
    centre, half = boxes[..., :2] * scale, boxes[..., 2:] * scale / 2
    middle = torch.stack([cells[2] + 0.5, cells[1] + 0.5], -1)
    return torch.cat([middle - centre + half, centre + half - middle], -1).flatten(0, 2).clamp(min=0)


def heat_of(truth: Truth, size: Sequence[int]) -> Tensor:
    """A bump of height 1 on each centre's cell (b*k y x), a cell or so wide."""
    boxes = rearrange(truth.boxes, "b n k c -> (b k) n c")
    y, x = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    column = (boxes[..., 0] * size[1]).floor() + 0.5
    row = (boxes[..., 1] * size[0]).floor() + 0.5
    distance = (x[None, None, None, :] - column[..., None, None]).square() + (
        y[None, None, :, None] - row[..., None, None]
    ).square()
    bump = torch.exp(-distance / (2 * 0.7**2)) * (boxes[..., 2] > 0)[..., None, None]
    return bump.amax(1)


def focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """The penalty-reduced focal loss of CornerNet (arXiv:1808.01244), equation 1, a centre."""
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    is_centre = wanted > 0.999
    hit = (1 - p).square() * p.log() * is_centre
    miss = (1 - wanted).pow(4) * p.square() * (1 - p).log() * ~is_centre
    return -(hit + miss).sum() / is_centre.sum().clamp(min=1)


def _events(scene: Scene, count: int, steps: int) -> Tensor:
    """1 for what happens to each of ``count`` subjects between which frames (n u e); what happens to the place is left out."""
    happens = torch.zeros(count, steps, len(EVENTS))
    for event in events(scene, steps / FPS):
        if event.subject is not None:
            happens[event.subject, int(event.time_s * FPS), EVENTS.index(event.kind)] = 1
    return happens
