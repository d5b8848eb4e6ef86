"""`normalise`: one spelling for what people type in several. Standard library only.

Models read bytes, so a full-width digit or a missing full-width comma would be another word to them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

# Han, its extensions and compatibility forms, kana, and the marks that only stand beside them.
_CJK = r"\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_MARKS = "，。！？；：、（）「」『』《》"
_IS_CJK = re.compile(f"[{_CJK}]")
_TO_CHINESE = str.maketrans(",!?;:()", "，！？；：（）")
_QUOTES = str.maketrans("‘’‚‛“”„‟′″–—‐‑‒", "''''\"\"\"\"'\"-----")
_CHINESE_COMMA = re.compile(rf"(?<=[{_CJK}{_CJK_MARKS}])\s*[,!?;:()]|[,!?;:()]\s*(?=[{_CJK}])")
_CHINESE_STOP = re.compile(rf"(?<=[{_CJK}])\s*\.(?=\s|$|[{_CJK}])")
_CJK_SPACE = re.compile(
    rf"(?<=[{_CJK}{_CJK_MARKS}])\s+(?=[{_CJK}{_CJK_MARKS}])|(?<=[{_CJK_MARKS}])\s+|\s+(?=[{_CJK_MARKS}])"
)
_SPACES = re.compile(r"\s+")


def normalise(text: str) -> str:
    """``text`` as captions are written: NFKC letters and digits, straight quotes, Chinese punctuation beside Chinese words,
    single spaces, none between Chinese words, and no invisible characters. Doing it twice changes nothing.
    """
    text = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf")
    )
    text = unicodedata.normalize("NFKC", text.translate(_QUOTES)).translate(_QUOTES)
    text = _CHINESE_COMMA.sub(lambda m: m[0].strip().translate(_TO_CHINESE), text)
    text = _CHINESE_STOP.sub("。", text)
    text = _CJK_SPACE.sub("", text)
    return _SPACES.sub(" ", text).strip()


def language(text: str) -> Literal["en", "zh"]:
    """``"zh"`` if ``text`` has Chinese characters in at least a third of its words, else ``"en"``."""
    chinese = len(_IS_CJK.findall(text))
    # a Chinese word is about two characters long
    other = len(re.findall(r"[^\W\d_]+", _IS_CJK.sub(" ", text)))
    return "zh" if chinese and chinese / 2 >= other / 2 else "en"
