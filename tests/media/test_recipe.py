"""Recipes in every kind of file, through copying, and what is none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from kinema.core.errors import InvalidInput, MediaError
from kinema.media.digest import FramesDigest, frames_digest
from kinema.media.recipe import MAX_RECIPE_BYTES, read_recipe
from kinema.media.write import VideoWriter, write_video
from tests.media.helpers import find_box, ramp

NAMES = ["a.mp4", "a.m4v", "a.mov", "a.gif", "a.webp", "a.png", "a.jpg", "one.webp", "a%02d.png"]
RECIPE = {
    "request": {"prompt": "小狗在公园里玩耍 🐕 </x> & \x00\x1f\ufffe\u2028", "seed": 2**63 - 1},
    "plan": {"dtype": "bfloat16", "threads": 2},
    "seconds": 12.25,
    "flops": 1e15,
    "joules": "unknown",
    "nested": [None, True, {"ключ": ["значение"] * 3}],
}
LONG = {**RECIPE, "long": "镜头" * 11_000}  # 66 kB


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("recipe", [{}, RECIPE, LONG], ids=["empty", "usual", "long"])
def test_round_trip(tmp_path: Path, name: str, recipe: dict) -> None:
    frames = ramp(1 if name in ("a.png", "a.jpg", "one.webp") else 3, 18, 24)
    write_video(tmp_path / name, frames, fps=8, recipe=recipe)
    path = sorted(tmp_path.iterdir())[0]
    assert read_recipe(path) == recipe
    assert read_recipe(str(path)) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_the_same_with_and_without(tmp_path: Path, name: str) -> None:
    frames = ramp(1 if name in ("a.png", "a.jpg", "one.webp") else 3, 18, 24)
    seen = []
    for folder, recipe in (("with", LONG), ("without", None)):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / name, frames, fps=8, recipe=recipe)
        path = sorted((tmp_path / folder).iterdir())[0]
        with av.open(str(path)) if path.suffix in (".mp4", ".m4v", ".mov") else Image.open(path) as file:
            if isinstance(file, Image.Image):
                seen.append(np.asarray(file.convert("RGB")))
            else:
                seen.append(np.stack([f.to_ndarray() for f in file.decode(video=0)]))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert read_recipe(path) is None


def test_the_mp4_comment_is_plain_json(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(2, 16, 16), fps=8, recipe=RECIPE).path
    text = find_box(path.read_bytes(), "moov/udta/meta/ilst/\xa9cmt/data")[8:].decode()
    assert json.loads(text)["request"] == RECIPE["request"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_it_survives_copying_to_another_container(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(5, 16, 16), fps=8, recipe=LONG).path
    copy = tmp_path / f"b.{suffix}"
    with av.open(str(path)) as source, av.open(str(copy), "w") as out:
        out.metadata.update(source.metadata)
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert read_recipe(copy) == LONG


def test_it_may_come_last_and_get_the_digest(tmp_path: Path) -> None:
    frames = ramp(7, 16, 16)
    recipe: dict[str, object] = {}
    with VideoWriter(tmp_path / "a.mp4", fps=8) as writer:
        writer.recipe = recipe
        for chunk in np.split(frames, [1, 4]):
            writer.write(chunk)
        recipe["seconds"] = 3.5
    assert read_recipe(tmp_path / "a.mp4") == {"seconds": 3.5}
    write_video(tmp_path / "b.gif", frames, fps=8, recipe=lambda digest: {"frames": digest})
    assert read_recipe(tmp_path / "b.gif") == {"frames": frames_digest(frames)}


@pytest.mark.parametrize(
    "recipe", [{"a": math.nan}, {"a": math.inf}, {"a": {1, 2}}, {"a": "\ud800"}, {"a": "x" * MAX_RECIPE_BYTES}]
)
def test_what_no_file_can_hold(tmp_path: Path, recipe: dict) -> None:
    with pytest.raises(InvalidInput, match="^recipe: ") as e:
        write_video(tmp_path / "a.png", ramp(1, 8, 8), fps=8, recipe=recipe)
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 300


def test_files_of_others(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", comment=b"holiday")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg", comment=b'{"a": 1}')
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif", comment=b"\xff\xfe[broken")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", xmp=b"<x:xmpmeta/>")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.metadata["comment"] = "filmed in 2019"
        stream = container.add_stream("libx264", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
    for path in tmp_path.iterdir():
        assert read_recipe(path) is None, path.name


def test_what_is_no_media_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for path, rule in ((tmp_path / "a.txt", "no picture, video or sound"), (tmp_path / "b.mp4", "does not exist")):
        with pytest.raises(MediaError, match=rule):
            read_recipe(path)


def test_digest_knows_pixels_order_and_shape_but_not_chunks() -> None:
    frames = ramp(7, 5, 3)
    whole = frames_digest(frames)
    assert whole.startswith("sha256:")
    assert len(whole) == 71
    for cuts in ([1], [2, 3], [6]):
        digest = FramesDigest()
        for chunk in np.split(frames, cuts):
            digest.update(chunk)
        assert digest.value() == whole
    one = FramesDigest()
    for frame in frames:
        one.update(frame)
    assert one.value() == whole
    changed = frames.copy()
    changed[3, 2, 1, 0] ^= 1
    others = [changed, frames[::-1], frames[:-1], frames.reshape(7, 3, 5, 3), frames.reshape(5, 7, 3, 3)]
    assert len({frames_digest(f) for f in others} | {whole}) == len(others) + 1


def test_digest_is_what_it_says() -> None:
    import hashlib

    frames = np.arange(2 * 1 * 2 * 3, dtype=np.uint8).reshape(2, 1, 2, 3)
    assert frames_digest(frames) == "sha256:" + hashlib.sha256(bytes(range(12)) + b"2x1x2x3").hexdigest()
    # a view with another order in memory
    assert frames_digest(np.asfortranarray(frames)) == frames_digest(frames)
