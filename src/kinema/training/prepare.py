"""World -> shards of frames, made once and kept under a key of everything that changes a byte."""

from __future__ import annotations

import ast
import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

import kinema.world
from kinema.core.errors import TrainingError
from kinema.core.geometry import Bucket, VideoShape
from kinema.core.progress import CancelToken, Observer, Progress, StepClock, ignore_progress
from kinema.data.load.shards import Field, ShardSet, ShardWriter
from kinema.world.render import render
from kinema.world.sampler import sample
from kinema.world.scene import Scene

FRAME_FIELDS = {"frames": Field(dtype="uint8", shape=("t", "h", "w", 3))}
# Scenes drawn together: more don't go faster on a CPU, and cost memory.
_RENDER_BATCH = 8

Job = TypeVar("Job")


@dataclass(frozen=True, kw_only=True)
class SceneRange:
    """Scenes ``first_seed`` to ``first_seed`` + ``count`` - 1 of a split and a level of difficulty, drawn at ``shape``."""

    split: str
    shape: VideoShape
    count: int
    difficulty: str = "core"
    first_seed: int = 0
    per_shard: int = 64

    def scenes(self, number: int) -> list[Scene]:
        """The scenes of shard ``number``."""
        return [sample(seed, split=self.split, difficulty=self.difficulty) for seed in self.seeds(number)]

    @property
    def num_shards(self) -> int:
        """How many shards hold the scenes, the last one maybe shorter."""
        return -(-self.count // self.per_shard)

    def seeds(self, number: int) -> range:
        """The seeds of shard ``number``."""
        start = self.first_seed + number * self.per_shard
        return range(start, min(start + self.per_shard, self.first_seed + self.count))

    @property
    def bucket(self) -> Bucket:
        """The bucket of all clips."""
        return Bucket(frames=self.shape.frames, height_px=self.shape.height_px, width_px=self.shape.width_px)


@dataclass(frozen=True, kw_only=True)
class _FrameJob:
    path: Path
    fingerprint: str
    scenes: SceneRange
    number: int
    device: str


def prepare_frames(
    cache: Path, scenes: SceneRange, *, workers: int = 0, device: str = "cpu",
    observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> ShardSet:  # fmt: skip
    """The frames of ``scenes`` as shards in a folder of ``cache``: rendered where they are missing, else as they are.

    ``workers`` processes render a shard each; 0 renders in this one. The result doesn't depend on it.
    Raises: Cancelled between shards; what is written stays and isn't rendered again.
    """
    facts = {"what": "frames", "scenes": asdict(scenes), "world": world_hash(), "device": torch.device(device).type}
    key = fingerprint(facts)
    path = cache / f"frames-{scenes.split}-{scenes.bucket}-{key[:12]}"
    writer = ShardWriter(path, fingerprint=key, fields=FRAME_FIELDS)
    jobs = [
        _FrameJob(path=path, fingerprint=key, scenes=scenes, number=n, device=device)
        for n in range(scenes.num_shards)
        if not writer.has(n)
    ]
    run_jobs(_render_shard, jobs, workers=workers, observer=observer, cancel=cancel)
    return writer.finish(scenes.num_shards)


def draw(scenes: Sequence[Scene], shape: VideoShape, device: str) -> Iterator[torch.Tensor]:
    """The frames (t h w c) uint8 of each scene, in order."""
    for start in range(0, len(scenes), _RENDER_BATCH):
        for rendered in render(scenes[start : start + _RENDER_BATCH], shape, device=device):
            assert rendered.frames is not None, "frames are asked for"
            yield rendered.frames


def run_jobs(
    work: Callable[[Job], Any],
    jobs: Sequence[Job],
    *,
    workers: int,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> None:
    """Calls ``work`` (a module's function) on every job, in ``workers`` processes of one thread each, or here if those are below 2.

    Raises: Cancelled; TrainingError if one of the processes died.
    """
    cancel = cancel or CancelToken()
    clock = StepClock(steps=len(jobs))
    if workers < 2:
        for done, job in enumerate(jobs):
            cancel.check("preparing data")
            work(job)
            observer(Progress(phase="render", step=done + 1, steps=len(jobs), eta_s=clock.tick()))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context, initializer=_start_worker) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures)):
                future.result()
                observer(Progress(phase="render", step=done + 1, steps=len(jobs), eta_s=clock.tick()))
                cancel.check("preparing data")
        except BrokenProcessPool as e:
            cancel.check("preparing data")  # Ctrl-C reaches workers too, and ends those that are still starting
            rule = "died, perhaps for lack of memory; with fewer workers the same call goes on where this one stopped"
            raise TrainingError(f"one of the {workers} processes that prepare data {rule}") from e
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def fingerprint(facts: object) -> str:
    """The SHA-256 of JSON-ready ``facts``."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def world_hash() -> str:
    """The SHA-256 of the world's source without comments and docstrings: it changes when pictures or captions may have changed."""
    digest = hashlib.sha256()
    folder = Path(kinema.world.__path__[0])
    for path in sorted(folder.rglob("*.py")):
        source = _without_docstrings(path.read_text(encoding="utf-8"))
        digest.update(f"{path.relative_to(folder).as_posix()}\n{source}\n".encode())
    return digest.hexdigest()


def _render_shard(job: _FrameJob) -> None:
    seeds, scenes = job.scenes.seeds(job.number), job.scenes.scenes(job.number)
    frames = torch.stack([f.cpu() for f in draw(scenes, job.scenes.shape, job.device)])
    metadata = [
        {"seed": seed, "fps": job.scenes.shape.fps, "scene": s.to_dict()} for seed, s in zip(seeds, scenes, strict=True)
    ]
    writer = ShardWriter(job.path, fingerprint=job.fingerprint, fields=FRAME_FIELDS)
    writer.write(job.number, job.scenes.bucket, tensors={"frames": frames}, metadata=metadata)


def _start_worker() -> None:
    torch.set_num_threads(1)
    # Ctrl-C goes to the whole group of processes: this one ends its job, the one that gave it stops
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return ast.unparse(tree)
