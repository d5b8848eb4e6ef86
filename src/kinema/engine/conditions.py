"""What a run is conditioned on, as tensors: text, known frames, camera path and scalars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kinema.core.card import ModelCard
from kinema.core.geometry import VideoShape
from kinema.core.media_ref import Keyframe
from kinema.core.protocols import MediaReader
from kinema.engine.components import Components
from kinema.engine.resolve import ResolvedRequest, keyframe_places
from kinema.models.text.byte_encoder import tokenize
from kinema.world.camera import CAMERA_FEATURES, camera_features

# latent frames of the same still before the one that is kept: what the encoder's causal kernels look back on
_CONTEXT = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditions:
    """Inputs of the transformer besides latents and noise level, one row per clip. ``None`` is "the model takes none"."""

    text: Float[Tensor, "b n d"]
    text_mask: Bool[Tensor, "b n"]
    pooled: Float[Tensor, "b p"]
    known: Float[Tensor, "b c t h w"] | None
    known_mask: Float[Tensor, "b 1 t h w"] | None
    camera: Float[Tensor, "b t k"] | None
    scalars: Float[Tensor, "b s"] | None

    def kwargs(self, dtype: torch.dtype) -> dict[str, Any]:
        """The transformer's keyword arguments; networks' activations as ``dtype``."""
        return {
            "text": self.text.to(dtype),
            "text_mask": self.text_mask,
            "pooled": self.pooled.to(dtype),
            "known": None if self.known is None else self.known.to(dtype),
            "known_mask": None if self.known_mask is None else self.known_mask.to(dtype),
            "camera": self.camera,
            "scalars": self.scalars,
        }


def cat_conditions(parts: Sequence[Conditions]) -> Conditions:
    """The rows of ``parts`` below each other."""
    names = list(Conditions.__dataclass_fields__)
    columns = {name: [getattr(p, name) for p in parts] for name in names}
    return Conditions(**{n: None if c[0] is None else torch.cat(c) for n, c in columns.items()})


def encode_text(components: Components, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, mask, pooled) of ``texts``; the empty text is the null condition."""
    ids, mask = tokenize(texts)
    return components.text_encoder(ids.to(components.device), mask.to(components.device))
