"""A trained autoencoder as a folder of two files: what the latents are keyed by and what the exported model is made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from kinema.core.errors import InvalidInput, storage_errors
from kinema.data.load.shards import write_atomically
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.weights.build import read_config

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"


def save_vae(model: VideoAutoencoder, folder: Path) -> None:
    """Writes ``model`` in fp32; the config comes last, so a folder that has one is whole. Raises: StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().float().contiguous() for k, v in model.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(tensors))
    write_atomically(folder / CONFIG, json.dumps(asdict(model.config), indent=1).encode())


def load_vae(folder: Path, *, device: str = "cpu") -> VideoAutoencoder:
    """The autoencoder that `save_vae` wrote, for inference. Raises: InvalidInput."""
    try:
        config = read_config(VideoAutoencoderConfig, json.loads((folder / CONFIG).read_text(encoding="utf-8")), "vae")
        model = VideoAutoencoder(config)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, RuntimeError, SafetensorError) as e:
        raise InvalidInput(str(folder), "autoencoder", f"can't be read: {e}") from e
    return model.to(device).eval().requires_grad_(False)


def hash_vae(folder: Path) -> str:
    """The SHA-256 of config and weights."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        try:
            digest.update((folder / name).read_bytes())
        except OSError as e:
            raise InvalidInput(str(folder / name), "autoencoder", f"can't be read: {e.strerror}") from e
    return digest.hexdigest()
