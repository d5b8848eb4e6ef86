from __future__ import annotations

import copy
import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core import errors
from kinema.core.errors import (
    AccessError,
    Cancelled,
    FetchError,
    InvalidInput,
    KinemaError,
    MediaError,
    MissingPackage,
    OutOfMemory,
    RefusedContent,
    StorageError,
    TrainingError,
    UnsupportedRequest,
    WeightsError,
    choices,
    needs_extra,
    shown,
    storage_errors,
)

FIELD_ERRORS = (InvalidInput, UnsupportedRequest, MissingPackage, RefusedContent, MediaError, FetchError, WeightsError)
PLAIN_ERRORS = (KinemaError, AccessError, StorageError, OutOfMemory, TrainingError, Cancelled)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = {line.split("──")[-1].split()[0] for line in errors.__doc__.splitlines() if "──" in line}  # pyright: ignore[reportOptionalMemberAccess]
    there = {c.__name__ for c in vars(errors).values() if isinstance(c, type) and issubclass(c, KinemaError)}
    assert drawn | {"KinemaError"} == there
    assert there == {c.__name__ for c in (*FIELD_ERRORS, *PLAIN_ERRORS)}


@pytest.mark.parametrize(
    "error,code",
    [
        (InvalidInput("a", 1, "b"), 2),
        (UnsupportedRequest("a", 1, "b"), 2),
        (MediaError("a", 1, "b"), 2),
        (WeightsError("a", 1, "b"), 2),
        (StorageError("full"), 2),
        (TrainingError("diverged"), 1),
        (Cancelled(), 130),
    ],
    ids=lambda v: type(v).__name__,
)
def test_exit_codes(error: KinemaError, code: int) -> None:
    assert error.exit_code == code


@given(
    kind=st.sampled_from(FIELD_ERRORS),
    field=st.text(max_size=9),
    value=st.text() | st.integers(),
    rule=st.text(max_size=9),
)
def test_field_errors_survive_pickling_and_copying(kind: type[InvalidInput], field: str, value: Any, rule: str) -> None:
    error = kind(field, value, rule)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert (again.field, again.value, again.rule) == (field, value, rule)


def test_codes_survive_pickling() -> None:
    fetch = pickle.loads(pickle.dumps(FetchError("url", "u", "took too long", code="timeout")))
    assert (fetch.code, fetch.retryable) == ("timeout", True)
    access = pickle.loads(pickle.dumps(AccessError("too many", code="rate.requests", retry_after_s=2.5)))
    assert (access.code, access.retry_after_s, str(access)) == ("rate.requests", 2.5, "too many")


@pytest.mark.parametrize("kind", PLAIN_ERRORS)
def test_plain_errors_survive_pickling(kind: type[KinemaError]) -> None:
    again = pickle.loads(pickle.dumps(kind("the disk is full")))
    assert type(again) is kind
    assert str(again) == "the disk is full"


@given(value=st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()) | st.floats() | st.none())
def test_a_message_is_one_short_line_that_any_terminal_takes(value: Any) -> None:
    text = str(InvalidInput("field", value, "must be better"))
    assert len(text.splitlines()) == 1
    assert len(text) <= len("field: : must be better") + 60
    assert text.startswith("field: ")
    assert text.endswith(": must be better")
    text.encode("utf-8")


def test_an_arrays_many_lines_become_one() -> None:
    class Array:
        def __str__(self) -> str:
            return "[[1 2]\n [3 4]]"

    assert str(InvalidInput("frames", Array(), "must be uint8")) == "frames: [[1 2] [3 4]]: must be uint8"


@given(
    name=st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=80), folder=st.text("ab/", max_size=400)
)
def test_of_a_long_path_the_name_is_shown(name: str, folder: str) -> None:
    path = Path("/", folder, name)
    text = shown(path)
    assert len(text.splitlines()) == 1
    assert len(text) <= 240
    text.encode("utf-8")
    assert text.endswith(repr(str(path))[-200:])
    assert text == repr(str(path)) or text.startswith(("'...", '"...'))


def test_choices() -> None:
    assert choices(["a", 5]) == "one of a, 5"


@pytest.mark.parametrize(
    "code,words",
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EFBIG, "grew past the file size"),
        (errno.EROFS, "not writable"),
        (errno.EACCES, "not writable"),
        (errno.EPERM, "not writable"),
        (errno.ENOENT, "folder does not exist"),
        (errno.ENOTDIR, "folder does not exist"),
        (errno.ENAMETOOLONG, "name is too long"),
        (errno.EISDIR, "is a folder"),
    ],
)
def test_what_the_disk_says_becomes_what_to_do(code: int, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught, storage_errors("out/clip.mp4"):
        raise OSError(code, os.strerror(code))
    assert str(caught.value).startswith("out/clip.mp4: ")
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_pass() -> None:
    with pytest.raises(ConnectionResetError), storage_errors("a"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(KeyError), storage_errors("a"):
        raise KeyError("a")
    with pytest.raises(MediaError), storage_errors("a"):
        raise MediaError("a", "b", "c")


def test_real_paths(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none" / "a.txt", "folder does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / ("a" * 5000), "name is too long"),
    ):
        with pytest.raises(StorageError, match=words), storage_errors(path):
            path.write_text("x", encoding="utf-8")
    with storage_errors(tmp_path / "a.txt"):
        (tmp_path / "a.txt").write_text("x", encoding="utf-8")


@pytest.mark.parametrize(
    "error, words, name",
    [
        (ModuleNotFoundError("No module named 'a.b'", name="a.b"), "needs a: pip install 'kinema[hub]'", "a"),
        (
            ImportError("X requires Y\nand more"),
            "needs what is missing (X requires Y): pip install 'kinema[hub]'",
            None,
        ),
        (ImportError(), "needs what is missing (a package): pip install 'kinema[hub]'", None),
    ],
)
def test_a_package_that_is_missing_is_told_by_its_extra(error: ImportError, words: str, name: str | None) -> None:
    with pytest.raises(MissingPackage) as caught, needs_extra("hub", "model", "o/n"):
        raise error
    assert str(caught.value) == f"model: 'o/n': {words}"
    assert caught.value.name == name
    assert caught.value.__cause__ is error
    assert isinstance(caught.value, ImportError), "who asks for an import's error gets one"


def test_what_is_no_import_passes_by() -> None:
    with pytest.raises(KeyError), needs_extra("hub", "model", "o/n"):
        raise KeyError("a")
