"""HunyuanVideo's text: LLaMA's tokens and CLIP's pooled vector; with a picture, LLaVA's tokens of both.

Legend: b batch, n tokens, e text channels, q pooled channels.
Source: the published pipelines of HunyuanVideo and HunyuanVideo-I2V; the words of the templates belong to the weights, which
were trained with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.text.published import (
    ImageProcessor,
    TextTokens,
    Tokenizer,
    check_prompts,
    device_of,
    padded_ids,
    pixels,
)

_ASPECTS = (
    "1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
    "4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
)
_END_OF_HEADER = "<|end_header_id|>"
_PICTURE = "<image>"
# Pictures' tokens are many and alike; of every so many one is kept, by how the transformer takes the picture.
KEEP_EVERY = {"latent_concat": 2, "token_replace": 4}
# With true guidance the reference encodes the negative prompt beside a black picture, and thins it so whatever the transformer.
NEGATIVE_KEEP_EVERY = 2


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """What a prompt is put into, at ``{}``; the first ``crop_start`` tokens, which come before it, are dropped from the result."""

    text: str = (
        "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: "
        + _ASPECTS
        + "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    )
    crop_start: int = 95


@dataclass(frozen=True, kw_only=True)
class PicturePromptTemplate:
    """A template with a picture: its token stands at ``picture_start`` and becomes ``picture_tokens`` tokens."""

    text: str = (
        "<|start_header_id|>system<|end_header_id|>\n\n<image>\n"
        "Describe the video by detailing the following aspects according to the reference image: "
        + _ASPECTS
        + "\n\n<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    crop_start: int = 103
    picture_start: int = 5
    picture_tokens: int = 576


def clip_pooled(
    clip: nn.Module, tokenizer: Tokenizer, prompts: Sequence[str], *, max_tokens: int = 77
) -> Float[Tensor, "b q"]:
    """CLIP's vector of each prompt (its end token's, after the last norm). Of a longer prompt the first ``max_tokens`` tokens count."""
    ids, _ = padded_ids(tokenizer, prompts, max_tokens, device=device_of(clip))
    return clip(ids).pooler_output


@dataclass(frozen=True, kw_only=True, eq=False)
class HunyuanVideoText:
    """HunyuanVideo's text encoders. Of a longer prompt the first ``max_tokens`` tokens count.

    Attributes:
        llama: a `LlamaModel`, and its tokenizer, which pads on the right.
        clip: a `CLIPTextModel`, and its tokenizer.
        skip_layers: the tokens are what goes into so many last layers of ``llama``.
    """

    llama: nn.Module
    llama_tokenizer: Tokenizer
    clip: nn.Module
    clip_tokenizer: Tokenizer
    template: PromptTemplate = PromptTemplate()
    max_tokens: int = 256
    skip_layers: int = 2

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextTokens:
        """(tokens, mask, pooled), in the encoders' dtypes. An empty prompt is valid. Raises: InvalidInput."""
        check_prompts(prompts)
        texts = [self.template.text.format(prompt) for prompt in prompts]
        crop = self.template.crop_start
        ids, mask = padded_ids(self.llama_tokenizer, texts, crop + self.max_tokens, device=device_of(self.llama))
        hidden = self.llama(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return TextTokens(
            hidden[-1 - self.skip_layers][:, crop:],
            mask[:, crop:].bool(),
            clip_pooled(self.clip, self.clip_tokenizer, prompts),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class HunyuanVideoPictureText:
    """The encoders of HunyuanVideo's image-to-video: LLaVA reads prompt and picture, CLIP the prompt.

    Attributes:
        llava: a `LlavaForConditionalGeneration`, its tokenizer, which pads on the right, and its image processor.
        clip, skip_layers, max_tokens: as in `HunyuanVideoText`.
    """

    llava: nn.Module
    llava_tokenizer: Tokenizer
    image_processor: ImageProcessor
    clip: nn.Module
    clip_tokenizer: Tokenizer
    template: PicturePromptTemplate = PicturePromptTemplate()
    max_tokens: int = 256
    skip_layers: int = 2

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], pictures: Sequence[np.ndarray], *, keep_every: int) -> TextTokens:
        """(tokens, mask, pooled): the picture's tokens, of every ``keep_every`` one (see `KEEP_EVERY`), then the prompt's.

        The tokens of the assistant's header, which end a prompt, are left out; where a long prompt has pushed them out, the last
        four of the prompt are, so that all prompts have as many. (So does the reference, for one prompt at a time.)

        Args:
            pictures: one for every prompt, (h w 3) uint8 RGB.

        Raises: InvalidInput.
        """
        self._check(prompts, pictures, keep_every)
        template, device = self.template, device_of(self.llava)
        texts = [template.text.format(prompt) for prompt in prompts]
        ids, mask = padded_ids(self.llava_tokenizer, texts, template.crop_start + self.max_tokens, device=device)
        expanded, real, positions = self._expanded(ids)
        hidden = self.llava(
            input_ids=expanded,
            attention_mask=real,
            position_ids=positions,
            pixel_values=pixels(self.image_processor, pictures, device=device),
            output_hidden_states=True,
            # of the logits, which nobody reads, as few as can be asked for
            logits_to_keep=1,
        ).hidden_states[-1 - self.skip_layers]
        start = template.picture_start
        picture = hidden[:, start : start + template.picture_tokens][:, ::keep_every]
        kept = self._kept(ids)
        # behind the picture a token stands as much later as the picture has more tokens than its placeholder
        later = (kept + template.picture_tokens - 1)[..., None].expand(-1, -1, hidden.shape[-1])
        text, text_mask = hidden.gather(1, later), mask.gather(1, kept).bool()
        return TextTokens(
            torch.cat([picture, text], dim=1),
            torch.cat([text_mask.new_ones(picture.shape[:2]), text_mask], dim=1),
            clip_pooled(self.clip, self.clip_tokenizer, prompts),
        )

    def _check(self, prompts: Sequence[str], pictures: Sequence[np.ndarray], keep_every: int) -> None:
        check_prompts(prompts)
        if len(prompts) != len(pictures):
            raise InvalidInput("pictures", len(pictures), f"must be one for each of the {len(prompts)} prompts")
        if keep_every < 1:
            raise InvalidInput("keep_every", keep_every, "must be at least 1")
        if marked := [prompt for prompt in prompts if _PICTURE in prompt]:
            raise InvalidInput("prompt", marked[0], f"must not hold {_PICTURE}, which stands for the picture")

    def _expanded(self, ids: Int[Tensor, "b n"]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids with the picture's place for each of its tokens, which of them aren't padding, and their positions."""
        config: Any = self.llava.config
        start, count = self.template.picture_start, self.template.picture_tokens
        placeholder = ids.new_full((len(ids), count), config.image_token_id)
        if not bool((ids[:, start] == config.image_token_id).all()):
            rule = f"must put {_PICTURE} at token {start}: this tokenizer doesn't go with this template"
            raise InvalidInput("llava_tokenizer", ids[0, : start + 1].tolist(), rule)
        expanded = torch.cat([ids[:, :start], placeholder, ids[:, start + 1 :]], dim=1)
        real = (expanded != config.pad_token_id).to(ids.dtype)
        return expanded, real, (real.cumsum(1) - 1).masked_fill(real == 0, 1)

    def _kept(self, ids: Int[Tensor, "b n"]) -> Int[Tensor, "b k"]:
        """Which tokens of the prompt stay: all from ``crop_start`` on, but for the four of the assistant's header."""
        header = self.llava_tokenizer.convert_tokens_to_ids(_END_OF_HEADER)
        length, crop = ids.shape[1], self.template.crop_start
        rows = []
        for row in ids:
            ends = (row == header).nonzero().flatten().tolist()
            is_whole = len(ends) >= self.template.text.count(_END_OF_HEADER)
            end = ends[-1] + 1 if is_whole else length
            rows.append([*range(crop, end - 4), *range(end, length)])
        return torch.tensor(rows, device=ids.device)
