"""Training of the video transformer and its text encoder on shards of latents: rectified flow, conditions dropped at random."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kinema.core.geometry import Bucket
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.data.load.loader import Batch, Loader, batch_sizes
from kinema.data.load.seeds import derive_seed, generator
from kinema.data.load.shards import ShardSet
from kinema.flow.paths import FlowMatching
from kinema.flow.times import time_bins
from kinema.models.text.byte_encoder import ByteTextEncoder, ByteTextEncoderConfig, tokenize
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer
from kinema.training import checkpoints
from kinema.training.conditions import ConditionRecipe, TimeRecipe, draw_conditions, masked_loss, scalar_values
from kinema.training.loop import Loop, LoopRecipe, Outcome, averaged, facts_of_latest
from kinema.training.speed import Dtype, autocast, compile_or_not, count_flops, measured_facts
from kinema.training.stills import WithStills

TRANSFORMER, TEXT = "transformer", "text_encoder"
Weights = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class TransformerRecipe:
    """Everything that decides what a transformer becomes, but for its data and the weights it starts from.

    ``is_text_frozen``: the text encoder stays as it starts, since `kinema.training.text` has trained it. ``stills`` is the share of
    steps in which clips are learned from as pictures (`kinema.training.stills`).
    """

    config: VideoTransformerConfig
    text: ByteTextEncoderConfig
    loop: LoopRecipe
    conditions: ConditionRecipe = field(default_factory=ConditionRecipe)
    times: TimeRecipe = field(default_factory=TimeRecipe)
    batch_tokens: int = 10_000
    shares: Mapping[Bucket, float] | None = None
    stills: float = 0.0
    dtype: Dtype | Literal["auto"] = "auto"
    compile: bool = True
    is_text_frozen: bool = False
    validation_samples: int = 128
    validation_bins: int = 5


class TransformerTask:
    """A `Task`: predicts the velocity of ``train``'s latents.

    ``on_validate(step, task)`` is called at each validation, with the averaged weights in the modules: the place for sample sheets.
    """

    def __init__(
        self, recipe: TransformerRecipe, train: ShardSet, *, validation: ShardSet, device: str = "cpu",
        start: Weights | None = None, known: Mapping[str, Any] | None = None,
        on_validate: Callable[[int, TransformerTask], None] | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.validation, self.on_validate = recipe, validation, on_validate
        self.device, self.path = torch.device(device), FlowMatching()
        self.transformer, self.text_encoder = VideoTransformer(recipe.config), ByteTextEncoder(recipe.text)
        self.modules: dict[str, nn.Module] = {TRANSFORMER: self.transformer, TEXT: self.text_encoder}
        self.transformer.init_weights(generator(recipe.loop.seed, TRANSFORMER))
        self.text_encoder.init_weights(generator(recipe.loop.seed, TEXT))
        for name, module in self.modules.items():
            if start is not None and name in start:
                module.load_state_dict(start[name])
            module.to(self.device)
        if recipe.is_text_frozen:
            self.text_encoder.requires_grad_(False)
        self.loader = self._loader(train)
        self._network: Callable[..., Tensor] = self.transformer
        self._flops: dict[Bucket, float] = {}
        self.facts = measured_facts(self._try, self.device, wanted=recipe.dtype, known=known)
        # a run that is resumed does again what it did before
        if self.facts.setdefault("compile", recipe.compile):
            self._compile()

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of one batch: the mean over samples, and that of samples without known frames."""
        return self._loss(batch, self.facts["dtype"])

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        *,
        texts: Sequence[str],
        known: Tensor,
        known_mask: Tensor,
        camera: Tensor,
        scalars: Tensor,
    ) -> Tensor:
        """The network's velocity in fp32, everything moved to its device."""
        ids, mask = tokenize(texts)
        tokens, _, pooled = self.text_encoder(ids.to(self.device), mask.to(self.device))
        moved = (x.to(self.device, non_blocking=True) for x in (latents, sigma, known, known_mask, camera, scalars))
        latents, sigma, known, known_mask, camera, scalars = moved
        # compiled for training alone: without gradients, or for another batch, it would be compiled anew, for minutes
        network = self._network if torch.is_grad_enabled() else self.transformer
        # every text token is real, so attention needs no mask
        return network(
            latents, sigma, tokens, None, pooled, known=known, known_mask=known_mask, camera=camera, scalars=scalars
        ).float()  # fmt: skip

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """The loss on held-out samples at the middles of equal bins of noise, with text and size and the same noise each time."""
        recipe = self.recipe
        losses: dict[str, list[Tensor]] = {}
        for bucket, count in self.validation.buckets.items():
            limit = min(count, recipe.validation_samples)
            size = min(limit, self._sizes.get(bucket, limit))
            for start in range(0, limit - size + 1, size):
                for i, level in enumerate(time_bins(recipe.validation_bins)):
                    losses.setdefault(f"bin{i}", []).append(
                        self._held_out_loss(bucket, range(start, start + size), level)
                    )
        means = {name: float(torch.cat(values).mean()) for name, values in losses.items()}
        loss = sum(means.values()) / len(means)
        if self.on_validate is not None:
            self.on_validate(step, self)
        return {"score": -loss, "loss": loss, **means}

    def work(self, batch: Batch) -> Mapping[str, float]:
        """Samples, tokens (of picture and text) and FLOPs of one step."""
        bucket, size = batch.bucket, len(batch)
        if bucket not in self._flops:
            self._flops[bucket] = self._count(batch)
        frames, height, width = batch.tensors["latents"].shape[2:]
        tokens = size * (frames * height * width // self.recipe.config.patch_volume + self.recipe.text.num_tokens)
        return {"samples": size, "tokens": tokens, "flops": self._flops[bucket]}

    def _loss(self, batch: Batch, dtype: Dtype) -> tuple[Tensor, Mapping[str, Tensor]]:
        drawn = draw_conditions(
            batch, self.recipe.conditions, times=self.recipe.times, scalar_names=self.recipe.config.scalar_conditions
        )
        x0 = batch.tensors["latents"].float()
        mixed, target = self.path.mix(x0, drawn.noise, drawn.sigma), self.path.target(x0, drawn.noise, drawn.sigma)
        with autocast(self.device, dtype):
            output = self.velocity(
                mixed, drawn.sigma, texts=drawn.texts, known=x0 * drawn.known_mask, known_mask=drawn.known_mask,
                camera=drawn.camera, scalars=drawn.scalars,
            )  # fmt: skip
        losses = masked_loss(output, target.to(self.device), drawn.known_mask.to(self.device))
        is_free = (drawn.known_mask.amax(dim=(1, 2, 3, 4)) == 0).to(self.device)
        free = losses.detach()[is_free].mean() if bool(is_free.any()) else losses.detach().mean()
        return losses.mean(), {"loss_free": free}

    def _held_out_loss(self, bucket: Bucket, numbers: range, level: Tensor) -> Tensor:
        tensors, metadata = self.validation.read(bucket, numbers)
        x0 = tensors["latents"].float()
        count, _, frames, height, width = x0.shape
        noise = torch.stack(
            [torch.randn(x0.shape[1:], generator=generator("held out", str(bucket), n)) for n in numbers]
        )
        sigma = level.expand(count, frames)
        scalars = scalar_values(self.recipe.config.scalar_conditions, bucket, tensors)
        texts = [m["captions"]["en" if n % 2 else "zh"][0] for n, m in zip(numbers, metadata, strict=True)]
        nothing = torch.zeros(count, 1, frames, height, width)
        with autocast(self.device, self.facts["dtype"]):
            output = self.velocity(
                self.path.mix(x0, noise, sigma), sigma, texts=texts, known=torch.zeros_like(x0), known_mask=nothing,
                camera=torch.full_like(tensors["camera"], torch.nan), scalars=scalars,
            )  # fmt: skip
        return masked_loss(output.cpu(), self.path.target(x0, noise, sigma), nothing)

    def _loader(self, train: ShardSet) -> Loader | WithStills:
        recipe, pin = self.recipe, self.device.type == "cuda"
        self._sizes = batch_sizes(train.buckets, tokens=recipe.batch_tokens, tokens_of=self._tokens(train))
        clips = Loader(train, sizes=self._sizes, seed=recipe.loop.seed, shares=recipe.shares, pin=pin)
        if recipe.stills == 0:
            return clips
        buckets = {b: n for b, n in train.buckets.items() if b.frames > 1}
        sizes = batch_sizes(buckets, tokens=recipe.batch_tokens, tokens_of=self._tokens(train, frames=1))
        stills = Loader(train, sizes=sizes, seed=derive_seed(recipe.loop.seed, "stills"), pin=pin)
        return WithStills(clips, stills, share=recipe.stills)

    def _tokens(self, shards: ShardSet, frames: int | None = None) -> dict[Bucket, int]:
        """Tokens of a sample of each bucket, or of ``frames`` latent frames of it."""
        tokens = {}
        for bucket in shards.buckets:
            all_frames, height, width = shards.read(bucket, [0])[0]["latents"].shape[2:]
            frames_read = frames or all_frames
            tokens[bucket] = (
                frames_read * height * width // self.recipe.config.patch_volume + self.recipe.text.num_tokens
            )
        return tokens

    def _compile(self) -> None:
        def undo() -> None:
            self._network = self.transformer

        # clips and pictures of every size are a shape each, and those beyond the limit would run uncompiled
        from torch._dynamo import config as limits

        limits.recompile_limit = max(limits.recompile_limit, 8 + 2 * len(self._sizes))
        self._network = torch.compile(self.transformer, dynamic=False)
        compile_or_not(self.facts, use=lambda: self._try(self.facts["dtype"]), undo=undo)

    def _try(self, dtype: Dtype) -> None:
        """One forward and backward pass that leaves no trace."""
        self._loss(self.loader.batch(0), dtype)[0].backward()
        self._clear()

    def _clear(self) -> None:
        for module in self.modules.values():
            module.zero_grad(set_to_none=True)

    def _count(self, batch: Batch) -> float:
        compiled, self._network = self._network, self.transformer
        try:
            # the optimiser has cleared the gradients by now, so these may be thrown away
            flops = count_flops(lambda: self._loss(batch, self.facts["dtype"])[0].backward())
            self._clear()
        finally:
            self._network = compiled
        return flops


def train_transformer(  # noqa: PLR0913 - what, from what, where, and who watches
    recipe: TransformerRecipe, train: ShardSet, *, validation: ShardSet, folder: Path, device: str = "cpu",
    start: Weights | None = None, on_validate: Callable[[int, TransformerTask], None] | None = None,
    observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> Outcome:  # fmt: skip
    """Trains in ``folder`` to the end of the recipe's budget, going on from the newest checkpoint there; a new run begins at ``start``.

    ``start`` may hold the weights of both modules or of one.
    Raises: Cancelled after a checkpoint; TrainingError for a checkpoint of another recipe or another start.
    """
    identity, found, known = identity_of(recipe, train, start), checkpoints.latest(folder), facts_of_latest(folder)
    if found and "start" not in checkpoints.load_state(found)["recipe"]:
        del identity["start"]  # begun by a version that didn't write down what from
    task = TransformerTask(
        recipe, train, validation=validation, device=device, start=None if known else start, known=known,
        on_validate=on_validate,
    )  # fmt: skip
    loop = Loop(task, recipe.loop, folder, identity=identity)
    return loop.run(observer=observer, cancel=cancel)


def trained_weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The averaged weights of a run's newest checkpoint, by module: what a next stage starts from and what is exported."""
    return {name: averaged(folder, name) for name in (TRANSFORMER, TEXT)}


def identity_of(recipe: TransformerRecipe, train: ShardSet, start: Weights | None = None) -> dict[str, Any]:
    """What a resumed run must have in common with the one before, besides its loop."""
    return {
        "model": asdict(recipe.config),
        "text": asdict(recipe.text),
        "conditions": asdict(recipe.conditions),
        "times": asdict(recipe.times),
        "batch_tokens": recipe.batch_tokens,
        "is_text_frozen": recipe.is_text_frozen,
        "stills": recipe.stills,
        "shares": {str(b): s for b, s in (recipe.shares or {}).items()},
        "compile": recipe.compile,
        "data": train.fingerprint,
        "start": None if start is None else _hash(start),
    }


def _hash(weights: Weights) -> str:
    """The SHA-256 of names, dtypes, shapes and numbers."""
    digest = hashlib.sha256()
    for module, tensors in sorted(weights.items()):
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{module}.{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
