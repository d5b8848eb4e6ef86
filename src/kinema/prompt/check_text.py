"""`readings`: the ways in which a prompt's letters may be meant, so that spacing, digits and look-alikes hide nothing."""

from __future__ import annotations

import re
import unicodedata

from kinema.prompt.normalise import normalise

# Cyrillic and Greek letters that look like Latin ones; NFKC keeps them apart.
_LOOK_ALIKES = str.maketrans("аеоросухіѕјкмнтвԁһɡαεοριντκυ", "aeopocyxisjkmhtbdhgaeoputtku"[:28])
_LOOK_ALIKES |= str.maketrans("ρινυ", "pivu")
_DIGITS_AS_LETTERS = str.maketrans("013457@$!|", "oieastasil")
_TRADITIONAL = str.maketrans(
    "殺體兒槍製藥彈處國臉換視頻歲強姦愛屍內臟頭斬腦漿偽僞總統黃無碼戲褲猶納滅絕結輕樓腸濺噴亂倫蘿猥褻殘廢畫鮮虜炸裝學錄",
    "杀体儿枪制药弹处国脸换视频岁强奸爱尸内脏头斩脑浆伪伪总统黄无码戏裤犹纳灭绝结轻楼肠溅喷乱伦萝猥亵残废画鲜虏炸装学录",
)
_HAN = r"[\u3400-\u9fff]"
_BETWEEN_HAN = re.compile(rf"(?<={_HAN})[\s*.·•|/\\+~_\-#]+(?={_HAN})")
_SPELT_OUT = re.compile(r"(?<![a-z])(?:[a-z][\s.*_\-·|/]+){2,}[a-z](?![a-z])")
_SEPARATORS = re.compile(r"[^a-z]+")
_MIXED_WORD = re.compile(r"[^\s,;:?]*[a-z][^\s,;:?]*")
_LONG_LETTERS = re.compile(r"([a-z])\1{2,}")


def readings(text: str) -> tuple[str, ...]:
    """``text`` in small Latin letters and simplified characters, once as it stands and once with digits and signs as letters.

    Accents, look-alike letters, invisible characters, letters spelt out one by one and signs between Chinese characters are undone.
    """
    text = _BETWEEN_HAN.sub("", unicodedata.normalize("NFKC", text))  # before a full stop there becomes a Chinese one
    plain = unicodedata.normalize("NFD", normalise(text).casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).translate(_LOOK_ALIKES).translate(_TRADITIONAL)
    plain = _BETWEEN_HAN.sub("", plain)
    swapped = _MIXED_WORD.sub(lambda m: m[0].translate(_DIGITS_AS_LETTERS), plain)
    return tuple(dict.fromkeys(_LONG_LETTERS.sub(r"\1", _SPELT_OUT.sub(_joined, t)) for t in (plain, swapped)))


def _joined(match: re.Match[str]) -> str:
    """The letters as a word; where they begin with what may be an article, without it too: "a n u d e"."""
    word = _SEPARATORS.sub("", match[0])
    return f"{word} {word[1:]}" if word[0] in "ai" else word
