"""Whether this machine is fit to make clips, and how fast it may be: each check runs what it speaks of."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kinema.core.errors import KinemaError
from kinema.core.version import VERSION

_LEAST_MEMORY_BYTES = 2e9
_LEAST_DISK_BYTES = 200e6
_LEAST_PYTHON = (3, 10)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found. ``hint`` says what to do where it isn't well."""

    name: str
    value: str
    is_well: bool = True
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def examine(folder: Path) -> Iterator[Finding]:
    """The findings, one by one; ``folder`` is where clips would be written. A check that fails is a finding too."""
    for name, check in CHECKS.items():
        try:
            yield check(folder)
        except Exception as e:  # whatever is broken here is what the caller wants to read about
            yield Finding(
                name=name, value=f"{type(e).__name__}: {e}", is_well=False, hint="reinstall Kinema: make clean demo"
            )


def _python(folder: Path) -> Finding:
    is_well = sys.version_info >= _LEAST_PYTHON
    text = f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}"
    return Finding(
        name="python", value=text, is_well=is_well, hint="" if is_well else "Kinema needs Python 3.10 or newer"
    )


def _kinema(folder: Path) -> Finding:
    return Finding(name="kinema", value=f"{VERSION} ({Path(__file__).resolve().parents[1]})")


def _torch(folder: Path) -> Finding:
    import torch

    has_gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if has_gpu else "no GPU, which Kinema doesn't need"
    return Finding(name="torch", value=f"{torch.__version__}, {torch.get_num_threads()} threads; {device}")


def _processor(folder: Path) -> Finding:
    import torch

    from kinema.engine.machine import bf16_instructions, cpu_model, num_cores

    vectors = torch.backends.cpu.get_cpu_capability()
    bf16 = bf16_instructions() or "no bfloat16 instructions"
    return Finding(name="processor", value=f"{cpu_model()}; {num_cores()} cores; {vectors}, {bf16}")


def _memory(folder: Path) -> Finding:
    total, free = _memory_bytes()
    is_well = free is None or free >= _LEAST_MEMORY_BYTES
    known = "unknown" if total is None else f"{total / 1e9:.1f} GB, {(free or 0) / 1e9:.1f} GB free"
    return Finding(name="memory", value=known, is_well=is_well, hint="" if is_well else "close other programs")


def _products(folder: Path) -> Finding:
    import torch

    from kinema.training.speed import matmul_peak

    cpu = torch.device("cpu")
    fp32, bf16 = (matmul_peak(cpu, name, sizes=(1024,), repeats=3) / 1e9 for name in ("float32", "bfloat16"))
    return Finding(name="matrix products", value=f"{fp32:.0f} GFLOP/s in fp32, {bf16:.0f} in bf16")


def _video(folder: Path) -> Finding:
    """Writes a clip and reads it back: PyAV, its FFmpeg and the H.264 encoder are there."""
    import numpy as np

    from kinema.media.probe import probe
    from kinema.media.write import write_video

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "probe.mp4"
        write_video(path, np.zeros((3, 32, 48, 3), np.uint8), fps=8)
        codec = probe(path).codec
    return Finding(name="video", value=f"PyAV {version('av')} writes and reads {codec}", is_well=codec == "h264")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    is_writable = os.access(folder, os.W_OK)
    is_well = is_writable and free >= _LEAST_DISK_BYTES
    value = f"{free / 1e9:.1f} GB free in {folder.resolve()}, {'writable' if is_writable else 'not writable'}"
    return Finding(
        name="disk", value=value, is_well=is_well, hint="" if is_well else "choose another folder with --out"
    )


def _models(folder: Path) -> Finding:
    from kinema.app.models import list_models
    from kinema.weights.folder import open_model

    models = list_models()
    if not models:
        return Finding(
            name="models", value="none", is_well=False, hint="`make train-mini` trains the one that is shipped"
        )
    try:
        names = [
            f"{m.name} {m.card.version} ({m.num_parameters / 1e6:.1f} M, {open_model(m.name).content_hash()[:19]})"
            for m in models
        ]
    except KinemaError as e:
        return Finding(name="models", value=str(e), is_well=False, hint="reinstall Kinema: its files are damaged")
    return Finding(name="models", value=", ".join(names))


def _memory_bytes() -> tuple[float | None, float | None]:
    """(all, free) bytes of memory, None where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {key: float(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}
        return sizes["MemTotal"], sizes.get("MemAvailable")
    except (OSError, ValueError, KeyError):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")), None
    except (AttributeError, ValueError, OSError):
        return None, None


CHECKS: dict[str, Callable[[Path], Finding]] = {
    "python": _python,
    "kinema": _kinema,
    "torch": _torch,
    "processor": _processor,
    "memory": _memory,
    "matrix products": _products,
    "video": _video,
    "disk": _disk,
    "models": _models,
}
