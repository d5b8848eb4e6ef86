"""Style presets: a name stands for words that are added to the prompt, in the prompt's language. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.core.errors import InvalidInput, choices
from kinema.prompt.lexicon import Vocabulary, lexicon
from kinema.prompt.normalise import language

# name -> (English words, Chinese words), for models whose cards don't say how they call it
STYLES: dict[str, tuple[str, str]] = {
    "toy": ("toy diorama style", "玩具模型风格"),
    "cartoon": ("cartoon style", "卡通风格"),
    "anime": ("anime style, clean lines, flat bright colours", "日本动画风格，线条干净，色彩明快"),
    "cinematic": ("cinematic style, shallow depth of field, soft film light", "电影风格，浅景深，柔和的电影光线"),
    "documentary": ("documentary style, natural light, handheld camera", "纪录片风格，自然光，手持镜头"),
    "watercolour": ("watercolour painting style, soft washes of colour", "水彩画风格，柔和的晕染"),
    "ink": ("Chinese ink painting style, black ink on rice paper", "中国水墨画风格，宣纸上的墨色"),
    "sketch": ("pencil sketch style, fine hatching", "铅笔素描风格，细密的线条"),
    "claymation": ("claymation style, stop-motion figures of clay", "黏土定格动画风格"),
    "pixel": ("pixel art style, low resolution, few colours", "像素画风格，颜色很少"),
    "noir": ("film noir style, black and white, hard shadows", "黑色电影风格，黑白画面，浓重的阴影"),
    "vintage": ("vintage film style, faded colours, visible grain", "复古胶片风格，褪色的画面，明显的颗粒"),
}


@dataclass(frozen=True, kw_only=True)
class Styled:
    """A prompt with the words of a style. ``is_known``: whether the model's vocabulary has it; None where there is no vocabulary."""

    prompt: str
    is_known: bool | None


def add_style(prompt: str, name: str, vocabulary: Vocabulary) -> Styled:
    """``prompt`` with the words of the preset ``name``, said as the model's card says them if it does; added once only.

    Raises: InvalidInput for an unknown name.
    """
    known_names = (*STYLES, *(n for n in vocabulary.get("style", {}) if n not in STYLES))
    if name not in known_names:
        raise InvalidInput("style", name, f"must be {choices(known_names)}")
    tongue = language(prompt)
    known = lexicon(vocabulary, tongue).known("style", name) if vocabulary else ()
    words = (known or STYLES[name][tongue == "zh" :])[0]
    if not any(w.casefold() in prompt.casefold() for w in (known or (words,))):
        stop = "" if prompt[-1:] not in ".。!！" else prompt[-1]
        body = prompt.removesuffix(stop) if stop else prompt
        prompt = f"{body}{'，' if tongue == 'zh' else ', '}{words}{stop}"
    return Styled(prompt=prompt, is_known=bool(known) if vocabulary else None)
