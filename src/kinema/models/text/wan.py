"""Wan's text, umT5's tokens; and for Wan 2.1's image-to-video CLIP's tokens of a picture.

Legend: b batch, n tokens, e text channels, m tokens of a picture, v its channels.
Source: the published pipelines of Wan 2.1 and 2.2.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from kinema.models.text.published import (
    ImageProcessor,
    TextTokens,
    Tokenizer,
    check_prompts,
    device_of,
    padded_ids,
    pixels,
)

# Unicode's white space, which doesn't hold the four separators that Python counts as such
_SPACES = re.compile(r"[^\S\x1c-\x1f]+")


def clean_prompt(text: str, mend: Callable[[str], str] = str) -> str:
    """``text`` as the published pipelines clean it: mojibake mended, HTML entities read, one space between words.

    ``mend`` is ftfy's ``fix_text`` where that is installed; without it they skip that step, and so does this.
    """
    text = mend(text)
    # twice: captions from the web are often escaped twice
    return _SPACES.sub(" ", html.unescape(html.unescape(text)).strip()).strip()


@dataclass(frozen=True, kw_only=True, eq=False)
class WanText:
    """Wan's text encoder: a `UMT5EncoderModel` and its tokenizer. Of a longer prompt the first ``max_tokens`` tokens count."""

    umt5: nn.Module
    tokenizer: Tokenizer
    max_tokens: int = 512
    mend: Callable[[str], str] = str

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextTokens:
        """Tokens (b n e), zero behind each prompt's end. No mask: Wan's transformer attends to the zeros as well.

        Prompts are cleaned first (`clean_prompt`); an empty one is valid. Raises: InvalidInput.
        """
        check_prompts(prompts)
        texts = [clean_prompt(prompt, self.mend) for prompt in prompts]
        ids, mask = padded_ids(self.tokenizer, texts, self.max_tokens, device=device_of(self.umt5))
        tokens = self.umt5(ids, mask).last_hidden_state
        return TextTokens(tokens.masked_fill(mask[..., None] == 0, 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class WanPicture:
    """The picture encoder of Wan 2.1's image-to-video: a `CLIPVisionModel` and its image processor."""

    clip: nn.Module
    image_processor: ImageProcessor

    @torch.no_grad()
    def encode(self, pictures: Sequence[np.ndarray]) -> Float[Tensor, "b m v"]:
        """Tokens of each picture (h w 3, uint8 RGB): what goes into the last layer. Raises: InvalidInput.

        Models for a first and a last picture take those of both, one after the other, as one row of tokens.
        """
        pixel_values = pixels(self.image_processor, pictures, device=device_of(self.clip))
        return self.clip(pixel_values=pixel_values, output_hidden_states=True).hidden_states[-2]
