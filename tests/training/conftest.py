"""Small shard sets that need no renderer: clips of moving gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kinema.core.geometry import Bucket
from kinema.data.load.shards import Field, ShardSet, ShardWriter

BUCKET = Bucket(frames=5, height_px=16, width_px=24)


def moving_gradients(count: int, bucket: Bucket, seed: int) -> torch.Tensor:
    """uint8 clips (n t h w 3), each a smooth pattern that moves at its own speed."""
    rng = torch.Generator().manual_seed(seed)
    phase = torch.rand(count, 1, 1, 1, 3, generator=rng) * 6
    speed = torch.randn(count, 1, 1, 1, 1, generator=rng)
    t = torch.arange(bucket.frames).view(1, -1, 1, 1, 1)
    y = torch.arange(bucket.height_px).view(1, 1, -1, 1, 1) / bucket.height_px
    x = torch.arange(bucket.width_px).view(1, 1, 1, -1, 1) / bucket.width_px
    wave = torch.sin(phase + 3 * x + 2 * y + 0.3 * speed * t)
    return ((wave + 1) * 127.5).to(torch.uint8)


@pytest.fixture
def make_frames(tmp_path: Path) -> Callable[..., ShardSet]:
    def make(count: int = 6, bucket: Bucket = BUCKET, seed: int = 0) -> ShardSet:
        folder = tmp_path / f"frames-{count}-{seed}"
        writer = ShardWriter(
            folder,
            fingerprint=f"frames {count} {seed}",
            fields={"frames": Field(dtype="uint8", shape=("t", "h", "w", 3))},
        )
        writer.write(
            0,
            bucket,
            tensors={"frames": moving_gradients(count, bucket, seed)},
            metadata=[{"i": i} for i in range(count)],
        )
        return writer.finish(1)

    return make


@pytest.fixture
def make_latents(tmp_path: Path) -> Callable[..., ShardSet]:
    """Latents whose level and drift are what their caption says, so that a network has something to learn."""

    def make(count: int = 8, frames: int = 3, seed: int = 0, pictures: int = 0) -> ShardSet:
        writer = ShardWriter(
            tmp_path / f"latents-{count}-{frames}-{seed}-{pictures}",
            fingerprint=f"latents {count} {frames} {seed}",
            fields=LATENTS,
        )
        parts = [(count, frames)] + ([(pictures, 1)] if pictures else [])
        for number, (n, t) in enumerate(parts):
            rng = torch.Generator().manual_seed(seed)
            level = torch.randint(0, 2, (n,), generator=rng)
            latents = 2.0 * level.view(-1, 1, 1, 1, 1) - 1 + 0.2 * torch.randn(n, 5, t, 4, 6, generator=rng)
            tensors = {
                "latents": latents.half(),
                "camera": torch.randn(n, t, 7, generator=rng),
                "motion": torch.randint(1, 256, (n,), generator=rng).float(),
                "fps": torch.full((n,), 8.0),
            }
            names = [(("dark", "暗"), ("light", "亮"))[int(i)] for i in level]
            metadata = [{"captions": {"en": [en, f"very {en}"], "zh": [zh]}} for en, zh in names]
            writer.write(
                number, Bucket(frames=2 * t - 1, height_px=16, width_px=24), tensors=tensors, metadata=metadata
            )
        return writer.finish(len(parts))

    return make


LATENTS = {
    "latents": Field(dtype="float16", shape=(5, "t", "h", "w")),
    "camera": Field(dtype="float32", shape=("t", 7)),
    "motion": Field(dtype="float32", shape=()),
    "fps": Field(dtype="float32", shape=()),
}
