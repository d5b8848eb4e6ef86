"""Training of the causal video autoencoder on shards of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.core.protocols import SampleSink
from kinema.data.load.loader import Batch, Loader
from kinema.data.load.seeds import generator
from kinema.data.load.shards import ShardSet
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.training import vae_losses
from kinema.training.loop import Loop, LoopRecipe, Outcome, averaged, facts_of_latest
from kinema.training.speed import Dtype, autocast, compile_or_not, count_flops, measured_facts
from kinema.training.vae_losses import LossWeights, psnr, to_frames, to_model

NAME = "vae"
_STATS_CLIPS = 256


@dataclass(frozen=True, kw_only=True)
class VaeRecipe:
    """Everything that decides what an autoencoder becomes, but for its data.

    It learns from crops of ``crop_px`` x ``crop_px`` pixels and ``crop_frames`` frames (None: whole clips): many small steps
    teach it several times faster than few large ones. Scores are those of whole clips. ``only_decoder`` leaves the encoder as it
    starts: latents that were made with it stay valid.
    """

    config: VideoAutoencoderConfig
    loop: LoopRecipe
    weights: LossWeights = field(default_factory=LossWeights)
    batch: int = 8
    crop_px: int | None = None
    crop_frames: int | None = None
    only_decoder: bool = False
    dtype: Dtype | Literal["auto"] = "auto"
    compile: bool = True
    validation_clips: int = 32
    sheet_clips: int = 4


class VaeTask:
    """A `Task`: reconstructs clips of ``train``; validates on clips of ``validation``."""

    def __init__(
        self, recipe: VaeRecipe, train: ShardSet, *, validation: ShardSet, device: str = "cpu",
        sink: SampleSink | None = None, known: Mapping[str, Any] | None = None, start: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.validation, self.sink = recipe, validation, sink
        self.device = torch.device(device)
        self.model = VideoAutoencoder(recipe.config)
        self.model.init_weights(generator(recipe.loop.seed, "vae weights"))
        if start is not None:
            self.model.load_state_dict(start)
        if recipe.only_decoder:
            self.model.encoder.requires_grad_(False)
            self.model.quant_conv.requires_grad_(False)
        self.model.to(self.device)
        self.modules = {NAME: self.model}
        sizes = dict.fromkeys(train.buckets, recipe.batch)
        self.loader = Loader(train, sizes=sizes, seed=recipe.loop.seed, pin=self.device.type == "cuda")
        self._autoencode: Callable[..., tuple[Tensor, Tensor, Tensor]] = self.model
        self._flops: dict[object, float] = {}
        self.facts = measured_facts(self._try, self.device, wanted=recipe.dtype, known=known)
        # a run that is resumed does again what it did before
        if self.facts.setdefault("compile", recipe.compile):
            self._compile()

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of one batch."""
        return self._loss(batch, self.facts["dtype"])

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """PSNR in dB of held-out clips: the mean of clips (the score), the worst clip, and that of first frames."""
        scores, first = [], []
        shown: list[Tensor] = []
        for bucket, count in self.validation.buckets.items():
            limit = min(count, self.recipe.validation_clips)
            for start in range(0, limit, self.recipe.batch):
                numbers = range(start, min(start + self.recipe.batch, limit))
                target = to_model(self.validation.read(bucket, numbers)[0]["frames"].to(self.device))
                mean, _ = self.model.encode(target)
                output = self.model.decode(mean)
                scores.append(psnr(output, target))
                first.append(psnr(output[:, :, :1], target[:, :, :1]))
                if not shown:
                    both = rearrange([target, output], "two b c t h w -> (b two) c t h w")
                    shown = list(to_frames(both[: 2 * self.recipe.sheet_clips]))
        if self.sink is not None:
            self.sink(f"vae-{step:08d}", [s.cpu().numpy() for s in shown], ["original", "decoded"] * (len(shown) // 2))
        all_scores = torch.cat(scores)
        return {
            "score": float(all_scores.mean()),
            "psnr_db": float(all_scores.mean()),
            "worst_db": float(all_scores.min()),
            "first_frame_db": float(torch.cat(first).mean()),
        }

    def work(self, batch: Batch) -> Mapping[str, float]:
        """Samples, pixels and FLOPs of one step."""
        bucket, size = batch.bucket, len(batch)
        if bucket not in self._flops:
            self._flops[bucket] = self._count(batch)
        frames, height, width = self._sizes((bucket.frames, bucket.height_px, bucket.width_px))
        pixels = size * frames * height * width
        return {"samples": size, "pixels": pixels, "flops": self._flops[bucket]}

    def _loss(self, batch: Batch, dtype: Dtype) -> tuple[Tensor, Mapping[str, Tensor]]:
        rngs = [generator(seed) for seed in batch.seeds]
        frames = batch.tensors["frames"]
        frames = torch.stack([self._crop(f, g) for f, g in zip(frames, rngs, strict=True)]).to(
            self.device, non_blocking=True
        )
        is_flipped = torch.tensor([torch.rand((), generator=g) < 0.5 for g in rngs], device=self.device)
        target = to_model(torch.where(is_flipped[:, None, None, None, None], frames.flip(3), frames))
        _, t, h, w, _ = frames.shape
        shape = self.recipe.config.compression.latent(VideoShape(frames=t, height_px=h, width_px=w, fps=1)).as_tuple()
        noise = torch.stack([torch.randn(shape, generator=g) for g in rngs]).to(self.device)
        with autocast(self.device, dtype):
            output, mean, logvar = self._autoencode(target, noise)
        total, parts = vae_losses.reconstruction(output, target, self.recipe.weights)
        divergence = vae_losses.kl(mean, logvar)
        mse = (output.detach().float() - target).square().mean()
        parts = {**parts, "kl": divergence, "psnr_db": 10 * torch.log10(4 / mse.clamp(min=1e-9))}
        return total + self.recipe.weights.kl * divergence, {k: v.detach() for k, v in parts.items()}

    def _crop(self, frames: Tensor, rng: torch.Generator) -> Tensor:
        """A random part (t h w c) of a clip, as large as the recipe says."""
        sizes = self._sizes(frames.shape[:3])
        starts = [int(torch.randint(n - m + 1, (), generator=rng)) for n, m in zip(frames.shape, sizes, strict=False)]
        return frames[tuple(slice(a, a + m) for a, m in zip(starts, sizes, strict=True))]

    def _sizes(self, clip: tuple[int, ...]) -> tuple[int, ...]:
        """(t, h, w) of what is learned from of a clip of size ``clip``."""
        most = (self.recipe.crop_frames, self.recipe.crop_px, self.recipe.crop_px)
        return tuple(min(n, m or n) for n, m in zip(clip, most, strict=True))

    def _compile(self) -> None:
        def undo() -> None:
            self._autoencode = self.model

        self._autoencode = torch.compile(self.model, dynamic=False)
        compile_or_not(self.facts, use=lambda: self._try(self.facts["dtype"]), undo=undo)

    def _try(self, dtype: Dtype) -> None:
        """One forward and backward pass that leaves no trace."""
        self._loss(self.loader.batch(0), dtype)[0].backward()
        self.model.zero_grad(set_to_none=True)

    def _count(self, batch: Batch) -> float:
        compiled, self._autoencode = self._autoencode, self.model
        try:
            # the optimiser has cleared the gradients by now, so these may be thrown away
            flops = count_flops(lambda: self._loss(batch, self.facts["dtype"])[0].backward())
            self.model.zero_grad(set_to_none=True)
        finally:
            self._autoencode = compiled
        return flops


def train_vae(  # noqa: PLR0913 - what, from what, where, and who watches
    recipe: VaeRecipe, train: ShardSet, *, validation: ShardSet, folder: Path, device: str = "cpu",
    start: Mapping[str, Tensor] | None = None, sink: SampleSink | None = None, observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Outcome:  # fmt: skip
    """Trains in ``folder`` to the end of the recipe's budget, going on from the newest checkpoint there; a new run begins at ``start``.

    Raises: Cancelled after a checkpoint; TrainingError for a checkpoint of another recipe.
    """
    task = VaeTask(
        recipe, train, validation=validation, device=device, sink=sink, known=facts_of_latest(folder), start=start
    )
    loop = Loop(task, recipe.loop, folder, identity=identity_of(recipe, train))
    return loop.run(observer=observer, cancel=cancel)


def trained_vae(recipe: VaeRecipe, data: ShardSet, *, folder: Path, device: str = "cpu") -> VideoAutoencoder:
    """The autoencoder of the newest checkpoint with averaged weights.

    Its config has the latents' mean and spread: the recipe's, or if that has none, those over ``data``.
    """
    model = VideoAutoencoder(recipe.config)
    model.load_state_dict(averaged(folder, NAME))
    model.to(device).eval().requires_grad_(False)
    if recipe.config.latent_mean is None:
        mean, std = latent_statistics(model, data, device=device)
        # nothing but normalise and denormalise reads them
        model.config = replace(recipe.config, latent_mean=mean, latent_std=std)
    return model


@torch.no_grad()
def latent_statistics(
    model: VideoAutoencoder, data: ShardSet, *, device: str = "cpu"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each latent channel over the first clips of every bucket, rounded to 5 digits."""
    count, total, squares = 0, 0.0, 0.0
    for bucket, size in data.buckets.items():
        for start in range(0, min(size, _STATS_CLIPS), 8):
            frames = data.read(bucket, range(start, min(start + 8, size)))[0]["frames"]
            means = rearrange(model.encode(to_model(frames.to(device)))[0], "b c t h w -> c (b t h w)").double()
            count += means.shape[1]
            total, squares = total + means.sum(1), squares + means.square().sum(1)
    mean = torch.as_tensor(total) / count
    std = (torch.as_tensor(squares) / count - mean.square()).clamp(min=1e-8).sqrt()
    return tuple(round(float(x), 5) for x in mean), tuple(round(float(x), 5) for x in std)


def identity_of(recipe: VaeRecipe, train: ShardSet) -> dict[str, Any]:
    """What a resumed run must have in common with the one before, besides its loop."""
    return {
        "model": asdict(recipe.config),
        "weights": asdict(recipe.weights),
        "batch": recipe.batch,
        "crop_px": recipe.crop_px,
        "crop_frames": recipe.crop_frames,
        "only_decoder": recipe.only_decoder,
        "compile": recipe.compile,
        "data": train.fingerprint,
    }
