"""What waits on a shelf comes back in order, with its bits and strides, from memory or from its file."""

from __future__ import annotations

import errno
import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.accel import shelf
from kinema.accel.shelf import FileShelf
from kinema.core.errors import OutOfMemory
from kinema.models.autoencoders import chunked
from kinema.models.autoencoders.chunked import State
from tests.models.autoencoders.published import latents_and_video, pair


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


def test_files_go_as_states_leave(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []
    make = tempfile.TemporaryFile

    def made(**options: Any) -> Any:
        files.append(make(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", made)
    given = states() * 3
    kept = FileShelf(size_of(*given[0]), file_bytes=1)
    for state in given:
        kept.put(state)
    num_open = []
    for state, (video, _) in zip(given, kept.drained(), strict=True):
        assert torch.equal(video, state[0])
        num_open.append(sum(not file.closed for file in files))
    assert num_open == [11, *range(11, 0, -1)]
    assert all(file.closed for file in files)


def test_files_take_what_the_plan_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, most = list[Any](), 0
    make, write = tempfile.TemporaryFile, shelf._write

    def made(**options: Any) -> Any:
        files.append(make(**options))
        return files[-1]

    def written(file: Any, video: Tensor) -> Any:
        nonlocal most
        header = write(file, video)
        most = max(most, sum(os.fstat(f.fileno()).st_size for f in files if not f.closed))
        return header

    monkeypatch.setattr(tempfile, "TemporaryFile", made)
    monkeypatch.setattr(shelf, "_write", written)
    monkeypatch.setattr(chunked, "_CPU_VALUES", 1)
    model = pair({"block_out_channels": (6, 12, 24, 24), "norm_num_groups": 3})[1]
    latents, video = latents_and_video(model, 1, 9, 3, 4)
    list(model.decode_stream(latents, make_shelf=partial(FileShelf, 0, file_bytes=1)))
    # two maps of the finest width, as in `kinema.weights.families.hunyuan_video`
    counted = video.numel() // 3 * 2 * 6 * 4
    # and the file that is read, and the one that grows: a frame each
    assert 0.9 * counted < most <= counted + 2 * counted / video.shape[2]


def test_room_is_asked_for_before_it_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(folder)._replace(free=2 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda asked: {str(folder): free}[asked])
    shelf.check_room(2 * 10**9)
    with pytest.raises(OutOfMemory, match=rf"^no room for the decode: {folder}: takes 2\.1 GB .* and 2 GB are free"):
        shelf.check_room(2_100_000_000)


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
    with pytest.raises(OutOfMemory, match="^no room for the decode: no folder for temporary files .*TMPDIR"):
        FileShelf(0).put(states()[0])


def test_too_many_open_files_are_said(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = FileShelf(0, file_bytes=1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, before[1]))
    try:
        with pytest.raises(OutOfMemory, match=rf"{folder}: too many files are open; .*ulimit -n"):
            passed_through(kept, states() * 9)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_folder_that_isn_t_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with pytest.raises(OutOfMemory, match="none: the folder does not exist"):
        FileShelf(0).put(states()[0])
