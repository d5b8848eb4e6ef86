"""A Kinema model that a run begins with instead of from nothing: whether it fits the recipe, and its networks' weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.training.recipes import MiniRecipe
from kinema.training.transformer import TEXT, TRANSFORMER
from kinema.weights.build import load_component
from kinema.weights.configs import read_config
from kinema.weights.files import listed
from kinema.weights.folder import ModelFolder, open_model

VAE = "vae"
_CLASSES = {VAE: "VideoAutoencoder", TEXT: "ByteTextEncoder", TRANSFORMER: "VideoTransformer"}
# measured once an autoencoder is trained, so no recipe has them
_MEASURED = ("latent_mean", "latent_std")


def open_start(model: str, recipe: MiniRecipe) -> ModelFolder:
    """The model of a shipped name or a local folder, for a run of ``recipe``.

    Raises: InvalidInput for one whose networks aren't the recipe's, naming what differs; WeightsError if it can't be read.
    """
    folder, first = open_model(model), recipe.stages[0].transformer
    wanted = {VAE: recipe.vae.config, TEXT: first.text, TRANSFORMER: first.config}
    for component, config in wanted.items():
        if (found := folder.class_name(component)) != _CLASSES[component]:
            raise InvalidInput("start", model, f"its {component} is of class {found}; must be a {_CLASSES[component]}")
        given = asdict(read_config(type(config), folder.config(component), component))
        if component == VAE and given.pop("latent_mean") is None:
            raise InvalidInput("start", model, "its vae has no latent_mean; train on from a model that was exported")
        differing = [
            f"{name} is {given[name]} and must be {value}"
            for name, value in asdict(config).items()
            if name not in _MEASURED and given[name] != value
        ]
        if differing:
            raise InvalidInput("start", model, f"its {component} isn't the recipe's: {listed(differing)}")
    return folder


def begins_with(model: ModelFolder) -> dict[str, str]:
    """What a card says of the model that a run began with: its name, version and content hash."""
    return {"name": model.card.name, "version": model.card.version, "hash": model.content_hash()}


def vae_of(model: ModelFolder) -> VideoAutoencoder:
    """Its autoencoder in fp32, with its latents' statistics."""
    vae = load_component(model, VAE, dtype=torch.float32)
    assert isinstance(vae, VideoAutoencoder)
    return vae


def weights_of(model: ModelFolder) -> dict[str, Mapping[str, Tensor]]:
    """The weights of its transformer and its text encoder in fp32, as `train_transformer` starts from."""
    return {name: load_component(model, name, dtype=torch.float32).state_dict() for name in (TRANSFORMER, TEXT)}
