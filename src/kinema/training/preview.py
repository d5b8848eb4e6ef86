"""Sample sheets while a transformer trains: fixed prompts and noise, so that sheets of different steps can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.geometry import Bucket
from kinema.core.protocols import SampleSink
from kinema.data.load.shards import ShardSet
from kinema.flow.guidance import classifier_free
from kinema.flow.noise import noise
from kinema.flow.sample import sample
from kinema.flow.schedules import linear
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.training.conditions import scalar_values
from kinema.training.speed import autocast
from kinema.training.transformer import TransformerTask
from kinema.training.vae_losses import to_frames


@dataclass(frozen=True, kw_only=True)
class SheetRecipe:
    """What a sheet shows: ``clips`` from text alone, and ``continued`` ones whose first frame is given."""

    clips: int = 8
    continued: int = 2
    steps: int = 20
    guidance: float = 4.0
    shift: float = 3.0


class Preview:
    """An ``on_validate`` of `TransformerTask`: generates clips for held-out captions, decodes them and hands them to ``sink``."""

    def __init__(self, recipe: SheetRecipe, held_out: ShardSet, *, vae: VideoAutoencoder, sink: SampleSink) -> None:
        self.recipe, self.held_out, self.vae, self.sink = recipe, held_out, vae, sink
        self.bucket = max(held_out.buckets, key=lambda b: (b.frames, b.height_px * b.width_px))

    @torch.no_grad()
    def __call__(self, step: int, task: TransformerTask) -> None:
        """Makes one sheet."""
        count = min(self.recipe.clips + self.recipe.continued, self.held_out.buckets[self.bucket])
        tensors, metadata = self.held_out.read(self.bucket, range(count))
        captions = [m["captions"]["zh" if i % 2 else "en"][0] for i, m in enumerate(metadata)]
        x0 = tensors["latents"].float()
        frozen = torch.zeros(count, 1, x0.shape[2], 1, 1, dtype=torch.bool)
        frozen[self.recipe.clips :, :, 0] = x0.shape[2] > 1
        latents = generate(
            task, captions, x0=x0, frozen=frozen, bucket=self.bucket, fps=tensors["fps"], recipe=self.recipe
        )
        latents = latents.to(next(self.vae.parameters()).device)
        clips = [to_frames(self.vae.decode(self.vae.denormalise(one[None])))[0].cpu().numpy() for one in latents]
        labels = [
            f"{'first frame given: ' if f else ''}{c}"
            for f, c in zip(frozen[:, 0, 0, 0, 0].tolist(), captions, strict=True)
        ]
        self.sink(f"step-{step:08d}", clips, labels)


def generate(
    task: TransformerTask, captions: Sequence[str], *, x0: Float[Tensor, "b c t h w"], frozen: Tensor, bucket: Bucket,
    fps: Float[Tensor, " b"], recipe: SheetRecipe,
) -> Float[Tensor, "b c t h w"]:  # fmt: skip
    """Latents for ``captions``, guided; where ``frozen`` is set they are ``x0``. Sample i has noise of seed i."""
    count, _, frames, height, width = x0.shape
    scalars = scalar_values(task.recipe.config.scalar_conditions, bucket, {"latents": x0, "fps": fps})
    mask = frozen.float().expand(-1, -1, -1, height, width)
    camera = torch.full((count, frames, max(1, task.recipe.config.camera_dim)), torch.nan)

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        levels = sigma if sigma.ndim == 2 else sigma[:, None].expand(-1, frames)
        outputs = [
            task.velocity(
                x, levels, texts=texts, known=x0 * mask, known_mask=mask, camera=camera, scalars=scalars
            ).cpu()
            for texts in (captions, [""] * count)
        ]
        return classifier_free(outputs[0], outputs[1], recipe.guidance)

    start = noise(x0.shape[1:], seeds=range(count))
    with autocast(task.device, task.facts["dtype"]):
        return sample(velocity, start, linear(recipe.steps, shift=recipe.shift), frozen=frozen, known=x0)
