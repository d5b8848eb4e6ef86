"""The files of a finished clip as blobs, and the result that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinema.core.progress import Observer
from kinema.core.protocols import Clip
from kinema.media.quality import DEFAULT_QUALITY
from kinema.media.sheet import write_cover, write_spritesheet
from kinema.media.write import VideoWriter, write_picture
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.job import Job

# role -> (ending of the name, media type); a clip of one frame is a picture
_FILES = {
    "video": (".mp4", "video/mp4"),
    "cover": ("-cover.jpg", "image/jpeg"),
    "spritesheet": ("-spritesheet.jpg", "image/jpeg"),
    "last_frame": ("-last.png", "image/png"),
    "recipe": ("-recipe.json", "application/json"),
}
_PICTURE = (".png", "image/png")


def store_outputs(
    clip: Clip, job: Job, blobs: BlobStore, *, observer: Observer, quality: str = DEFAULT_QUALITY
) -> dict[str, Any]:
    """What a success tells of ``clip``: its files, each whole and on the disk, the request, notes and figures.

    Raises: StorageError; what was stored by then is swept, since no job names it.
    """
    files = {**_FILES, "video": _PICTURE} if clip.shape.frames == 1 else _FILES
    with blobs.scratch() as folder:
        paths = {role: folder / f"{job.id}{ending}" for role, (ending, _) in files.items()}
        notes = _write(clip, paths, observer, quality)
        outputs = {
            role: {
                "blob": blobs.put_file(path),
                "media_type": files[role][1],
                "bytes": path.stat().st_size,
                "name": path.name,
            }
            for role, path in paths.items()
        }
    return {
        "outputs": outputs,
        "resolved": dict(clip.recipe["request"]),
        "warnings": [*clip.recipe.get("notes", ()), *notes],
        "metrics": _metrics(clip.recipe.get("cost", {}), job),
    }


def store_preview(blobs: BlobStore, frames: Any) -> str:
    """The blob of a PNG: the middle one of small ``frames`` (t h w c), a pixel for each latent."""
    with blobs.scratch() as folder:
        path = folder / "preview.png"
        write_picture(path, np.asarray(frames)[len(frames) // 2])
        return blobs.put_file(path)


def _write(clip: Clip, paths: Mapping[str, Path], observer: Observer, quality: str) -> tuple[str, ...]:
    fps, frames = clip.shape.fps, clip.frames
    with VideoWriter(
        paths["video"], fps=fps, quality=quality, num_frames=clip.shape.frames, on_progress=observer
    ) as writer:
        writer.recipe = clip.recipe
        writer.write(frames)
    write_cover(paths["cover"], frames)
    write_spritesheet(paths["spritesheet"], frames, fps=fps)
    write_picture(paths["last_frame"], frames[-1])
    paths["recipe"].write_text(json.dumps(clip.recipe, ensure_ascii=False, indent=1), encoding="utf-8")
    return writer.result.notes


def _metrics(cost: Mapping[str, Any], job: Job) -> dict[str, float | None]:
    """What was measured, and None for what was not. Seconds of phases are those of the last attempt.

    What ``shared_by`` jobs did together, up to the decode, took so many times as long: each has its share.
    """
    seconds, peak, flops = cost.get("seconds", {}), cost.get("peak_bytes"), cost.get("flops")
    queue_s = None if job.started_at is None else max(0.0, job.started_at - job.created_at)
    return {
        "queue_ms": _ms(queue_s),
        **{f"{phase}_ms": _ms(seconds.get(phase)) for phase in ("load", "encode", "denoise", "decode")},
        "peak_memory_mb": round(peak / 1e6, 1) if isinstance(peak, (int, float)) else None,
        "flops": flops if isinstance(flops, (int, float)) else None,
        "shared_by": cost.get("shared_by", 1),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
