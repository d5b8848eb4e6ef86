"""World -> shards that judges learn from: clips, the camera's path, and each subject's boxes and places."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.data.load.shards import Field, ShardSet, ShardWriter, join
from kinema.training.prepare import SceneRange, draw, fingerprint, run_jobs, world_hash
from kinema.world.camera import CAMERA_FEATURES, camera_features, frame_times
from kinema.world.geometry import geometry, mask_boxes
from kinema.world.motion import poses
from kinema.world.scene import MAX_SUBJECTS, Scene
from kinema.world.score import score_of_flow

FIELDS = {
    "frames": Field(dtype="uint8", shape=("t", "h", "w", 3)),
    "boxes": Field(dtype="float32", shape=(MAX_SUBJECTS, "t", 4)),
    "places": Field(dtype="float32", shape=(MAX_SUBJECTS, "t", 3)),
    "camera": Field(dtype="float32", shape=("t", CAMERA_FEATURES)),
    "motion": Field(dtype="float32", shape=()),
}
_COARSE = 2  # boxes are taken from masks of a fraction of the size: half a pixel is near enough


@dataclass(frozen=True, kw_only=True)
class JudgeScenes:
    """What the judges learn from, and what they are validated on; clips and pictures of one size."""

    train: tuple[SceneRange, ...]
    validation: tuple[SceneRange, ...]

    def prepare(self, cache: Path, **how: Any) -> tuple[ShardSet, ShardSet]:
        """The (train, validation) sets in ``cache``; ``how`` goes to `prepare_judged`. Raises: Cancelled."""
        train, validation = (
            join([prepare_judged(cache, scenes, **how) for scenes in ranges])
            for ranges in (self.train, self.validation)
        )
        return train, validation


_CLIP = VideoShape(frames=17, height_px=96, width_px=96, fps=8)
_PICTURE = VideoShape(frames=1, height_px=96, width_px=96, fps=8)
# pictures cost less than clips and show more scenes
JUDGE_SCENES = JudgeScenes(
    train=(
        SceneRange(split="train", shape=_CLIP, count=4096, difficulty="single"),
        SceneRange(split="train", shape=_CLIP, count=5120, difficulty="full", first_seed=200_000),
        SceneRange(split="train", shape=_PICTURE, count=4096, difficulty="single", first_seed=150_000, per_shard=256),
        SceneRange(split="train", shape=_PICTURE, count=8192, difficulty="full", first_seed=100_000, per_shard=256),
    ),
    validation=(
        SceneRange(split="validation", shape=_CLIP, count=160, difficulty="single", per_shard=16),
        SceneRange(split="validation", shape=_CLIP, count=160, difficulty="full", per_shard=16),
    ),
)


@dataclass(frozen=True, kw_only=True)
class _JudgeJob:
    path: Path
    fingerprint: str
    scenes: SceneRange
    number: int
    device: str


def prepare_judged(
    cache: Path, scenes: SceneRange, *, workers: int = 0, device: str = "cpu", observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> ShardSet:  # fmt: skip
    """Clips of ``scenes`` and their truth as shards in a folder of ``cache``, made where they are missing. Raises: Cancelled."""
    key = fingerprint(
        {"what": "judged", "scenes": asdict(scenes), "world": world_hash(), "device": torch.device(device).type}
    )
    path = cache / f"judged-{scenes.split}-{scenes.bucket}-{key[:12]}"
    writer = ShardWriter(path, fingerprint=key, fields=FIELDS)
    jobs = [
        _JudgeJob(path=path, fingerprint=key, scenes=scenes, number=n, device=device)
        for n in range(scenes.num_shards)
        if not writer.has(n)
    ]
    run_jobs(_write_shard, jobs, workers=workers, observer=observer, cancel=cancel)
    return writer.finish(scenes.num_shards)


def boxes_of(owner: Int[Tensor, "t h w"], count: int) -> Float[Tensor, "n t 4"]:
    """Centre x and y, width and height of the visible pixels of each of ``count`` owners, as shares of the picture; zeros where unseen."""
    box = torch.stack([mask_boxes(owner == n) for n in range(count)]).float()
    size = torch.tensor([owner.shape[2], owner.shape[1]], dtype=torch.float32)
    low, high = box[..., :2] / size, box[..., 2:] / size
    seen = (box[..., :1] >= 0).float()
    return torch.cat([(low + high) / 2, high - low], -1) * seen


def places_of(scene: Scene, shape: VideoShape) -> Float[Tensor, "n t 3"]:
    """Where each subject's foot is, in subject heights (x right, y up, z to the camera)."""
    side = -1.0 if scene.flipped else 1.0
    held = poses(scene.unflipped(), frame_times(shape.frames, shape.fps))
    return torch.stack([torch.stack([side * p.x, p.y, p.z], -1) for p in held]).float()


def _write_shard(job: _JudgeJob) -> None:
    shape = job.scenes.shape
    scenes, seeds = job.scenes.scenes(job.number), job.scenes.seeds(job.number)
    coarse = replace(shape, height_px=shape.height_px // _COARSE, width_px=shape.width_px // _COARSE)
    exact = [geometry(s, coarse) for s in scenes]
    tensors = {
        "frames": torch.stack([f.cpu() for f in draw(scenes, shape, job.device)]),
        "boxes": torch.stack([_padded(boxes_of(e.owner, len(s.subjects))) for s, e in zip(scenes, exact, strict=True)]),
        "places": torch.stack([_padded(places_of(s, shape)) for s in scenes]),
        "camera": torch.stack([camera_features(s, range(shape.frames), fps=shape.fps) for s in scenes]),
        "motion": torch.tensor([float(score_of_flow(e.flow, fps=shape.fps)) for e in exact]),
    }
    metadata: list[dict[str, Any]] = [{"seed": n, "scene": s.to_dict()} for n, s in zip(seeds, scenes, strict=True)]
    writer = ShardWriter(job.path, fingerprint=job.fingerprint, fields=FIELDS)
    writer.write(job.number, job.scenes.bucket, tensors=tensors, metadata=metadata)


def _padded(rows: Float[Tensor, "n t k"]) -> Float[Tensor, "m t k"]:
    """``rows`` with zeros for the subjects that a scene of fewer than `MAX_SUBJECTS` lacks."""
    out = torch.zeros(MAX_SUBJECTS, *rows.shape[1:])
    out[: len(rows)] = rows
    return out
