"""What this computer is: its processor, vector sets and energy counters, its memory and its GPU's. Without torch, but for the GPU."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from kinema.core.memory import RUNTIME_BYTES

_CPUINFO = Path("/proc/cpuinfo")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_POWERCAP = Path("/sys/class/powercap")
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# where each version of cgroups says: its limit, what is used of it, and what of that are files that can be read again
_CGROUP_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache", "total_shmem"),
    2: ("memory.max", "memory.current", "file", "shmem"),
}
# widest matrix instructions first: each set rounds and sums in its own order
_BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """A name of the processor that tells models apart: vendor's name, family, model and stepping where the system says."""
    facts = _cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine()
    numbers = "/".join(facts[k] for k in ("cpu family", "model", "stepping") if k in facts)
    return f"{name} {numbers}".strip()


@lru_cache(maxsize=1)
def bf16_instructions() -> str:
    """The processor's instructions for bfloat16 products (``amx_bf16``, ``avx512_bf16``), or "" where it has none or doesn't say."""
    flags = _cpuinfo().get("flags", _cpuinfo().get("Features", "")).split()
    return next((f for f in _BF16_FLAGS if f in flags), "")


@lru_cache(maxsize=1)
def num_cores() -> int:
    """Cores that this process may use; two hardware threads of a core count once, since both wait for the same multipliers."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        try:
            siblings.add(Path(_TOPOLOGY.format(cpu)).read_text(encoding="ascii").strip())
        except OSError:
            siblings.add(str(cpu))
    return max(1, len(siblings))


def peak_rss_bytes() -> int | None:
    """The most memory that this process has held so far, or None where the system doesn't say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_room_bytes(most_own: float = math.inf, *, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes of memory that there are for a run, with what this process holds now; None where the system doesn't say.

    Of its own at most ``most_own`` counts: what else it holds will stay beside the run. By its own limits files that are
    mapped, of weights and of libraries, count as held, too; elsewhere they are among what there is to spare.
    The least of what the system has to spare, of what its control groups allow, and of its own limits on addresses and data.
    """
    own = _sizes(proc / "self/status")
    held = int(min(own.get("RssAnon", own.get("VmRSS", 0)), most_own))
    rooms = [max(0, spare) + held for spare in _cgroup_spare(proc / "self/cgroup", cgroups)]
    rss = own.get("VmRSS", held)
    rooms += [max(0, limit - used) + int(min(rss, used, most_own)) for limit, used in _limits(own)]
    if (available := _sizes(proc / "meminfo").get("MemAvailable")) is not None:
        rooms.append(available + held)
    if not rooms:
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None
    return min(rooms)


def _limits(own: dict[str, int]) -> Iterator[tuple[int, int]]:
    """(what this process may take, what of it it has taken) by each of its limits."""
    try:
        import resource
    except ImportError:
        return
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY and used in own:
            yield soft, own[used]


def _cgroup_spare(membership: Path, root: Path) -> Iterator[int]:
    """What the control groups of this process, and those around them, have left. Files that can be read again count as free."""
    try:
        lines = membership.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            version, top = 2, root
        elif "memory" in controllers.split(","):
            version, top = 1, root / "memory"
        else:
            continue
        limit_file, used_file, cached, shared = _CGROUP_FILES[version]
        # within a container the path may be one of outside: its groups are those that are found
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for count in range(len(parts) + 1):
            group = top.joinpath(*parts[:count])
            try:
                limit = int((group / limit_file).read_text(encoding="ascii"))
                used = int((group / used_file).read_text(encoding="ascii"))
                stat = dict(
                    row.split(" ", 1) for row in (group / "memory.stat").read_text(encoding="ascii").splitlines()
                )
                yield limit - used + max(0, int(stat.get(cached, 0)) - int(stat.get(shared, 0)))
            except (OSError, ValueError):  # no such group, or "max"
                continue


def _sizes(file: Path) -> dict[str, int]:
    """Name -> bytes of the lines of ``file`` that tell kilobytes."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {k: int(v.split()[0]) * 1024 for k, _, v in pairs if v.endswith("kB") and v.split()[0].isdigit()}


def device_room_bytes() -> int:
    """Bytes that this process may come to hold of the current GPU, what it holds now included."""
    import torch

    return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() + RUNTIME_BYTES["cuda"]


class EnergyMeter:
    """Joules that the processor packages used since it was made, all of the machine's work included (RAPL)."""

    def __init__(self, root: Path = _POWERCAP) -> None:
        # "intel-rapl:0" is a package, "intel-rapl:0:1" a part of one; AMD's packages carry the same name
        self._zones = [p for p in sorted(root.glob("intel-rapl:*")) if p.name.count(":") == 1]
        self._start = [self._read(zone, "energy_uj") for zone in self._zones]

    def joules(self) -> float | None:
        """Joules so far; None where there is no counter or it may not be read. The counter may wrap once."""
        if not self._zones:
            return None
        total = 0
        for zone, start in zip(self._zones, self._start, strict=True):
            now, limit = self._read(zone, "energy_uj"), self._read(zone, "max_energy_range_uj")
            if start is None or now is None or (now < start and limit is None):
                return None
            total += now - start if now >= start else now - start + (limit or 0)
        return total / 1e6

    @staticmethod
    def _read(zone: Path, name: str) -> int | None:
        try:
            return int((zone / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


def _cpuinfo() -> dict[str, str]:
    try:
        first = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
