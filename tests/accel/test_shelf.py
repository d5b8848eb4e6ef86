"""What waits on a shelf comes back in order, with its bits and strides, from memory or from its file."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kinema.accel import shelf
from kinema.accel.shelf import FileShelf
from kinema.core.errors import OutOfMemory
from kinema.models.autoencoders.chunked import State


def states(dtype: torch.dtype = torch.float32) -> list[State]:
    video = torch.randn(2, 3, 5, 4, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    last = video.contiguous(memory_format=torch.channels_last_3d)
    return [(video, None), (last, video), (last[:, :, 1:3], last[:, :, :1]), (video[:1, :, 2:], None)]


def passed_through(kept: FileShelf, given: list[State]) -> list[State]:
    for state in given:
        kept.put(state)
    return list(kept.drained())


def size_of(*given: Tensor | None) -> int:
    return sum(x.numel() * x.element_size() for x in given if x is not None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_here", [0, 1, 3, 4])
def test_states_come_back_in_order_and_bit_for_bit(folder: Path, dtype: torch.dtype, num_here: int) -> None:
    given = states(dtype)
    kept = FileShelf(sum(size_of(*state) for state in given[:num_here]))
    for state in given:
        kept.put(state)
    assert list(folder.iterdir()) == [], "a file without a name"
    found = list(kept.drained())
    assert len(found) == len(given)
    for i, (mine, other) in enumerate(zip(found, given, strict=True)):
        assert (mine[0] is other[0]) == (i < num_here)
        for x, y in zip(mine, other, strict=True):
            assert (x is None) == (y is None)
            if x is not None and y is not None:
                assert x.dtype == dtype
                assert torch.equal(x, y)
                assert x.stride() == (y if i < num_here else torch.empty_like(y)).stride()


def test_once_one_is_away_all_later_ones_are(folder: Path) -> None:
    large, small = torch.ones(1, 1, 1, 9, 9), torch.ones(1, 1, 1, 1, 1)
    kept = FileShelf(size_of(large) - 1)
    kept.put((large, None))
    kept.put((small, None))
    assert [x.shape for x, _ in kept.drained()] == [large.shape, small.shape]


def test_a_full_disk_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shelf, "_write", full)
    with pytest.raises(OutOfMemory, match=f"{folder}: no space left on the disk"):
        FileShelf(0).put(states()[0])


@pytest.mark.parametrize("num_states", [1, 9])
def test_a_file_that_may_not_grow_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, num_states: int, recwarn: pytest.WarningsRecorder
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(sys, "excepthook", lambda *error: unraisable.append(error))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutOfMemory, match="past the file size"):
            passed_through(FileShelf(0), [(torch.ones(1, 1, 1, 1, 500), None)] * num_states)
        gc.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert unraisable == []
    assert [str(w.message) for w in recwarn] == []


def test_no_folder_with_room_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(OutOfMemory, match="decode: no folder for temporary files .*TMPDIR"):
        FileShelf(0).put(states()[0])


def test_a_folder_that_isn_t_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with pytest.raises(OutOfMemory, match="none: the folder does not exist"):
        FileShelf(0).put(states()[0])
