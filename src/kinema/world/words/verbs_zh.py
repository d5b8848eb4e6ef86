"""What every action is called in Chinese, by who does it. The canonical verb comes first; {} stands for whom it is done to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kinema.world.nature import KINDS

# action -> kind, category or "" (all others) -> verb phrases; "!" marks what takes no 正在 (a state, or over in a moment).
VERBS: dict[str, dict[str, str]] = {
    "stand": {
        "": "!静静地待着|!一动不动|!待着不动|!静止不动",
        "people": "!站着不动|!站着|!静静地站着|!一动不动",
        "animals": "!站着不动|!静静地站着|!一动不动|!站着",
        "plants": "!静静地立着|!立着|!一动不动|!挺立着",
        "buildings": "!矗立着|!静静地矗立着|!屹立不动|!立着",
        "windmill": "!矗立着|!立着",
        "landscapes": "!矗立着|!静静地矗立着|!屹立不动",
        "iceberg": "!静静地浮着|!浮在水面上|!一动不动",
        "car": "!停着|!停着不动|!静静地停着",
        "lorry": "!停着|!停着不动|!静静地停着",
        "train": "!停着|!停着不动|!静静地停着",
        "aeroplane": "!停着|!停着不动|!静静地停着",
        "balloon": "!悬在空中|!静静地悬着|!停在空中",
        "lantern": "!静静地挂着|!挂着|!静静地悬着",
        "rocket": "!竖立着|!静静地竖立着|!立着不动",
        "cup": "!静静地立着|!一动不动|!立着不动",
        "cube": "!静静地待着|!一动不动|!立着不动",
    },
    "walk": {
        "": "走路|散步|走着|漫步",
        "robot": "走路|走着|迈步行走",
        "astronaut": "走路|走着|迈步行走",
        "rabbit": "走路|走着|蹦跳着走",
        "bird": "走路|散步|蹦跳着走",
        "duck": "走路|散步|摇摇摆摆地走",
        "penguin": "走路|散步|摇摇摆摆地走",
        "fish": "游动|游泳|游来游去",
        "car": "行驶|开着|平稳地行驶",
        "lorry": "行驶|开着|平稳地行驶",
        "train": "行驶|开着|平稳地行驶",
        "boat": "航行|行驶|平稳地航行",
        "aeroplane": "滑行|缓缓滑行|贴地滑行",
    },
    "run": {
        "": "奔跑|跑步|跑着|飞快地跑",
        "horse": "奔跑|奔驰|跑着|飞快地跑",
        "fish": "快速游动|飞快地游|快速地游动",
        "car": "飞驰|疾驰|快速行驶",
        "lorry": "飞驰|疾驰|快速行驶",
        "train": "飞驰|疾驰|快速行驶",
        "boat": "快速航行|疾驰|飞快地航行",
        "ball": "快速滚动|飞快地滚动|滚得飞快",
    },
    "jump": {"": "跳跃|蹦跳|跳上跳下|蹦蹦跳跳", "fish": "!跃出水面|跳跃|!跳出水面"},
    "spin": {"": "旋转|转圈|原地转圈|打转|原地旋转", "windmill": "转动叶片|转动|转着"},
    "play": {"": "玩耍|玩|跳舞|快乐地玩耍|欢快地蹦跳", "cactus": "跳舞|欢快地蹦跳|玩耍"},
    "wave": {"": "挥手|招手|挥手打招呼|挥动手臂"},
    "sway": {
        "": "摇曳|随风摇摆|轻轻摇摆|左右摇摆|随风摇曳",
        "tower": "摇晃|轻轻摇晃|左右摇摆|摇摆",
        "lantern": "摇晃|轻轻摇晃|左右摇摆|随风摇摆",
        "kite": "飘动|随风飘动|左右摇摆|轻轻摇摆",
    },
    "fall": {"": "!从空中落下|!掉下来|!落下来|!从上面掉下来|!落地弹跳"},
    "roll": {"": "滚动|滚着|平稳地滚动|向前滚动"},
    "slide": {"": "滑动|滑行|滑着|慢慢滑动"},
    "swing": {"": "荡来荡去|来回摆动|摆荡|吊在绳子上摆动", "lantern": "荡来荡去|来回摆动|摆荡"},
    "float": {
        "": "漂浮|轻轻漂浮|浮动",
        "people": "飘浮|!飘在空中|轻轻飘浮",
        "balloon": "飘浮|!飘在空中|轻轻飘浮",
        "objects": "飘浮|轻轻飘浮|浮动",
        "lantern": "飘浮|!飘在空中|轻轻飘浮",
        "kite": "飘浮|!飘在空中|轻轻飘浮",
        "boat": "漂浮|漂荡|轻轻漂浮",
        "iceberg": "漂浮|漂流|缓缓漂浮",
    },
    "fly": {
        "": "飞行|飞翔|飞着",
        "balloon": "飞行|飘飞|飞着",
        "rocket": "飞行|!升空|!起飞|!发射升空",
        "kite": "飞舞|飞翔|飞着",
    },
    "toss": {"": "!被抛向空中|!划出一道弧线|!飞出一道弧线|!被抛起来"},
    "topple": {"": "!倒下|!翻倒|!倒在地上|!倒下来"},
    "collide": {"": "!撞上{}|!撞到{}|!撞向{}|!碰撞{}"},
    "knock_over": {"": "!撞倒{}|!把{}撞倒|!将{}撞翻|!碰倒{}"},
    "chase": {"": "追赶{}|追逐{}|追着{}跑|追{}", "car": "追赶{}|追逐{}|追{}", "ball": "追赶{}|追逐{}|追着{}滚"},
    "drink": {"": "用{}喝水|端起{}喝水|拿着{}喝水|捧着{}喝水"},
    "pour": {"cup": "往{}里倒水|把水倒进{}|向{}里倒水", "flower": "给{}浇水|往{}上浇水|把水浇在{}上"},
}
# What comes after 向左: another list, since not every verb goes with a side.
DIRECTED: dict[str, dict[str, str]] = {
    "walk": {
        "": "走|走去|走动", "fish": "游|游去|游动", "car": "行驶|开|开去", "lorry": "行驶|开|开去", "train": "行驶|开|驶去",
        "boat": "航行|行驶|驶去", "aeroplane": "滑行|缓缓滑行",
    },
    "run": {
        "": "跑|跑去|奔跑|飞奔", "fish": "快速游动|飞快地游", "car": "飞驰|疾驰|快速行驶", "lorry": "飞驰|疾驰|快速行驶",
        "train": "飞驰|疾驰|快速行驶", "boat": "快速航行|疾驰", "ball": "快速滚动|飞快地滚动",
    },
    "roll": {"": "滚动|滚去|滚"},
    "slide": {"": "滑动|滑行|滑去"},
}  # fmt: skip
# What waves do to a cliff that stands.
WAVES = ("海浪拍打着{}", "海浪冲击着{}", "海浪拍打{}", "浪花撞击着{}")


@dataclass(frozen=True, kw_only=True)
class Verb:
    """``text`` may go on (正在…) where ``is_lasting``."""

    text: str
    is_lasting: bool


@cache
def verbs(action: str, kind: str, target: str | None = None) -> tuple[Verb, ...]:
    """The Chinese verbs of ``action`` when ``kind`` does it; pouring is called by what is poured at, the ``target`` kind."""
    table = VERBS[action]
    key = target if action == "pour" and target is not None else kind
    phrases = (table.get(key) or table.get(KINDS[kind].category) or table[""]).split("|")
    return tuple(Verb(text=p.lstrip("!"), is_lasting=p[0] != "!") for p in phrases)


@cache
def common_verbs(action: str, kinds: tuple[str, ...], target: str | None = None) -> tuple[Verb, ...]:
    """The verbs of ``action`` that suit all ``kinds``."""
    first, *others = (verbs(action, kind, target) for kind in kinds)
    return tuple(v for v in first if all(v in other for other in others))


@cache
def directed(action: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """What follows 向左 or 向右 when ``kinds`` do ``action``; none if they go nowhere together."""
    table = DIRECTED.get(action, {})
    first, *others = ((table.get(kind) or table.get("", "")).split("|") for kind in kinds)
    return tuple(v for v in first if v and all(v in other for other in others))
