"""The surface words of every attribute value, in English and Chinese: what captions say and what a reader may look for.

Each value lists its canonical word first. Standard library only.
"""

from __future__ import annotations

Words = dict[str, dict[str, tuple[str, ...]]]
Verb = tuple[str, str]  # (third person, -ing form)

KINDS: Words = {
    "puppy": {"en": ("puppy", "dog", "little dog"), "zh": ("小狗", "狗", "狗狗")},
    "person": {"en": ("person", "toy figure", "little man"), "zh": ("人", "小人", "玩具小人")},
    "car": {"en": ("car", "toy car", "little car"), "zh": ("小汽车", "汽车", "玩具车")},
    "bird": {"en": ("bird", "little bird", "birdie"), "zh": ("小鸟", "鸟", "鸟儿")},
    "ball": {"en": ("ball", "toy ball", "round ball"), "zh": ("球", "皮球", "圆球")},
    "cube": {"en": ("cube", "box", "block"), "zh": ("方块", "盒子", "立方体")},
}
MEASURE_WORDS = {"puppy": "一只", "person": "一个", "car": "一辆", "bird": "一只", "ball": "一个", "cube": "一个"}

COLOURS: Words = {
    "red": {"en": ("red", "bright red"), "zh": ("红色", "大红色")},
    "orange": {"en": ("orange", "bright orange"), "zh": ("橙色", "橘色")},
    "yellow": {"en": ("yellow", "bright yellow"), "zh": ("黄色", "明黄色")},
    "green": {"en": ("green", "bright green"), "zh": ("绿色", "翠绿色")},
    "blue": {"en": ("blue", "bright blue"), "zh": ("蓝色", "蔚蓝色")},
    "purple": {"en": ("purple", "violet"), "zh": ("紫色", "深紫色")},
    "pink": {"en": ("pink", "bright pink"), "zh": ("粉色", "粉红色")},
    "white": {"en": ("white", "snow-white"), "zh": ("白色", "雪白色")},
}

PLACES: Words = {
    "park": {
        "en": ("in the park", "in a park", "on the grass", "on a lawn"),
        "zh": ("公园里", "草地上", "公园的草坪上"),
    },
    "beach": {
        "en": ("on the beach", "at the beach", "by the sea", "on the sand by the sea"),
        "zh": ("海滩上", "沙滩上", "海边"),
    },
    "snowfield": {
        "en": ("in the snow", "on a snowfield", "on the snow", "in a snowy field"),
        "zh": ("雪地里", "雪地上", "雪原上"),
    },
    "desert": {
        "en": ("in the desert", "in a desert", "on desert sand", "among desert dunes"),
        "zh": ("沙漠里", "沙漠中", "沙漠上"),
    },
}

TIMES: Words = {
    "day": {
        "en": ("in the daytime", "by day", "on a sunny day", "in bright daylight"),
        "zh": ("白天", "晴天", "大白天"),
    },
    "sunset": {
        "en": ("at sunset", "at dusk", "in the evening glow", "as the sun sets"),
        "zh": ("日落时", "傍晚", "黄昏时", "夕阳下"),
    },
    "night": {
        "en": ("at night", "by night", "under the stars", "in the moonlight"),
        "zh": ("夜晚", "晚上", "夜里", "星空下"),
    },
}

# What an action is called may depend on who does it: a ball rolls, a car drives. The empty kind stands for all others.
VERBS: dict[str, dict[str, tuple[Verb, ...]]] = {
    "stand": {
        "": (
            ("stands still", "standing still"),
            ("stands", "standing"),
            ("stays still", "staying still"),
            ("rests", "resting"),
        ),
        "car": (("stands still", "standing still"), ("is parked", "parked"), ("stays still", "staying still")),
        "ball": (("lies still", "lying still"), ("rests", "resting"), ("stays still", "staying still")),
        "cube": (("stands still", "standing still"), ("rests", "resting"), ("stays still", "staying still")),
    },
    "walk": {
        "": (("walks", "walking"), ("strolls", "strolling"), ("goes for a walk", "going for a walk")),
        "car": (("drives", "driving"), ("rolls along", "rolling along"), ("drives by", "driving by")),
        "bird": (("walks", "walking"), ("hops along", "hopping along"), ("strolls", "strolling")),
        "ball": (("rolls", "rolling"), ("rolls along", "rolling along"), ("rolls by", "rolling by")),
        "cube": (("slides", "sliding"), ("slides along", "sliding along"), ("glides", "gliding")),
    },
    "jump": {
        "": (
            ("jumps", "jumping"),
            ("jumps up and down", "jumping up and down"),
            ("leaps into the air", "leaping into the air"),
        ),
    },
    "spin": {
        "": (
            ("spins", "spinning"),
            ("turns around", "turning around"),
            ("spins in place", "spinning in place"),
            ("twirls", "twirling"),
        ),
    },
    "play": {
        "": (
            ("plays", "playing"),
            ("dances", "dancing"),
            ("plays happily", "playing happily"),
            ("hops from side to side", "hopping from side to side"),
        ),
    },
    "fall": {
        "": (
            ("falls down", "falling down"),
            ("drops from above", "dropping from above"),
            ("falls and bounces", "falling and bouncing"),
        ),
    },
}
VERBS_ZH: dict[str, dict[str, tuple[str, ...]]] = {
    "stand": {
        "": ("站着不动", "站着", "静静地待着"),
        "car": ("停着", "停着不动", "静静地停着"),
        "ball": ("静静地待着", "一动不动", "停着不动"),
        "cube": ("静静地待着", "一动不动", "立着不动"),
    },
    "walk": {
        "": ("走路", "散步", "走着"),
        "car": ("行驶", "开着", "开动"),
        "bird": ("走路", "散步", "蹦跳着走"),
        "ball": ("滚动", "滚着", "滚来滚去"),
        "cube": ("滑动", "滑行", "滑着走"),
    },
    "jump": {"": ("跳跃", "跳", "跳上跳下", "蹦跳")},
    "spin": {"": ("旋转", "转圈", "原地转圈", "打转")},
    "play": {"": ("玩耍", "玩", "跳舞", "快乐地玩耍")},
    "fall": {"": ("掉下来", "落下", "从空中落下", "从上面掉下来")},
}
DIRECTIONS: Words = {
    "left": {"en": ("to the left", "leftwards"), "zh": ("向左", "往左")},
    "right": {"en": ("to the right", "rightwards"), "zh": ("向右", "往右")},
}
CAMERAS: Words = {
    "static": {
        "en": ("static shot", "the camera is still", "fixed camera"),
        "zh": ("固定镜头", "镜头静止", "镜头不动"),
    },
    "zoom_in": {"en": ("zoom in", "the camera zooms in", "slow zoom in"), "zh": ("镜头拉近", "镜头放大", "画面放大")},
    "zoom_out": {
        "en": ("zoom out", "the camera zooms out", "slow zoom out"),
        "zh": ("镜头拉远", "镜头缩小", "画面缩小"),
    },
    "pan_left": {
        "en": ("pan left", "the camera pans left", "the camera moves left"),
        "zh": ("镜头左移", "镜头向左平移", "镜头往左移动"),
    },
    "pan_right": {
        "en": ("pan right", "the camera pans right", "the camera moves right"),
        "zh": ("镜头右移", "镜头向右平移", "镜头往右移动"),
    },
    "around_left": {
        "en": ("around left", "the camera circles left", "the camera orbits to the left"),
        "zh": ("镜头向左环绕", "镜头左环绕", "镜头往左绕行"),
    },
    "around_right": {
        "en": ("around right", "the camera circles right", "the camera orbits to the right"),
        "zh": ("镜头向右环绕", "镜头右环绕", "镜头往右绕行"),
    },
}


def verbs(action: str, kind: str) -> tuple[Verb, ...]:
    """The English verbs of ``action`` when ``kind`` does it."""
    return VERBS[action].get(kind, VERBS[action][""])


def verbs_zh(action: str, kind: str) -> tuple[str, ...]:
    """The Chinese verbs of ``action`` when ``kind`` does it."""
    return VERBS_ZH[action].get(kind, VERBS_ZH[action][""])


def vocabulary() -> dict[str, dict[str, list[str]]]:
    """All surface words: attribute -> value -> words, each language's canonical word first, English before Chinese."""
    tables = {
        "kind": KINDS,
        "colour": COLOURS,
        "place": PLACES,
        "time": TIMES,
        "direction": DIRECTIONS,
        "camera": CAMERAS,
    }
    out = {
        name: {value: [*words["en"], *words["zh"]] for value, words in table.items()} for name, table in tables.items()
    }
    out["clothes"] = {"shirt": ["shirt", "穿", "衣服"]}  # a person's colour is its shirt's
    out["action"] = {}
    for action, kinds in VERBS.items():
        english = [form for options in kinds.values() for verb in options for form in verb]
        chinese = [verb for options in VERBS_ZH[action].values() for verb in options]
        out["action"][action] = list(dict.fromkeys([*english, *chinese]))
    return out
