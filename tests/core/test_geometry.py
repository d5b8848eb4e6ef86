from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.geometry import (
    Bucket,
    Compression,
    LatentShape,
    VideoShape,
    nearest_bucket,
    nearest_multiples,
    nearest_size,
    parse_aspect,
    parse_size,
)

compressions = st.builds(
    lambda time, space, channels, patch: Compression(time=time, space=space, channels=channels, align=space * patch),
    st.integers(1, 8),
    st.integers(1, 32),
    st.integers(1, 128),
    st.integers(0, 3),
)
sides = st.integers(1, 500)


@given(compression=compressions, frames=st.floats(0, 1000))
def test_snapping_is_valid_nearest_and_stays(compression: Compression, frames: float) -> None:
    snapped = compression.snap_frames(frames)
    assert snapped >= 1
    assert (snapped - 1) % compression.time == 0
    assert compression.snap_frames(snapped) == snapped
    assert compression.nearest_frames(snapped) == [snapped]
    every = range(1, snapped + 3 * compression.time, compression.time)
    assert abs(snapped - frames) == min(abs(n - frames) for n in every)


def test_a_tie_takes_the_shorter() -> None:
    compression = Compression(time=4, space=8, channels=16)
    assert compression.nearest_frames(15) == [13, 17]
    assert compression.snap_frames(15) == 13
    assert compression.nearest_frames(16) == [17, 13]


@given(compression=compressions, frames=st.integers(1, 60), height=sides, width=sides)
def test_video_to_latent_and_back(compression: Compression, frames: int, height: int, width: int) -> None:
    video = VideoShape(
        frames=1 + (frames - 1) * compression.time,
        height_px=height * compression.align_px,
        width_px=width * compression.align_px,
        fps=7.0,
    )
    latent = compression.latent(video)
    assert latent.frames == frames
    assert latent.channels == compression.channels
    assert compression.video(latent, 7.0) == video
    assert latent.as_tuple() == (latent.channels, latent.frames, latent.height, latent.width)
    patch = compression.align_px // compression.space
    assert latent.num_tokens((1, patch, patch)) == frames * height * width


@given(compression=compressions, frames=st.integers(1, 200), height=sides, width=sides)
def test_off_the_grid_is_refused_with_neighbours_that_fit(
    compression: Compression, frames: int, height: int, width: int
) -> None:
    video = VideoShape(frames=frames, height_px=height, width_px=width, fps=7.0)
    step = compression.align_px
    fits = (frames - 1) % compression.time == 0 and height % step == 0 and width % step == 0
    if fits:
        compression.check(video)
        return
    with pytest.raises(UnsupportedRequest) as caught:
        compression.latent(video)
    error, value = caught.value, getattr(video, caught.value.field)
    assert error.field in ("frames", "height_px", "width_px")
    assert error.value == value
    named = [int(n) for n in error.rule.split("nearest: ")[1].split(" or ")]
    for near in named:
        good = (near - 1) % compression.time == 0 if error.field == "frames" else near % step == 0
        assert good
        assert near >= 1
    gap = compression.time if error.field == "frames" else step
    assert abs(named[0] - value) == min(abs(n - value) for n in named)
    assert abs(named[0] - value) <= gap / 2 or named[0] == step


@given(value=st.integers(1, 5000), step=st.integers(1, 64))
def test_nearest_multiples(value: int, step: int) -> None:
    near = nearest_multiples(value, step)
    best = min(range(step, value + 2 * step, step), key=lambda n: (abs(n - value), n))
    assert near[0] == best
    assert all(n % step == 0 and n > 0 for n in near)
    assert (near == [value]) == (value % step == 0)


@given(compression=compressions, latent_frames=st.integers(1, 40))
def test_every_frame_lies_in_one_latent_frame(compression: Compression, latent_frames: int) -> None:
    held = [f for i in range(latent_frames) for f in compression.frames_of_latent(i)]
    assert held == list(range(1 + (latent_frames - 1) * compression.time))
    for i in range(latent_frames):
        assert all(compression.latent_frame_of(f) == i for f in compression.frames_of_latent(i))
    shown = compression.shown_frames(latent_frames)
    assert shown == [0, *range(compression.time, held[-1] + 1, compression.time)]


@given(sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=6), aspect=st.floats(0.05, 20))
def test_nearest_size_is_nearest_in_the_logarithm(sizes: list[tuple[int, int]], aspect: float) -> None:
    def off(size: tuple[int, int]) -> float:
        return abs(math.log(size[0] / size[1]) - math.log(aspect))

    chosen = nearest_size(sizes, aspect)
    assert chosen in sizes
    assert off(chosen) <= min(map(off, sizes)) + 1e-8


def test_the_larger_of_two_sizes_of_one_aspect() -> None:
    assert nearest_size([(16, 9), (32, 18), (9, 16)], 16 / 9) == (32, 18)
    # half as wide again is as far as half as high again
    assert nearest_size([(20, 10), (30, 60)], 1.0) == (30, 60)


buckets = st.builds(
    lambda f, h, w: Bucket(frames=f, height_px=h, width_px=w),
    st.integers(1, 90),
    st.integers(8, 300),
    st.integers(8, 300),
)
videos = st.builds(
    lambda f, h, w: VideoShape(frames=f, height_px=h, width_px=w, fps=7.0), st.integers(1, 120), sides, sides
)


def fits(bucket: Bucket, video: VideoShape) -> bool:
    return bucket.frames <= video.frames and bucket.height_px <= video.height_px and bucket.width_px <= video.width_px


@given(table=st.lists(buckets, min_size=1, max_size=8), video=videos)
def test_the_bucket_fits_and_none_of_its_aspect_is_better(table: list[Bucket], video: VideoShape) -> None:
    fitting = [b for b in table if fits(b, video)]
    if not fitting:
        with pytest.raises(InvalidInput, match="clip"):
            nearest_bucket(table, video)
        return
    chosen = nearest_bucket(table, video)
    assert chosen in fitting

    def off(bucket: Bucket) -> float:
        return abs(math.log(bucket.width_px / bucket.height_px * video.height_px / video.width_px))

    assert off(chosen) <= min(map(off, fitting)) + 1e-5
    same = [b for b in fitting if b.width_px * chosen.height_px == chosen.width_px * b.height_px]
    assert chosen.frames == max(b.frames for b in same)
    long = [b for b in same if b.frames == chosen.frames]
    assert chosen.height_px == max(b.height_px for b in long)
    assert nearest_bucket(list(reversed(table)), video) == chosen


@given(width=st.integers(1, 99999), height=st.integers(1, 99999))
def test_sizes_are_read_in_every_spelling(width: int, height: int) -> None:
    for text in (f"{width}x{height}", f"{width}X{height}", f" {width} × {height} "):
        assert parse_size(text) == (width, height)
    for text in (f"{width}:{height}", f"{width}：{height}"):
        assert parse_aspect(text) == width / height


@pytest.mark.parametrize(
    "text", ["", "x", "96", "96x", "0x96", "-1x5", "1.5x2", "9x9x9", "axb", "9" * 5000 + "x9", "½x9"]
)
def test_sizes_that_cannot_be_read_are_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="WIDTHxHEIGHT") as caught:
        parse_size(text, "--size")
    assert caught.value.field == "--size"
    with pytest.raises(InvalidInput, match="WIDTH:HEIGHT") as caught:
        parse_aspect(text.replace("x", ":"), "--aspect")
    assert caught.value.field == "--aspect"


@pytest.mark.parametrize("field", ["frames", "height_px", "width_px", "fps"])
@pytest.mark.parametrize("value", [0, -3, float("nan"), float("inf"), "5", None])
def test_a_shape_that_is_none_is_named(field: str, value: object) -> None:
    good: dict = {"frames": 5, "height_px": 7, "width_px": 11, "fps": 13.0}
    with pytest.raises(InvalidInput) as caught:
        VideoShape(**{**good, field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("field,value", [("time", 0), ("space", 0), ("channels", -1), ("align", 12), ("align", -8)])
def test_a_compression_that_is_none_is_named(field: str, value: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        Compression(**{"time": 4, "space": 8, "channels": 16, field: value})
    assert caught.value.field == field


@given(video=videos)
def test_a_shape_says_what_it_is(video: VideoShape) -> None:
    assert video.seconds == video.frames / 7
    assert video.pixels == video.frames * video.height_px * video.width_px
    for number in (video.frames, video.height_px, video.width_px):
        assert str(number) in str(video)


def test_buckets_sort() -> None:
    table = [Bucket(frames=f, height_px=h, width_px=5) for f in (9, 5) for h in (7, 3)]
    assert [(b.frames, b.height_px) for b in sorted(table)] == [(5, 3), (5, 7), (9, 3), (9, 7)]
    assert str(table[0]) == "5x7x9"
    assert LatentShape(channels=2, frames=3, height=5, width=7).num_tokens() == 3 * 2 * 3
