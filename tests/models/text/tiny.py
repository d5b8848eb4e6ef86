"""Tokenizers, text encoders and picture encoders of transformers, small and random, and the prompts to try them with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

LONG = "the red car drives along the beach at sunset while waves break on the cliff and a bird sings "
CHINESE = "雪地里，一个红色的方块从空中落下，镜头向右环绕。"
# ordinary, long, empty, Chinese, long Chinese; braces, as templates are filled in
PROMPTS = ["a red car {drives} along the beach", LONG * 40, "", CHINESE, CHINESE * 80]
# how LLaMA's third version cuts text before it looks for known pieces; so a template has as many tokens as in the published one
LLAMA_CUTS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_MARKS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>", "<pad>"]


def tokenizer(corpus: list[str], marks: list[str], *, before: str, after: str, pad: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that knows the corpus's words whole and puts ``before`` and ``after`` around a text."""
    raw = Tokenizer(models.BPE())
    cuts = pre_tokenizers.Split(Regex(LLAMA_CUTS), "isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.pre_tokenizer = pre_tokenizers.Sequence([cuts, in_bytes])  # pyright: ignore[reportAttributeAccessIssue]
    raw.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        corpus,
        trainers.BpeTrainer(vocab_size=2000, special_tokens=marks, initial_alphabet=alphabet, show_progress=False),  # pyright: ignore[reportCallIssue]
    )
    around = [(mark, raw.token_to_id(mark)) for mark in (before, after) if mark]
    raw.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
        single=f"{before} $A {after}".strip(), special_tokens=around
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=pad, padding_side="right")


def llama_tokenizer(*templates: str) -> PreTrainedTokenizerFast:
    corpus = [*templates, LONG, CHINESE] * 3
    return tokenizer(corpus, LLAMA_MARKS, before="<|begin_of_text|>", after="", pad="<pad>")


def clip_tokenizer() -> PreTrainedTokenizerFast:
    marks = ["<|startoftext|>", "<|endoftext|>"]
    return tokenizer([LONG, CHINESE], marks, before=marks[0], after=marks[1], pad=marks[1])


def t5_tokenizer() -> PreTrainedTokenizerFast:
    return tokenizer([LONG, CHINESE], ["<pad>", "</s>"], before="", after="</s>", pad="<pad>")


def loud(network: Any, seed: int) -> Any:
    """``network`` with weights large enough that what goes in shows in what comes out."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 0.5))
    return network.eval()


def llama_config(vocabulary: int, **more: Any) -> LlamaConfig:
    sizes: dict[str, Any] = {
        "hidden_size": 24,
        "intermediate_size": 36,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
    }
    return LlamaConfig(vocab_size=vocabulary, num_key_value_heads=1, max_position_embeddings=2048, **sizes, **more)


def llama(vocabulary: int) -> LlamaModel:
    return loud(LlamaModel(llama_config(vocabulary)), 1)


def clip_text(words: PreTrainedTokenizerFast, *, eos: int | None = None) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=20,
        intermediate_size=28,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        eos_token_id=words.convert_tokens_to_ids("<|endoftext|>") if eos is None else eos,  # pyright: ignore[reportArgumentType]
    )
    return loud(CLIPTextModel(config), 2)


def umt5(vocabulary: int) -> UMT5EncoderModel:
    sizes: dict[str, Any] = {"d_model": 22, "d_kv": 6, "d_ff": 30, "num_layers": 3, "num_heads": 2}
    return loud(UMT5EncoderModel(UMT5Config(vocab_size=vocabulary, **sizes)), 3)


def t5(vocabulary: int) -> T5EncoderModel:
    sizes: dict[str, Any] = {"d_model": 22, "d_kv": 6, "d_ff": 30, "num_layers": 3, "num_heads": 2}
    return loud(T5EncoderModel(T5Config(vocab_size=vocabulary, feed_forward_proj="gated-gelu", **sizes)), 6)


def vision_config(image_px: int, patch_px: int) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=18,
        intermediate_size=26,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=image_px,
        patch_size=patch_px,
    )


def clip_vision(image_px: int, patch_px: int) -> CLIPVisionModel:
    return loud(CLIPVisionModel(vision_config(image_px, patch_px)), 4)


def llava(words: PreTrainedTokenizerFast, image_px: int, patch_px: int) -> LlavaForConditionalGeneration:
    config = LlavaConfig(
        vision_config=vision_config(image_px, patch_px),
        text_config=llama_config(len(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),  # pyright: ignore[reportArgumentType]
        pad_token_id=words.pad_token_id,  # pyright: ignore[reportCallIssue]
    )
    return loud(LlavaForConditionalGeneration(config), 5)


def image_processor(image_px: int) -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": image_px}, crop_size={"height": image_px, "width": image_px})


def picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
