from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx import LTXPipeline
from diffusers.pipelines.ltx.pipeline_ltx_image2video import LTXImageToVideoPipeline

from kinema.core.errors import InvalidInput
from kinema.models.text.ltx import LtxText
from tests.models.text import tiny

WORDS = tiny.t5_tokenizer()
PROMPTS = [*tiny.PROMPTS, "  a red\t\tcar&amp;  "]


@pytest.fixture(scope="module")
def text() -> LtxText:
    return LtxText(t5=tiny.t5(len(WORDS)), tokenizer=WORDS)


def reference(part: LtxText, pipeline: Any = LTXPipeline) -> Any:
    parts: dict[str, Any] = dict.fromkeys(("vae", "scheduler", "transformer"))
    return pipeline(tokenizer=part.tokenizer, text_encoder=part.t5, **parts)


@pytest.mark.parametrize("pipeline", [LTXPipeline, LTXImageToVideoPipeline])
@pytest.mark.parametrize("prompts", [[p] for p in PROMPTS] + [PROMPTS], ids=lambda p: str(p)[:30])
@torch.no_grad()
def test_text_is_the_references(text: LtxText, pipeline: Any, prompts: list[str]) -> None:
    device = torch.device("cpu")
    tokens, mask = reference(text, pipeline)._get_t5_prompt_embeds(prompts, device=device)
    ours = text.encode(prompts)
    assert ours.tokens.shape == tokens.shape == (len(prompts), 128, 22)
    assert (ours.tokens - tokens).abs().max() <= 1e-5
    assert ours.mask is not None
    assert torch.equal(ours.mask, mask)
    assert ours.pooled is None
    assert tokens.abs().max() > 0.5
    assert ours.mask.sum(1).tolist() == [min(128, len(WORDS(p)["input_ids"])) for p in prompts]


@torch.no_grad()
def test_another_length_too(text: LtxText) -> None:
    tokens, _ = reference(text)._get_t5_prompt_embeds(PROMPTS, max_sequence_length=13, device=torch.device("cpu"))
    assert (replace(text, max_tokens=13).encode(PROMPTS).tokens - tokens).abs().max() <= 1e-5


@torch.no_grad()
def test_a_prompt_is_the_same_alone_and_in_a_batch(text: LtxText) -> None:
    together = text.encode(PROMPTS).tokens
    for i, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(text.encode([prompt]).tokens[0], together[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize("prompts", [[], "a red car"])
def test_prompts_must_be_a_list(text: LtxText, prompts: Any) -> None:
    with pytest.raises(InvalidInput, match="prompts"):
        text.encode(prompts)
