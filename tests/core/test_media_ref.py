from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe, MediaRef

HASH = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "ref,kind",
    [
        ("cat.png", "path"),
        ("/a/猫 1.png", "path"),
        ("httpx.png", "path"),
        ("http://example.org/a.png", "url"),
        ("https://example.org/a.png", "url"),
        (HASH, "blob"),
    ],
)
def test_kinds(ref: str, kind: str) -> None:
    assert MediaRef(ref).kind == kind
    assert str(MediaRef(ref)) == ref


@pytest.mark.parametrize(
    "ref", ["", "  ", "a\x00b", "sha256:12", HASH + "\n", HASH.upper().replace("SHA", "sha"), 5, None]
)
def test_what_is_no_reference_is_named(ref: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        MediaRef(ref)  # pyright: ignore[reportArgumentType]
    assert caught.value.field == "media"


@given(at_s=st.floats(-100, 100), path=st.sampled_from(["a.png", "a@b.png", "me@home/5@6.png"]))
def test_a_keyframe_is_read_back(at_s: float, path: str) -> None:
    assert Keyframe.parse(f"{path}@{at_s!r}") == Keyframe(MediaRef(path), at_s)


def test_a_name_with_an_at_is_a_name() -> None:
    assert Keyframe.parse("me@home.png") == Keyframe(MediaRef("me@home.png"), 0.0)
    assert Keyframe.parse("cat.png") == Keyframe(MediaRef("cat.png"), 0.0)


@pytest.mark.parametrize("at_s", [float("nan"), float("inf"), "2", None, True])
def test_a_time_that_is_none_is_named(at_s: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        Keyframe(MediaRef("a.png"), at_s)  # pyright: ignore[reportArgumentType]
    assert caught.value.field == "at_s"


@pytest.mark.parametrize("text", ["", "@2", "a.png@nan", "a.png@inf"])
def test_a_keyframe_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Keyframe.parse(text)
