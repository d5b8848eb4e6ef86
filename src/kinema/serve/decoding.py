"""The process that decodes a stranger's file for `kinema.serve.uploads`: it binds itself first, then says what it sees on stdout.

It writes ``H`` and a line of JSON (width_px, height_px), ``R`` and the rows of pixels, then ``E``; or, at any point, ``X`` and a line of
JSON with the rule that the file breaks. Rows are RGB with PNG's filter "up" applied, and its number before each.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from kinema.core.errors import KinemaError, MediaError
from kinema.serve.confine import refuse_calls, refuse_files

_LIBRARIES = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/proc/self",
    "/sys/devices/system/cpu",
)
_CONTAINERS = {
    "png": ("png",),
    "jpeg": ("jpeg", "mpo"),
    "webp": ("webp",),
    "gif": ("gif",),
    "avif": ("avif",),
}


def main(path: str, kind: str, limits_json: str) -> None:
    """Decodes ``path``, which is to be a ``kind``."""
    limits = json.loads(limits_json)
    bind(limits, path)
    # what is written is read by a program: nobody else shall write there
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _tell(Path(path), kind, limits, out)
        out.write(b"E")
    except (KinemaError, MemoryError) as e:
        rule = e.rule if isinstance(e, MediaError) else str(e)
        if isinstance(e, MemoryError) or isinstance(e.__cause__, MemoryError):
            rule = f"needs more than {limits['memory_bytes'] >> 20} MiB to be decoded; make it smaller"
        _refuse(out, rule)
    out.flush()
    # no finalisers: the libraries' own may hang over a file that is broken on purpose
    os._exit(0)


def bind(limits: dict[str, Any], path: str) -> None:
    """Takes away from this process what decoding ``path`` doesn't need. It can't be undone."""
    if hasattr(os, "sched_setaffinity"):
        # on one processor the decoders start no threads
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    bounds = [
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
    ]
    for which, soft, hard in bounds:
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (soft, hard))
    # where libraries are, since some are loaded late; not all of sys.path, which may hold the folder that the server was started in
    packages = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    package = str(Path(__file__).parents[1])
    refuse_files(but=[path, package, *packages, sys.prefix, sys.base_prefix, *_LIBRARIES])
    refuse_calls()


def _tell(path: Path, kind: str, limits: dict[str, Any], out: BinaryIO) -> None:
    import numpy as np

    from kinema.media.picture import read_picture
    from kinema.media.read import open_source

    with open_source(path) as source:
        info = source.info
    if info.container not in _CONTAINERS[kind]:
        raise MediaError("file", "", f"begins like {kind} and is {info.container}; export it again")
    num_px = info.coded_width_px * info.coded_height_px
    if num_px > limits["max_px"]:
        raise MediaError("file", "", f"has {num_px:,} pixels a frame; at most {limits['max_px']:,} are decoded")
    if info.is_truncated:
        raise MediaError("file", path, "is cut off; copy it again")
    scale = min(1.0, limits["max_side_px"] / max(info.width_px, info.height_px))
    size = (max(1, round(info.width_px * scale)), max(1, round(info.height_px * scale)))
    picture = read_picture(path, width_px=size[0], height_px=size[1], fit="stretch")
    rows = np.empty((size[1], 1 + 3 * size[0]), np.uint8)
    rows[:, 0] = 2
    rows[:, 1:] = picture.reshape(size[1], -1)
    rows[1:, 1:] -= picture[:-1].reshape(size[1] - 1, -1)
    out.write(b"H" + json.dumps({"width_px": size[0], "height_px": size[1]}).encode() + b"\n")
    out.write(b"R" + rows.tobytes())


def _refuse(out: BinaryIO, rule: str) -> None:
    out.write(b"X" + json.dumps({"rule": rule[:300]}).encode() + b"\n")
