"""How the camera moves and what the picture looks like: camera classes, views and styles. Canonical words come first.

MovieGen's names are aliases: truck is pan left and right, pedestal is pan up and down, arc is around.
"""

from __future__ import annotations

# class: (what a shot is called, what the camera does: bare verbs)
CAMERAS_EN = {
    "static": ("static shot|fixed camera|static camera", "stay still|hold still|stay fixed"),
    "zoom_in": ("zoom in|zoom-in shot", "zoom in"),
    "zoom_out": ("zoom out|zoom-out shot", "zoom out"),
    "pan_up": ("pan up|pedestal up", "pan up|move up|rise|pedestal up"),
    "pan_down": ("pan down|pedestal down", "pan down|move down|sink|pedestal down"),
    "pan_left": ("pan left|truck left", "pan left|move left|truck left|move to the left"),
    "pan_right": ("pan right|truck right", "pan right|move right|truck right|move to the right"),
    "tilt_up": ("tilt up|upward tilt", "tilt up|tilt upwards|look up"),
    "tilt_down": ("tilt down|downward tilt", "tilt down|tilt downwards|look down"),
    "tilt_left": ("tilt left|tilt to the left", "tilt left|turn left|rotate to the left"),
    "tilt_right": ("tilt right|tilt to the right", "tilt right|turn right|rotate to the right"),
    "around_left": (
        "around left|arc left|orbit to the left",
        "circle left|arc left|orbit to the left|move around to the left",
    ),
    "around_right": (
        "around right|arc right|orbit to the right",
        "circle right|arc right|orbit to the right|move around to the right",
    ),
    "handheld": ("handheld shot|handheld camera|handheld footage", "shake slightly|sway in the hand"),
    "push_in": ("push in|dolly in|push-in shot", "push in|move closer|dolly in|move forward"),
    "pull_out": ("pull out|dolly out|pull-out shot", "pull out|pull back|dolly out|move back"),
    "tracking": ("tracking shot|follow shot", "follow along|track along|move along"),
}
CAMERAS_ZH = {
    "static": "固定镜头|镜头静止|镜头不动|固定机位",
    "zoom_in": "镜头拉近|镜头放大|画面放大|变焦拉近",
    "zoom_out": "镜头拉远|镜头缩小|画面缩小|变焦拉远",
    "pan_up": "镜头上移|镜头上升|镜头向上平移|镜头升高",
    "pan_down": "镜头下移|镜头下降|镜头向下平移|镜头降低",
    "pan_left": "镜头左移|镜头向左平移|镜头往左移动|镜头向左横移",
    "pan_right": "镜头右移|镜头向右平移|镜头往右移动|镜头向右横移",
    "tilt_up": "镜头上摇|镜头向上摇|镜头上仰|镜头向上仰起",
    "tilt_down": "镜头下摇|镜头向下摇|镜头下俯|镜头向下俯",
    "tilt_left": "镜头左摇|镜头向左摇|镜头左转|镜头向左转动",
    "tilt_right": "镜头右摇|镜头向右摇|镜头右转|镜头向右转动",
    "around_left": "镜头向左环绕|镜头左环绕|镜头往左绕行|镜头向左绕拍",
    "around_right": "镜头向右环绕|镜头右环绕|镜头往右绕行|镜头向右绕拍",
    "handheld": "手持镜头|手持拍摄|镜头轻微晃动|镜头微微晃动",
    "push_in": "镜头推进|镜头前移|镜头向前推进|镜头往前推",
    "pull_out": "镜头后退|镜头后移|镜头向后退|镜头往后拉",
    "tracking": "跟踪镜头|跟拍|镜头跟随|镜头跟着移动",
}
STILL = ("static", "handheld")  # go nowhere, so neither slowly nor quickly
SLOW, QUICK = 0.85, 1.15  # of a scene's camera speed
PACES = {"slow": ("slowly", "缓缓"), "quick": ("quickly", "快速")}

# Heads that a sentence follows ("drone view of ..."), and tags that stand alone.
DRONE = {
    "en": (
        ("drone view of", "aerial view of", "a drone shot of", "aerial shot of"),
        ("aerial view", "seen from above", "drone view"),
    ),
    "zh": (("航拍：", "航拍镜头：", "俯瞰："), ("航拍", "航拍视角", "俯拍", "无人机航拍")),
}
# Indoors no drone flies.
FROM_ABOVE = {"en": ("seen from above", "view from above"), "zh": ("俯拍", "从高处俯拍")}
STYLE_WORDS = {
    "toy": {
        "en": ("toy diorama", "toy style", "miniature diorama"),
        "zh": ("玩具模型风格", "微缩模型风格", "玩具模型场景"),
    },
    "cartoon": {
        "en": ("cartoon style", "cartoon", "drawn as a cartoon"),
        "zh": ("卡通风格", "动画片风格", "卡通动画"),
    },
}
STYLE_HEADS = {
    "toy": {"en": ("a toy diorama of", "a miniature diorama of"), "zh": ("玩具模型风格：", "微缩模型场景：")},
    "cartoon": {
        "en": ("a cartoon of", "cartoon of", "an animated cartoon of"),
        "zh": ("卡通：", "卡通动画：", "卡通画面："),
    },
}


def split(words: str) -> tuple[str, ...]:
    """The words between bars."""
    return tuple(words.split("|"))
