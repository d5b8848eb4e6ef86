"""LTX-Video's text: T5's tokens, padding included, and where the words are.

Legend: b batch, n tokens, e text channels.
Source: the published pipelines of LTX-Video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from kinema.models.text.published import TextTokens, Tokenizer, check_prompts, device_of, padded_ids


@dataclass(frozen=True, kw_only=True, eq=False)
class LtxText:
    """LTX-Video's text encoder: a `T5EncoderModel` and its tokenizer. Of a longer prompt the first ``max_tokens`` tokens count."""

    t5: nn.Module
    tokenizer: Tokenizer
    max_tokens: int = 128

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextTokens:
        """Tokens (b n e) of ``prompts`` as they are typed, and a mask. Raises: InvalidInput.

        T5 isn't told of the mask: its tokens heed the padding, as in training, and only the transformer leaves it out.
        """
        check_prompts(prompts)
        ids, mask = padded_ids(self.tokenizer, prompts, self.max_tokens, device=device_of(self.t5))
        return TextTokens(self.t5(ids).last_hidden_state, mask=mask.bool())
