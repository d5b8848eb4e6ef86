"""Texts and pictures as tokens: the encoders of transformers, small and random, in diffusers' pipelines and loaded by ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from parity_rows.measure import BF16, FP32, Row, alone, row
from PIL import Image
from torch import Tensor

from kinema.core.plan import RunPlan
from kinema.core.progress import ignore_progress
from kinema.engine.clock import RunClock
from kinema.engine.families.family import load_family
from kinema.models.text.hunyuan_video import KEEP_EVERY, NEGATIVE_KEEP_EVERY
from kinema.models.text.published import TextTokens
from kinema.weights.folder import open_model
from tests.engine.families.published import IMAGE_DIM, Model, hunyuan_video, ltx, wan
from tests.models.text import tiny
from tests.models.text.test_wan import UNTIDY

# name -> prompts; each alone, and all together
PROMPTS: dict[str, list[str]] = {
    **{f"prompt {i + 1}": [prompt] for i, prompt in enumerate(tiny.PROMPTS)},
    "untidy": UNTIDY,
    "all together": tiny.PROMPTS,
}
PICTURES = [tiny.picture(1, 61, 83), tiny.picture(2, 90, 48), tiny.picture(3, 31, 31)]
NEEDS = ("fp32", "bf16", "batch")
Ask = Callable[[Any], Sequence[Tensor]]


def word_rows(root: Path) -> Iterator[Row]:
    """A row for each kind of encoder."""
    yield _texts(
        "HunyuanVideo text: LLaMA and CLIP",
        hunyuan_video(root / "hunyuan"),
        lambda pipeline, prompts: pipeline.encode_prompt(prompts),
    )
    yield _texts_beside_pictures(hunyuan_video(root / "hunyuan-picture", picture="token_replace"))
    seen = {"in_channels": 16, "image_dim": IMAGE_DIM, "added_kv_proj_dim": 24}
    model = wan(root / "wan", picture=True, transformer=seen)
    yield _texts(
        "Wan text: umT5",
        model,
        lambda pipeline, prompts: pipeline.encode_prompt(
            prompts, do_classifier_free_guidance=False, max_sequence_length=512
        )[:1],
    )
    yield _pictures(model)
    yield _texts(
        "LTX-Video text: T5",
        ltx(root / "ltx"),
        lambda pipeline, prompts: pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[:2],
    )


def _texts(what: str, model: Model, theirs: Callable[[Any, list[str]], Sequence[Tensor]]) -> Row:
    with row(what, *NEEDS) as made:
        sides = _sides(model)
        for name, prompts in PROMPTS.items():
            _compare(made, name, sides, lambda p, x=prompts: theirs(p, x), lambda f, x=prompts: f.text.encode(x))
        _batch(made, len(tiny.PROMPTS), lambda part: sides["ours"].text.encode(tiny.PROMPTS[part]))
    return made


def _texts_beside_pictures(model: Model) -> Row:
    with row("HunyuanVideo text beside a picture: LLaVA and CLIP", *NEEDS) as made:
        sides = _sides(model)
        for keep_every in sorted({*KEEP_EVERY.values(), NEGATIVE_KEEP_EVERY}):
            for i, (prompt, picture) in enumerate(zip(tiny.PROMPTS, cycle(PICTURES), strict=False)):
                image = Image.fromarray(picture)
                _compare(
                    made,
                    f"prompt {i + 1}, one token in {keep_every} of the picture's",
                    sides,
                    lambda p, x=prompt, y=image, k=keep_every: p.encode_prompt(y, [x], image_embed_interleave=k),
                    lambda f, x=prompt, y=picture, k=keep_every: f.text.encode([x], [y], keep_every=k),
                )
        text = sides["ours"].text
        _batch(made, len(PICTURES), lambda part: text.encode(tiny.PROMPTS[:3][part], PICTURES[part], keep_every=2))
    return made


def _pictures(model: Model) -> Row:
    with row("Wan picture: CLIP", *NEEDS) as made:
        sides = _sides(model)
        for name, pictures in (("one", PICTURES[:1]), ("first and last", PICTURES[:2]), ("another", PICTURES[2:])):
            images = [Image.fromarray(p) for p in pictures]
            _compare(
                made,
                name,
                sides,
                lambda p, x=images: [p.encode_image(x, torch.device("cpu"))],
                lambda f, x=pictures: [f.picture.encode(x)],
            )
        _batch(made, len(PICTURES), lambda part: [sides["ours"].picture.encode(PICTURES[part])])
    return made


def _batch(made: Row, count: int, ask: Callable[[slice], Sequence[Tensor | None]]) -> None:
    """``count`` samples together beside each alone."""
    together = _floats(ask(slice(count)))
    for output, part in alone(together, lambda i: _floats(ask(slice(i, i + 1)))):
        made.add("batch", "all together", [output], [part])


def _sides(model: Model) -> dict[str, Any]:
    """The reference's pipeline and our family of its folder, in fp32 and in bf16."""
    folder = open_model(model.folder)

    def load(dtype: Any) -> Any:
        return load_family(folder, RunPlan(dtype=dtype), RunClock(ignore_progress, None))

    return {
        "theirs": model.pipeline,
        "ours": load("float32"),
        "theirs, bf16": model.in_bfloat16().pipeline,
        "ours, bf16": load("bfloat16"),
    }


def _compare(made: Row, name: str, sides: dict[str, Any], theirs: Ask, ours: Ask) -> None:
    """Tokens, pooled tokens and mask in fp32; without the mask in bf16."""
    made.cases.append(name)
    exact, reached = theirs(sides["theirs"]), theirs(sides["theirs, bf16"])
    if {t.dtype for t in _floats(reached)} != {BF16} or {t.dtype for t in _floats(exact)} != {FP32}:
        raise SystemExit(f"{made.what}, {name}: the reference gives other dtypes than it was asked for")
    mine = ours(sides["ours"])
    made.add("fp32", name, _floats(mine), _floats(exact))
    made.add("fp32", name, _masks(mine), _masks(exact))
    made.add_half(name, _floats(ours(sides["ours, bf16"])), _floats(reached), _floats(exact))


def _floats(outputs: Sequence[Tensor | None]) -> list[Tensor]:
    """What is encoded: of ours tokens and pooled ones, in the reference's order."""
    return [t for t in _in_order(outputs) if t.is_floating_point()]


def _masks(outputs: Sequence[Tensor | None]) -> list[Tensor]:
    return [t.bool() for t in _in_order(outputs) if not t.is_floating_point()]


def _in_order(outputs: Sequence[Tensor | None]) -> list[Tensor]:
    if isinstance(outputs, TextTokens):
        outputs = (outputs.tokens, outputs.pooled, outputs.mask)
    return [t for t in outputs if t is not None]
