"""Draws every picture of docs/world.md into docs/pictures/world/, or those that are named: python docs/world_pictures.py [NAME ...]."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from kinema.app.scenes import SceneChoice
from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.world.edit_words import instruction
from kinema.world.edits import EDITS, edit, edit_mask
from kinema.world.nature import ACTIONS, CATEGORIES, KINDS, PLACES, STYLES, TIMES, WEATHERS, can
from kinema.world.render import render
from kinema.world.sampler import DIFFICULTIES
from kinema.world.scene import CAMERA_NAMES, Scene, Subject

FOLDER = Path(__file__).resolve().parent / "pictures" / "world"
QUALITY = 84
LABEL_PX, GAP_PX = 15, 3
PAPER, INK = (250, 249, 246), (60, 58, 55)
FONT = ImageFont.load_default(size=11)

Picture = np.ndarray  # (h w c) uint8

COLOUR_OF = {
    "person": "orange", "robot": "turquoise", "astronaut": "white", "puppy": "brown", "cat": "orange", "rabbit": "white",
    "bird": "blue", "duck": "yellow", "penguin": "black", "horse": "brown", "fish": "orange", "tree": "green",
    "flower": "pink", "cactus": "green", "mushroom": "red", "grass": "green", "cliff": "grey", "iceberg": "white",
    "volcano": "brown", "car": "red", "lorry": "blue", "train": "green", "boat": "red", "aeroplane": "white",
    "balloon": "purple", "rocket": "red", "ball": "red", "cube": "yellow", "cylinder": "purple", "cone": "orange",
    "ring": "turquoise", "cup": "blue", "lantern": "red", "kite": "pink", "house": "yellow", "tower": "purple",
    "lighthouse": "red", "castle": "grey", "windmill": "blue",
}  # fmt: skip
PLACE_OF = {
    "cactus": "desert", "penguin": "snowfield", "iceberg": "lake", "fish": "lake", "boat": "lake", "cliff": "coast",
    "volcano": "hills", "car": "street", "lorry": "street", "cup": "room", "lantern": "room", "tower": "room",
    "lighthouse": "coast", "mushroom": "forest", "rocket": "desert", "castle": "hills", "windmill": "hills", "ring": "beach",
}  # fmt: skip
KIND_OF_PLACE = {
    "park": "puppy", "beach": "duck", "snowfield": "penguin", "desert": "cactus", "coast": "lighthouse", "lake": "boat",
    "hills": "windmill", "street": "car", "forest": "rabbit", "room": "robot",
}  # fmt: skip
# who shows an action best
KIND_OF_ACTION = {
    "stand": "cat", "walk": "horse", "run": "rabbit", "jump": "puppy", "spin": "windmill", "play": "puppy", "wave": "person",
    "sway": "tree", "fall": "ball", "roll": "ring", "slide": "penguin", "swing": "lantern", "float": "balloon",
    "fly": "bird", "toss": "ball", "topple": "tower", "collide": "ball", "knock_over": "ball", "chase": "cat",
    "drink": "person", "pour": "cup",
}  # fmt: skip


def scene_of(kind: str, action: str | None = None, **fields: object) -> Scene:
    """One ``kind`` in a place that suits it, in full daylight; ``fields`` replace those of the scene."""
    action = action or ("stand" if can(kind, "stand") else "float")
    one = Subject(kind=kind, colour=COLOUR_OF[kind], action=action)
    place = PLACE_OF.get(kind, "park")
    return replace(Scene(subjects=(one,), place=place, time="day", layout=7), **fields)


def clip(scene: Scene, *, size: tuple[int, int] = (112, 112), frames: int = 1, seconds: float = 2.0) -> Picture:
    """``frames`` of ``scene``, (t h w c), spread over its first ``seconds``."""
    width, height = size
    fps = (frames - 1) / seconds if frames > 1 else 8.0
    shape = VideoShape(frames=frames, height_px=height, width_px=width, fps=fps)
    pixels = render([scene], shape)[0].frames
    assert pixels is not None
    return pixels.numpy()


def still(scene: Scene, *, size: tuple[int, int] = (112, 112), at_s: float = 0.5) -> Picture:
    """One frame of ``scene``."""
    return clip(scene, size=size, frames=2, seconds=at_s)[1]


def labelled(picture: Picture, text: str) -> Picture:
    """``picture`` with ``text`` below it."""
    bar = Image.new("RGB", (picture.shape[1], LABEL_PX), PAPER)
    draw = ImageDraw.Draw(bar)
    draw.text(((picture.shape[1] - draw.textlength(text, FONT)) / 2, 0), text, INK, FONT)
    return np.concatenate([picture, np.asarray(bar)])


def beside(picture: Picture, text: str, *, width_px: int = 76) -> Picture:
    """``picture`` with ``text`` to its left."""
    bar = Image.new("RGB", (width_px, picture.shape[0]), PAPER)
    draw = ImageDraw.Draw(bar)
    lines = wrapped(draw, text, width_px - 8)
    top = (picture.shape[0] - 14 * len(lines)) / 2
    for number, line in enumerate(lines):
        draw.text((width_px - 6 - draw.textlength(line, FONT), top + 14 * number), line, INK, FONT)
    return np.concatenate([np.asarray(bar), picture], 1)


def wrapped(draw: ImageDraw.ImageDraw, text: str, width_px: int) -> list[str]:
    """``text`` in lines of at most ``width_px``."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, FONT) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]


def strip(pictures: Sequence[Picture]) -> Picture:
    """``pictures`` side by side."""
    return grid(pictures, columns=len(pictures))[GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]


def grid(pictures: Sequence[Picture], *, columns: int) -> Picture:
    """``pictures`` of one size, ``columns`` to a row."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.empty((rows * (height + GAP_PX) + GAP_PX, columns * (width + GAP_PX) + GAP_PX, 3), np.uint8)
    sheet[:] = PAPER
    for number, picture in enumerate(pictures):
        top, left = (
            GAP_PX + at * (side + GAP_PX) for at, side in zip(divmod(number, columns), (height, width), strict=True)
        )
        sheet[top : top + height, left : left + width] = picture
    return sheet


def kinds() -> Picture:
    """Every kind, by category."""
    ordered = [k for c in CATEGORIES for k in KINDS if KINDS[k].category == c]
    return grid([labelled(still(scene_of(k)), k) for k in ordered], columns=8)


def places() -> Picture:
    """Every place at four times of day."""
    rows = [
        beside(strip([still(scene_of(KIND_OF_PLACE[p], place=p, time=t), size=(168, 112)) for t in TIMES]), p)
        for p in PLACES
    ]
    return grid(rows, columns=1)


def weathers() -> Picture:
    """Five weathers in five places."""
    shown = ("park", "lake", "snowfield", "street", "coast")
    rows = [
        beside(strip([still(scene_of(KIND_OF_PLACE[p], place=p, weather=w), size=(136, 112)) for p in shown]), w)
        for w in WEATHERS
    ]
    return grid(rows, columns=1)


def cameras() -> Picture:
    """Every camera class over two seconds, among things near and far."""
    rows = []
    for name in CAMERA_NAMES:
        scene = replace(scene_of("car" if name == "tracking" else "house", place="park"), camera=name)
        if name == "tracking":
            scene = replace(scene, subjects=(replace(scene.subject, action="walk"),))
        rows.append(beside(strip(list(clip(scene, frames=6, size=(96, 96)))), name))
    half = -(-len(rows) // 2)
    blank = np.zeros_like(rows[0]) + np.array(PAPER, np.uint8)
    rows += [blank] * (2 * half - len(rows))
    return grid([row for pair in zip(rows[:half], rows[half:], strict=True) for row in pair], columns=2)


def actions() -> Picture:
    """Every action over two seconds and a bit."""
    rows = []
    for action in ACTIONS:
        kind = KIND_OF_ACTION[action]
        base = scene_of(kind, "stand" if can(kind, "stand") else "float")
        scene = SceneChoice(difficulty="full", words={"action": action, "kind": kind}).scene(5)
        first = replace(scene.subject, colour=COLOUR_OF[kind], material="matte", direction="right")
        if scene.subject.direction == "left":
            scene = scene.mirrored()
            first = replace(scene.subject, colour=COLOUR_OF[kind], material="matte")
        others = scene.subjects[1:2] if first.target is not None else ()
        place = base.place if first.target is None else "park"
        scene = Scene(subjects=(first, *others), place=place, time="day", layout=7)
        rows.append(beside(strip(list(clip(scene, frames=6, size=(96, 96), seconds=2.2))), action))
    half = -(-len(rows) // 2)
    blank = np.zeros_like(rows[0]) + np.array(PAPER, np.uint8)
    rows += [blank] * (2 * half - len(rows))
    return grid([row for pair in zip(rows[:half], rows[half:], strict=True) for row in pair], columns=2)


def styles() -> Picture:
    """The same scenes in every style."""
    shown = ("puppy", "train", "castle", "mushroom", "boat", "robot")
    rows = [beside(strip([still(scene_of(k, style=s)) for k in shown]), s) for s in STYLES]
    return grid(rows, columns=1)


def edits() -> Picture:
    """Every edit: before, what it is about, after."""
    rows = []
    for number, kind in enumerate(EDITS):
        seeds = range(40 * number + 3, 40 * number + 99)
        change = next(found for found in (_try(seed, kind) for seed in seeds) if found is not None)
        shape = VideoShape(frames=5, height_px=112, width_px=112, fps=4)
        before, after = (r.frames for r in render([change.before, change.after], shape))
        assert before is not None
        assert after is not None
        mask = edit_mask(change, shape)
        shown = [before[2], torch.where(mask[2][..., None], 255, 40).to(torch.uint8).expand(-1, -1, 3), after[2]]
        words = instruction(kind, before=change.before, after=change.after, number=change.number, seed=2)
        rows.append(beside(strip([one.numpy() for one in shown]), f"{kind}: {words}", width_px=150))
    return grid(rows, columns=2)


def _try(seed: int, kind: str):  # noqa: ANN202
    scene = SceneChoice(words={"time": "day"}).scene(seed)
    wanted = 2 if kind in ("add", "remove", "recolour", "replace") else 1
    if len(scene.subjects) != wanted or scene.weather != "clear" or scene.style != "toy" or scene.subjects[-1].target:
        return None
    try:
        return edit(scene, seed=seed, kind=kind)
    except InvalidInput:
        return None


def outputs() -> Picture:
    """Everything that is exact a pixel."""
    scene = SceneChoice(
        words={"place": "park", "time": "day", "kind": "horse", "action": "run", "weather": "clear"}
    ).scene(1)
    shape = VideoShape(frames=3, height_px=128, width_px=128, fps=8)
    names = ("rgb", "depth", "masks", "flow", "sketch", "pose")
    (found,) = render([scene], shape, outputs=names)
    assert found.frames is not None
    assert found.depth is not None
    assert found.masks is not None
    assert found.flow is not None
    assert found.sketch is not None
    assert found.pose is not None
    near = (2.0 / found.depth[1].clamp(min=2.0)).clamp(0, 1) ** 0.7
    flow = found.flow[1] / found.flow[1].abs().amax().clamp(min=1e-6)
    hues = torch.tensor([[255, 90, 60], [60, 200, 90], [80, 140, 255]], dtype=torch.float32)
    masks = sum(m[1][..., None] * hue for m, hue in zip(found.masks, hues, strict=False))
    shown = {
        "rgb": found.frames[1],
        "depth": (near * 255)[..., None].expand(-1, -1, 3),
        "masks": masks,
        "flow": torch.stack([0.5 + flow[..., 0] / 2, 0.5 + flow[..., 1] / 2, 0.5 + 0 * flow[..., 0]], -1) * 255,
        "sketch": found.sketch[1],
        "pose": found.pose[1],
    }
    return grid([labelled(np.asarray(v).astype(np.uint8), k) for k, v in shown.items()], columns=6)


def levels() -> Picture:
    """Scenes of every difficulty, as they come."""
    rows = []
    for level in DIFFICULTIES:
        scenes = [SceneChoice(difficulty=level).scene(seed) for seed in range(8)]
        rows.append(beside(strip([still(scene, at_s=1.0) for scene in scenes]), level))
    return grid(rows, columns=1)


def showcase() -> Picture:
    """The README's picture: some of what there is."""
    size = (176, 112)
    chosen = [
        scene_of("puppy", "play", place="park", time="day"),
        scene_of("cliff", place="coast", time="sunset", elevation_deg=20.0, layout=3),
        scene_of("astronaut", "wave", place="desert", time="night"),
        scene_of("boat", "float", place="lake", time="dawn", weather="fog"),
        scene_of("train", "walk", place="hills", time="day", weather="cloudy"),
        scene_of("penguin", "slide", place="snowfield", time="sunset", weather="snow"),
        scene_of("lighthouse", place="coast", time="night"),
        scene_of("castle", place="forest", time="day", style="cartoon"),
        scene_of("duck", "walk", place="street", time="day", weather="rain"),
        scene_of("lantern", "swing", place="room", time="night"),
    ]
    return grid([still(scene, size=size, at_s=1.15) for scene in chosen], columns=5)


PICTURES: dict[str, Callable[[], Picture]] = {
    f.__name__: f for f in (kinds, places, weathers, cameras, actions, styles, edits, outputs, levels, showcase)
}


def main(names: Sequence[str]) -> None:
    """Draws the pictures called ``names``, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        path = FOLDER / f"{name}.jpg"
        Image.fromarray(PICTURES[name]()).save(path, quality=QUALITY, optimize=True)
        sys.stdout.write(f"{path}: {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
