from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.wan import pipeline_wan, pipeline_wan_i2v
from diffusers.utils.import_utils import is_ftfy_available
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kinema.core.errors import InvalidInput
from kinema.models.text.wan import WanPicture, WanText, clean_prompt
from tests.models.text import tiny

WORDS = tiny.t5_tokenizer()
# the reference mends prompts where the package is installed
MEND = importlib.import_module("ftfy").fix_text if is_ftfy_available() else str
UNTIDY = [
    "  a red\t\tcar&amp;amp;\n\n a &lt;beach&gt; ",
    "&nbsp;雪地里　一个&#32418;色的方块 ",
    "a\x1c b\u2028c\u3000d",
]
PROMPTS = [*tiny.PROMPTS, *UNTIDY]


@pytest.fixture(scope="module")
def text() -> WanText:
    return WanText(umt5=tiny.umt5(len(WORDS)), tokenizer=WORDS, mend=MEND)


def reference(part: WanText, pipeline: Any) -> Any:
    parts: dict[str, Any] = dict.fromkeys(("vae", "scheduler", "transformer"))
    return pipeline(tokenizer=part.tokenizer, text_encoder=part.umt5, **parts)


@pytest.mark.parametrize("pipeline", [pipeline_wan.WanPipeline, pipeline_wan_i2v.WanImageToVideoPipeline])
@pytest.mark.parametrize("prompts", [[p] for p in PROMPTS] + [PROMPTS[:2], PROMPTS], ids=lambda p: str(p)[:30])
@torch.no_grad()
def test_text_is_the_references(
    text: WanText, pipeline: Any, prompts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts, and the negative prompt that the reference takes where none is given: an empty one."""
    if not is_ftfy_available():
        # the reference's image-to-video asks for it all the same
        monkeypatch.setattr(pipeline_wan_i2v, "ftfy", SimpleNamespace(fix_text=str), raising=False)
    prompt, negative = reference(text, pipeline).encode_prompt(prompts, max_sequence_length=512)
    ours = text.encode(prompts)
    assert ours.tokens.shape == prompt.shape == (len(prompts), 512, 22)
    assert (ours.tokens - prompt).abs().max() <= 1e-5
    assert (text.encode([""] * len(prompts)).tokens - negative).abs().max() <= 1e-5
    assert ours.mask is None
    assert ours.pooled is None
    assert prompt.abs().max() > 0.5
    ends = [int(row.abs().sum(-1).nonzero().max()) + 1 for row in ours.tokens]
    assert ends == [min(512, len(WORDS(clean_prompt(p, MEND))["input_ids"])) for p in prompts]


@torch.no_grad()
def test_another_length_too(text: WanText) -> None:
    prompt, _ = reference(text, pipeline_wan.WanPipeline).encode_prompt(PROMPTS, max_sequence_length=13)
    assert (replace(text, max_tokens=13).encode(PROMPTS).tokens - prompt).abs().max() <= 1e-5


@torch.no_grad()
def test_a_prompt_is_the_same_alone_and_in_a_batch(text: WanText) -> None:
    together = text.encode(PROMPTS).tokens
    for i, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(text.encode([prompt]).tokens[0], together[i], rtol=0, atol=1e-5)


@given(st.text(alphabet=st.sampled_from("ab &;#1ltgmpnqs<>\t\n\x0b\x1c\x85\u00a0\u2003\u3000红，")))
def test_cleaning_is_the_references(prompt: str) -> None:
    assert clean_prompt(prompt, MEND) == pipeline_wan.prompt_clean(prompt)


def test_every_character_is_cleaned_as_the_reference_cleans_it() -> None:
    characters = "a".join(map(chr, range(sys.maxunicode + 1)))
    assert clean_prompt(characters, MEND) == pipeline_wan.prompt_clean(characters)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompts_are_cleaned_as_the_reference_cleans_them(prompt: str) -> None:
    assert clean_prompt(prompt, MEND) == pipeline_wan.prompt_clean(prompt)


def test_mojibake_is_mended_by_who_is_given(text: WanText) -> None:
    def mend(text: str) -> str:
        return text.replace("Ã©", "é")

    assert clean_prompt("a cafÃ©&amp;bar ", mend) == "a café&bar"
    assert clean_prompt("a cafÃ©&amp;bar ") == "a cafÃ©&bar"
    mended = replace(text, mend=mend).encode(["a cafÃ©"]).tokens
    assert torch.equal(mended, replace(text, mend=str).encode(["a café"]).tokens)


@pytest.mark.parametrize("prompts", [[], "a red car"])
def test_prompts_must_be_a_list(text: WanText, prompts: Any) -> None:
    with pytest.raises(InvalidInput, match="prompts"):
        text.encode(prompts)


@pytest.mark.parametrize("sizes", [[(61, 83)], [(90, 48), (31, 31)]], ids=str)
@torch.no_grad()
def test_pictures_are_the_references(sizes: list[tuple[int, int]]) -> None:
    """One picture, and the first and the last of a clip."""
    part = WanPicture(clip=tiny.clip_vision(28, 7), image_processor=tiny.image_processor(28))
    parts: dict[str, Any] = dict.fromkeys(("tokenizer", "text_encoder", "vae", "scheduler", "transformer"))
    parts |= {"image_encoder": part.clip, "image_processor": part.image_processor}
    made = pipeline_wan_i2v.WanImageToVideoPipeline(**parts)
    pictures = [tiny.picture(i, *size) for i, size in enumerate(sizes)]
    expected = made.encode_image([Image.fromarray(p) for p in pictures], torch.device("cpu"))
    ours = part.encode(pictures)
    assert ours.shape == expected.shape == (len(sizes), 17, 18)
    assert (ours - expected).abs().max() <= 1e-5
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    "wrong", [[], [np.zeros((4, 5), np.uint8)], [np.zeros((4, 5, 3))], [np.zeros((4, 5, 4), np.uint8)]]
)
def test_bad_pictures_are_named(wrong: list[np.ndarray]) -> None:
    part = WanPicture(clip=tiny.clip_vision(28, 7), image_processor=tiny.image_processor(28))
    with pytest.raises(InvalidInput, match="pictures"):
        part.encode(wrong)
