"""What the text and picture encoders of published models share.

Their networks, tokenizers and image processors are those of the library transformers, which this room doesn't import: they are
built elsewhere and passed in.
Legend: b batch, n tokens, e text channels, q pooled channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kinema.core.errors import InvalidInput


class TextTokens(NamedTuple):
    """Prompts as a transformer takes them. ``mask`` None: it attends to every token, padding included."""

    tokens: Float[Tensor, "b n e"]
    mask: Bool[Tensor, "b n"] | None = None
    pooled: Float[Tensor, "b q"] | None = None


@runtime_checkable
class Tokenizer(Protocol):
    """What is asked of a tokenizer of transformers."""

    def __call__(self, text: list[str], **options: Any) -> Mapping[str, Any]:
        """Ids and attention mask of the texts."""
        ...

    def convert_tokens_to_ids(self, tokens: str) -> Any:
        """The id of one token."""
        ...


@runtime_checkable
class ImageProcessor(Protocol):
    """What is asked of an image processor of transformers."""

    def __call__(self, images: list[np.ndarray], **options: Any) -> Mapping[str, Any]:
        """The pictures' ``pixel_values``."""
        ...


def padded_ids(
    tokenizer: Tokenizer, texts: Sequence[str], length: int, *, device: torch.device
) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b n"]]:
    """(ids, 1 where they are the text's and 0 where padding), all ``length`` long: padded, or cut off."""
    padded = tokenizer(
        list(texts),
        padding="max_length",
        max_length=length,
        truncation=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    return padded["input_ids"].to(device), padded["attention_mask"].to(device)


def check_prompts(prompts: Sequence[str]) -> None:
    """Raises: InvalidInput for no prompts, or for one string, which would be taken for a list of characters."""
    if isinstance(prompts, str) or not prompts:
        raise InvalidInput("prompts", prompts, "must be a list of at least one text")


def pixels(
    processor: ImageProcessor, pictures: Sequence[np.ndarray], *, device: torch.device
) -> Float[Tensor, "b 3 h w"]:
    """Pictures (h w 3, uint8 RGB, of any sizes) as a picture encoder takes them. Raises: InvalidInput for pictures of another kind."""
    if not pictures:
        raise InvalidInput("pictures", [], "must hold at least one picture")
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InvalidInput("pictures", f"{picture.dtype} {picture.shape}", "must be uint8 (height, width, 3)")
    processed = processor(images=list(pictures), input_data_format="channels_last", return_tensors="pt")
    return processed["pixel_values"].to(device)


def device_of(network: nn.Module) -> torch.device:
    """Where the network's weights are."""
    return next(network.parameters()).device
