"""How much memory there is: of the system, of control groups of both versions, and by the process's own limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kinema.accel.pack import PackedLinear
from kinema.core.errors import InvalidInput
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.machine import memory_room_bytes
from tests.engine.conftest import run_python

KB = 1024


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A system with 9,000 kB to spare, and a process that holds 100 kB of its own."""
    root = tmp_path / "proc"
    (root / "self").mkdir(parents=True)
    (root / "meminfo").write_text("MemTotal:       90000 kB\nMemAvailable:    9000 kB\nHugePages_Total:       0\n")
    (root / "self/status").write_text(
        "Name:\tx\nVmSize:\t  5000 kB\nVmRSS:\t 300 kB\nRssAnon:\t 100 kB\nVmData:\t 700 kB\n"
    )
    return root


def group(folder: Path, limit: object, used: int, cached: int = 0, shared: int = 0, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache", "total_shmem")}
    limit_file, used_file, cache, shmem = names.get(version, ("memory.max", "memory.current", "file", "shmem"))
    (folder / limit_file).write_text(f"{limit}\n")
    (folder / used_file).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{cache} {cached}\n{shmem} {shared}\n")


def test_what_the_system_has_to_spare_and_what_is_held_already(proc: Path, tmp_path: Path) -> None:
    assert memory_room_bytes(proc=proc, cgroups=tmp_path / "none") == 9100 * KB
    assert memory_room_bytes(40 * KB, proc=proc, cgroups=tmp_path / "none") == 9040 * KB, (
        "the rest stays beside the run"
    )


def test_the_least_of_all_groups_counts(proc: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    (proc / "self/cgroup").write_text("0::/a/b\n")
    group(root / "a", 4000 * KB, 1000 * KB)
    group(root / "a/b", "max", 700 * KB)
    assert memory_room_bytes(proc=proc, cgroups=root) == 3100 * KB
    group(root / "a/b", 2000 * KB, 1500 * KB, cached=600 * KB, shared=200 * KB)
    assert memory_room_bytes(proc=proc, cgroups=root) == (500 + 400 + 100) * KB, (
        "files in the cache can go, shared memory can't"
    )


def test_groups_of_the_first_version(proc: Path, tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    # in a container the path is one of outside
    (proc / "self/cgroup").write_text("5:cpu:/x\n4:memory:/outside\n0::/\n")
    group(root / "memory", 3000 * KB, 2500 * KB, cached=400 * KB, version=1)
    assert memory_room_bytes(proc=proc, cgroups=root) == (500 + 400 + 100) * KB
    group(root / "memory", 2**63 - 4096, 2500 * KB, version=1)
    assert memory_room_bytes(proc=proc, cgroups=root) == 9100 * KB


def test_what_is_used_up_leaves_what_is_held(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("0::/\n")
    group(tmp_path, 1000 * KB, 2000 * KB)
    assert memory_room_bytes(proc=proc, cgroups=tmp_path) == 100 * KB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what a process holds")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_process_s_own_limits(limit: str) -> None:
    code = (
        "import resource\nfrom kinema.engine.machine import memory_room_bytes\n"
        f"resource.setrlimit(resource.{limit}, (900 * 2**20,) * 2)\nprint(memory_room_bytes())"
    )
    room = int(run_python(code))
    assert 600 * 2**20 < room <= 900 * 2**20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what a process holds")
def test_networks_that_go_leave_their_addresses(proc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are mapped count as addresses, whatever of them is the process's own."""
    monkeypatch.setattr("resource.getrlimit", lambda which: (7000 * KB, -1))
    assert memory_room_bytes(proc=proc, cgroups=tmp_path / "none") == (7000 - 5000 + 300) * KB
    assert memory_room_bytes(150 * KB, proc=proc, cgroups=tmp_path / "none") == 2150 * KB


def engine_of(model: Path, **settings: Any) -> Engine:
    return Engine(model, dtype="float32", threads=1, **settings)


def test_what_is_resident_is_counted_whole(tiny: Path, request_: GenerationRequest) -> None:
    """In whatever form: packed for the processor, or as bytes with scales."""
    plain, small = engine_of(tiny, offload="none"), engine_of(tiny, offload="none", quantise="int8")
    for engine in (plain, small):
        engine.generate(request_.replace(steps=1))
    whole = 4 * sum(plain.card.parameters.values())
    # and what no file has
    assert whole <= plain._resident_bytes() < 1.1 * whole
    saved = plain._resident_bytes() - small._resident_bytes()
    # matrices of a byte, less the scales of their rows, of which there are few for such narrow ones
    assert 2 * plain.card.blocks["transformer"].quantised < saved < 3 * plain.card.blocks["transformer"].quantised


def test_networks_that_are_here_stay_for_what_they_ran(
    tiny: Path, request_: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, asked = engine_of(tiny), request_.replace(steps=1)
    engine.generate(asked)
    # what a run leaves to its process is free to nobody else
    monkeypatch.setattr("kinema.engine.engine.memory_room_bytes", lambda *_: 1)
    assert engine.plan(asked.replace(seed=8)).offload == "none"
    for refused, more in ((engine, asked.replace(size="64x96")), (engine_of(tiny), asked)):
        with pytest.raises(InvalidInput, match="^memory: "):
            refused.plan(more)
    limited = engine_of(tiny, memory_limit_gb=0.01)
    limited._resident, limited._ran = engine._resident, engine._ran
    with pytest.raises(InvalidInput, match="^memory: '0.01 GB'"):
        limited.plan(asked)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells what is mapped")
def test_what_is_packed_isn_t_mapped_as_well(tiny: Path, request_: GenerationRequest) -> None:
    engine = engine_of(tiny, offload="none")
    engine.generate(request_.replace(steps=1))
    if not any(isinstance(m, PackedLinear) for m in engine._resident[1].denoisers[0].modules()):  # pyright: ignore[reportOptionalSubscript]
        pytest.skip("this processor or torch packs nothing")
    assert str(tiny / "transformer") not in Path("/proc/self/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_a_run_stays_within_its_prediction() -> None:
    code = (
        "from kinema.engine.engine import Engine\nfrom kinema.core.request import GenerationRequest\n"
        "from kinema.engine import machine\n"
        "engine = Engine(dtype='float32', threads=1, offload='component')\n"
        "asked = GenerationRequest(prompt='a red ball', frames=1, steps=1)\n"
        "engine.generate(asked)\nprint(engine.estimate(asked).peak_bytes, machine._sizes(machine._PROC / 'self/status')['VmHWM'])"
    )
    predicted, peak = map(int, run_python(code).split())
    assert 0.6 * predicted < peak <= predicted


def test_where_nothing_is_told(tmp_path: Path) -> None:
    room = memory_room_bytes(proc=tmp_path, cgroups=tmp_path)
    assert room is None or room == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
