"""World -> autoencoder -> shards of latents with their conditions; frames are rendered, encoded and forgotten."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.data.load.shards import DTYPES, Field, ShardSet, ShardWriter
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.training.prepare import SceneRange, draw, fingerprint, run_jobs, world_hash
from kinema.training.speed import Dtype, autocast
from kinema.training.vae_folder import hash_vae, load_vae
from kinema.training.vae_losses import to_model
from kinema.world.camera import CAMERA_FEATURES, camera_features
from kinema.world.captions import caption
from kinema.world.scene import Scene
from kinema.world.truth import motion_score

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, kw_only=True)
class LatentRecipe:
    """How scenes become samples. ``num_captions`` short ones per language, a full one and a dense one are kept for each sample.

    With ``is_mirrored`` every scene comes twice, the second time left-right mirrored, with the mirrored scene's captions and camera
    (an autoencoder's latents can't be flipped, pixels can).
    """

    num_captions: int = 4
    has_dense: bool = True
    is_mirrored: bool = True
    stored: str = "float16"
    dtype: Dtype = "float32"
    batch: int = 8

    def fields(self, channels: int) -> dict[str, Field]:
        """The tensors of a sample."""
        return {
            "latents": Field(dtype=self.stored, shape=(channels, "t", "h", "w")),
            "camera": Field(dtype="float32", shape=("t", CAMERA_FEATURES)),
            "motion": Field(dtype="float32", shape=()),
            "fps": Field(dtype="float32", shape=()),
        }


@dataclass(frozen=True, kw_only=True)
class _LatentJob:
    path: Path
    fingerprint: str
    scenes: SceneRange
    recipe: LatentRecipe
    vae: Path
    number: int
    device: str


def prepare_latents(
    cache: Path, scenes: SceneRange, *, vae: Path, recipe: LatentRecipe, workers: int = 0, device: str = "cpu",
    observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> ShardSet:  # fmt: skip
    """Normalised latents of ``scenes`` as shards in a folder of ``cache``, made by the autoencoder in the folder ``vae``.

    The folder's name has the key of everything that changes a byte: scenes, world, autoencoder, recipe, kind of device. With the
    same key the second call reads what the first wrote. Raises: Cancelled between shards; what is written stays.
    """
    facts = {
        "what": "latents",
        "scenes": asdict(scenes),
        "world": world_hash(),
        "vae": hash_vae(vae),
        "recipe": asdict(recipe),
        "device": torch.device(device).type,
    }
    key = fingerprint(facts)
    path = cache / f"latents-{scenes.split}-{scenes.bucket}-{key[:12]}"
    channels = load_vae(vae).config.latent_channels
    writer = ShardWriter(path, fingerprint=key, fields=recipe.fields(channels))
    jobs = [
        _LatentJob(path=path, fingerprint=key, scenes=scenes, recipe=recipe, vae=vae, number=n, device=device)
        for n in range(scenes.num_shards)
        if not writer.has(n)
    ]
    run_jobs(_encode_shard, jobs, workers=workers, observer=observer, cancel=cancel)
    return writer.finish(scenes.num_shards)


def describe(scene: Scene, recipe: LatentRecipe, seed: int) -> dict[str, list[str]]:
    """Captions of ``scene`` per language."""
    captions = {}
    for language in LANGUAGES:
        forms = [*["short"] * recipe.num_captions, "full", *["dense"] * recipe.has_dense]
        texts = [
            caption(scene, language=language, form=f, seed=2000 * seed + 1000 * scene.flipped + i)
            for i, f in enumerate(forms)
        ]
        captions[language] = list(dict.fromkeys(texts))
    return captions


def _encode_shard(job: _LatentJob) -> None:
    vae = _vae(job.vae, job.device, job.fingerprint)
    seeds, shape, recipe = job.scenes.seeds(job.number), job.scenes.shape, job.recipe
    scenes = job.scenes.scenes(job.number)
    frames = torch.stack([f.to(job.device) for f in draw(scenes, shape, job.device)])
    motion = torch.tensor([float(motion_score(s, shape)) for s in scenes])
    samples = [(seed, scene) for seed, scene in zip(seeds, scenes, strict=True)]
    if recipe.is_mirrored:
        frames, motion = torch.cat([frames, frames.flip(3)]), torch.cat([motion, motion])
        samples += [(seed, scene.mirrored()) for seed, scene in samples]
    latents = torch.cat([_encode(vae, part, recipe.dtype) for part in frames.split(recipe.batch)]).to(
        DTYPES[recipe.stored]
    )
    indices = vae.config.compression.shown_frames(latents.shape[2])
    tensors = {
        "latents": latents,
        "camera": torch.stack([camera_features(scene, indices, fps=shape.fps) for _, scene in samples]),
        "motion": motion,
        "fps": torch.full((len(samples),), float(shape.fps)),
    }
    metadata = [_metadata(seed, scene, recipe, shape) for seed, scene in samples]
    writer = ShardWriter(job.path, fingerprint=job.fingerprint, fields=recipe.fields(latents.shape[1]))
    writer.write(job.number, job.scenes.bucket, tensors=tensors, metadata=metadata)


@torch.inference_mode()
def _encode(vae: VideoAutoencoder, frames: Tensor, dtype: Dtype) -> Tensor:
    with autocast(frames.device, dtype):
        mean, _ = vae.encode(to_model(frames))
    return vae.normalise(mean.float()).cpu()


def _metadata(seed: int, scene: Scene, recipe: LatentRecipe, shape: VideoShape) -> dict[str, Any]:
    return {"seed": seed, "fps": shape.fps, "captions": describe(scene, recipe, seed), "scene": scene.to_dict()}


@lru_cache(maxsize=1)
def _vae(folder: Path, device: str, fingerprint: str) -> VideoAutoencoder:
    """The autoencoder in ``folder``, read again for every set: another may stand there since."""
    return load_vae(folder, device=device)
