from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video as t2v
from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_image2video as i2v
from PIL import Image
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.models.text.hunyuan_video import (
    KEEP_EVERY,
    NEGATIVE_KEEP_EVERY,
    HunyuanVideoPictureText,
    HunyuanVideoText,
    PicturePromptTemplate,
    PromptTemplate,
    clip_pooled,
)
from kinema.models.text.published import TextTokens
from tests.models.text import tiny

LLAMA_WORDS = tiny.llama_tokenizer(PromptTemplate().text, PicturePromptTemplate().text)
CLIP_WORDS = tiny.clip_tokenizer()
# 24 x 24 patches, as in the published model
IMAGE_PX, PATCH_PX = 48, 2


@pytest.fixture(scope="module")
def text() -> HunyuanVideoText:
    return HunyuanVideoText(
        llama=tiny.llama(len(LLAMA_WORDS)),
        llama_tokenizer=LLAMA_WORDS,
        clip=tiny.clip_text(CLIP_WORDS),
        clip_tokenizer=CLIP_WORDS,
    )


@pytest.fixture(scope="module")
def picture_text() -> HunyuanVideoPictureText:
    return HunyuanVideoPictureText(
        llava=tiny.llava(LLAMA_WORDS, IMAGE_PX, PATCH_PX),
        llava_tokenizer=LLAMA_WORDS,
        image_processor=tiny.image_processor(IMAGE_PX),
        clip=tiny.clip_text(CLIP_WORDS),
        clip_tokenizer=CLIP_WORDS,
    )


def reference(part: HunyuanVideoText | HunyuanVideoPictureText) -> Any:
    """The reference's pipeline around the same networks."""
    parts: dict[str, Any] = dict.fromkeys(("transformer", "vae", "scheduler"))
    parts |= {"text_encoder_2": part.clip, "tokenizer_2": part.clip_tokenizer}
    if isinstance(part, HunyuanVideoText):
        return t2v.HunyuanVideoPipeline(text_encoder=part.llama, tokenizer=part.llama_tokenizer, **parts)  # pyright: ignore[reportArgumentType]
    parts |= {"text_encoder": part.llava, "tokenizer": part.llava_tokenizer, "image_processor": part.image_processor}
    return i2v.HunyuanVideoImageToVideoPipeline(**parts)


def assert_same(ours: TextTokens, theirs: tuple[Tensor, Tensor, Tensor]) -> None:
    tokens, pooled, mask = theirs
    assert ours.mask is not None
    assert ours.pooled is not None
    assert ours.tokens.shape == tokens.shape
    assert (ours.tokens - tokens).abs().max() <= 1e-5
    assert torch.equal(ours.mask, mask.bool())
    assert (ours.pooled - pooled).abs().max() <= 1e-5
    assert tokens.std() > 0.1
    assert pooled.std() > 0.1


def test_templates_are_the_references() -> None:
    for template, theirs in ((PromptTemplate(), t2v), (PicturePromptTemplate(), i2v)):
        assert template.text == theirs.DEFAULT_PROMPT_TEMPLATE["template"]
        assert template.crop_start == theirs.DEFAULT_PROMPT_TEMPLATE["crop_start"]
    start, count = PicturePromptTemplate().picture_start, PicturePromptTemplate().picture_tokens
    assert (start, count) == tuple(i2v.DEFAULT_PROMPT_TEMPLATE[k] for k in ("image_emb_start", "image_emb_len"))
    assert start + count == i2v.DEFAULT_PROMPT_TEMPLATE["image_emb_end"]


def test_what_is_cropped_is_what_stands_before_the_prompt() -> None:
    """With LLaMA's way of cutting text and every word of the templates known, the published numbers come out."""
    for template in (PromptTemplate(), PicturePromptTemplate()):
        before, _, _ = template.text.partition("{}")
        assert len(LLAMA_WORDS(before)["input_ids"]) == template.crop_start
    start = PicturePromptTemplate().picture_start
    assert (
        LLAMA_WORDS(PicturePromptTemplate().text)["input_ids"].index(LLAMA_WORDS.convert_tokens_to_ids("<image>"))
        == start
    )


@pytest.mark.parametrize(
    "prompts", [[p] for p in tiny.PROMPTS] + [tiny.PROMPTS[:2], tiny.PROMPTS], ids=lambda p: str(p)[:30]
)
@torch.no_grad()
def test_text_is_the_references(text: HunyuanVideoText, prompts: list[str]) -> None:
    ours = text.encode(prompts)
    assert_same(ours, reference(text).encode_prompt(prompts))
    assert ours.tokens.shape == (len(prompts), 256, 24)
    assert ours.mask is not None
    lengths = ours.mask.sum(1).tolist()
    assert all((n == 256) == (len(p) > 1000) for n, p in zip(lengths, prompts, strict=True))


@torch.no_grad()
def test_another_template_length_and_layer_too(text: HunyuanVideoText) -> None:
    template = {"template": "<|start_header_id|>system<|end_header_id|>{}<|eot_id|>", "crop_start": 4}
    ours = replace(text, template=PromptTemplate(text=template["template"], crop_start=4), max_tokens=19, skip_layers=0)
    theirs = reference(text)._get_llama_prompt_embeds(
        tiny.PROMPTS, template, max_sequence_length=19, num_hidden_layers_to_skip=0
    )
    tokens, mask, _ = ours.encode(tiny.PROMPTS)
    assert mask is not None
    assert (tokens - theirs[0]).abs().max() <= 1e-5
    assert torch.equal(mask, theirs[1].bool())


@torch.no_grad()
def test_a_prompt_is_the_same_alone_and_in_a_batch(text: HunyuanVideoText) -> None:
    together = text.encode(tiny.PROMPTS)
    for i, prompt in enumerate(tiny.PROMPTS):
        for alone, row in zip(text.encode([prompt]), together, strict=True):
            assert alone is not None
            assert row is not None
            torch.testing.assert_close(alone[0], row[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize("eos", [None, 2])
@torch.no_grad()
def test_clip_pools_where_the_reference_does(eos: int | None) -> None:
    """At the end token; id 2 stands for configs of old, in which the end is the largest id."""
    clip = tiny.clip_text(CLIP_WORDS, eos=eos)
    parts: dict[str, Any] = dict.fromkeys(("text_encoder", "tokenizer", "transformer", "vae", "scheduler"))
    made = t2v.HunyuanVideoPipeline(text_encoder_2=clip, tokenizer_2=CLIP_WORDS, **parts)  # pyright: ignore[reportArgumentType]
    expected = made._get_clip_prompt_embeds(tiny.PROMPTS)
    assert (clip_pooled(clip, CLIP_WORDS, tiny.PROMPTS) - expected).abs().max() <= 1e-5


def pil(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture)


@pytest.mark.parametrize("prompt", tiny.PROMPTS, ids=lambda p: p[:20])
@pytest.mark.parametrize("keep_every", sorted({*KEEP_EVERY.values(), 1}))
@torch.no_grad()
def test_text_with_a_picture_is_the_references(
    picture_text: HunyuanVideoPictureText, prompt: str, keep_every: int
) -> None:
    picture = tiny.picture(1, 61, 83)
    ours = picture_text.encode([prompt], [picture], keep_every=keep_every)
    theirs = reference(picture_text).encode_prompt(pil(picture), [prompt], image_embed_interleave=keep_every)
    assert_same(ours, theirs)
    assert ours.tokens.shape[1] == 576 // keep_every + 252


@torch.no_grad()
def test_pictures_in_a_batch_are_the_references(picture_text: HunyuanVideoPictureText) -> None:
    prompts, pictures = [tiny.PROMPTS[0], tiny.PROMPTS[2]], [tiny.picture(1, 61, 83), tiny.picture(2, 90, 48)]
    theirs = reference(picture_text).encode_prompt([pil(p) for p in pictures], prompts)
    assert_same(picture_text.encode(prompts, pictures, keep_every=2), theirs)


@torch.no_grad()
def test_long_prompts_in_a_batch_are_as_alone(picture_text: HunyuanVideoPictureText) -> None:
    """The reference can't: of a batch it finds the places where prompts end only if all or none is cut off."""
    pictures = [tiny.picture(i, 50, 50 + i) for i in range(len(tiny.PROMPTS))]
    together = picture_text.encode(tiny.PROMPTS, pictures, keep_every=4)
    for i, (prompt, picture) in enumerate(zip(tiny.PROMPTS, pictures, strict=True)):
        for alone, row in zip(picture_text.encode([prompt], [picture], keep_every=4), together, strict=True):
            assert alone is not None
            assert row is not None
            torch.testing.assert_close(alone[0], row[i], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_negative_prompt_is_read_beside_a_black_picture(picture_text: HunyuanVideoPictureText) -> None:
    theirs = reference(picture_text).encode_prompt(Image.new("RGB", (80, 64), 0), [""])
    black = np.zeros((64, 80, 3), np.uint8)
    assert_same(picture_text.encode([""], [black], keep_every=NEGATIVE_KEEP_EVERY), theirs)


@torch.no_grad()
def test_another_picture_template_too(picture_text: HunyuanVideoPictureText) -> None:
    said = {"system": "<image>", "user": "{}", "assistant": ""}
    words = "".join(f"<|start_header_id|>{who}<|end_header_id|>{what}" for who, what in said.items())
    template = PicturePromptTemplate(text=words, crop_start=8, picture_start=4, picture_tokens=9)
    part = replace(
        picture_text,
        llava=tiny.llava(LLAMA_WORDS, 15, 5),
        image_processor=tiny.image_processor(15),
        template=template,
        max_tokens=23,
        skip_layers=1,
    )
    theirs: dict[str, Any] = {
        "template": words,
        "crop_start": 8,
        "image_emb_start": 4,
        "image_emb_end": 13,
        "image_emb_len": 9,
    }
    picture, prompt = tiny.picture(3, 20, 17), "the red car"
    tokens, mask, _ = part.encode([prompt], [picture], keep_every=3)
    expected, expected_mask = reference(part)._get_llama_prompt_embeds(
        pil(picture), [prompt], theirs, max_sequence_length=23, num_hidden_layers_to_skip=1, image_embed_interleave=3
    )
    assert mask is not None
    assert (tokens - expected).abs().max() <= 1e-5
    assert torch.equal(mask, expected_mask.bool())


def test_what_is_made_carries_no_gradients(text: HunyuanVideoText) -> None:
    tokens, _, pooled = text.encode(["a"])
    assert pooled is not None
    assert not tokens.requires_grad
    assert not pooled.requires_grad


@pytest.mark.parametrize(
    "field,change",
    [
        ("prompts", {"prompts": []}),
        ("prompts", {"prompts": "a red car"}),
        ("pictures", {"pictures": []}),
        ("pictures", {"pictures": [tiny.picture(1, 20, 20).astype(np.float32)]}),
        ("pictures", {"pictures": [tiny.picture(1, 20, 20)[..., 0]]}),
        ("pictures", {"pictures": [tiny.picture(1, 20, 20)[..., :2]]}),
        ("keep_every", {"keep_every": 0}),
        ("prompt", {"prompts": ["a red <image> car"]}),
    ],
)
def test_bad_input_is_named(picture_text: HunyuanVideoPictureText, field: str, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"prompts": ["a"], "pictures": [tiny.picture(1, 20, 20)], "keep_every": 2, **change}
    with pytest.raises(InvalidInput) as caught:
        picture_text.encode(given["prompts"], given["pictures"], keep_every=given["keep_every"])
    assert caught.value.field == field


def test_a_tokenizer_that_does_not_fit_the_template_is_named(picture_text: HunyuanVideoPictureText) -> None:
    part = replace(picture_text, template=replace(picture_text.template, picture_start=6))
    with pytest.raises(InvalidInput, match="llava_tokenizer.*token 6"):
        part.encode(["a"], [tiny.picture(1, 20, 20)], keep_every=2)


@pytest.mark.parametrize("prompts", [[], "a red car"])
def test_prompts_must_be_a_list(text: HunyuanVideoText, prompts: Any) -> None:
    with pytest.raises(InvalidInput, match="prompts"):
        text.encode(prompts)
