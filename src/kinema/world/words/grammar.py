"""Relations, and the small words that carry a sentence without naming anything in it."""

from __future__ import annotations

RELATION_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "left_of": {"en": ("to the left of", "on the left of", "left of"), "zh": ("左边", "左侧", "左面")},
    "right_of": {"en": ("to the right of", "on the right of", "right of"), "zh": ("右边", "右侧", "右面")},
    "behind": {"en": ("behind", "farther back than"), "zh": ("后面", "后方")},
    "in_front_of": {"en": ("in front of", "nearer than"), "zh": ("前面", "前方")},
    "bigger_than": {"en": ("bigger than", "larger than"), "zh": ("大", "更大")},
    "smaller_than": {"en": ("smaller than", "littler than"), "zh": ("小", "更小")},
}
# What one asks of a group, what links clauses, what a picture is called.
GRAMMAR_WORDS = (
    *(
        "a an the and another of in on at by to from with while as there is are video clip it its them wears wearing dressed "
        "knocks knocking"
    ).split(),
    *"里 在 正在 正 穿 身穿 还有 同时 画面里 它 的 和 、 另 有 镜头 时 崎岖的 陡峭的 高高的".split(),
)
