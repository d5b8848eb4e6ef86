"""`instruction`: what one says to have a scene edited ("make the red ball blue"), in English and Chinese. Standard library only."""

from __future__ import annotations

from kinema.core.errors import InvalidInput, choices
from kinema.world import speech_en, speech_zh
from kinema.world.clauses import WAVES, Clause
from kinema.world.rng import Random
from kinema.world.scene import Scene, Subject
from kinema.world.words import cameras
from kinema.world.words.inflect import article, capital, plural, verb
from kinema.world.words.nouns import KIND_WORDS, MEASURE_WORDS

EDIT_KINDS = ("recolour", "replace", "add", "remove", "time", "weather", "style", "camera")
_LANGUAGES = ("en", "zh")

_EN = {
    "recolour": ("make {the} {new}", "change the colour of {the} to {new}", "turn {the} {new}", "paint {the} {new}"),
    "replace": ("replace {the} with {a}", "turn {the} into {a}", "swap {the} for {a}", "change {the} to {a}"),
    "add": ("add {a}{doing}", "put {a} in the scene{doing}", "place {a} in the picture{doing}"),
    "remove": ("remove {the}", "take {the} away", "delete {the}", "erase {the} from the picture"),
    "time": ("make it {new}", "change the time to {new}", "set the scene at {new}"),
    "style": ("make it a {new}", "turn the video into a {new}", "redraw it as a {new}"),
}
_ZH = {
    "recolour": ("把{the}变成{new}", "将{the}改成{new}", "把{the}的颜色换成{new}", "把{the}涂成{new}"),
    "replace": ("把{the}换成{a}", "用{a}代替{the}", "将{the}变成{a}", "把{the}替换成{a}"),
    "add": ("添加{a}{doing}", "在画面中加上{a}{doing}", "加入{a}{doing}", "在画面里放{a}{doing}"),
    "remove": ("去掉{the}", "把{the}移除", "删除{the}", "把{the}从画面中抹去"),
    "time": ("把时间改成{new}", "让场景变成{new}", "换成{new}的景色"),
    "style": ("改成{new}", "把视频变成{new}", "换成{new}"),
}
_TIMES = {
    "dawn": (("dawn", "early morning"), ("清晨", "黎明")),
    "day": (("daytime",), ("白天",)),
    "sunset": (("sunset", "dusk"), ("日落时分", "傍晚")),
    "night": (("night",), ("夜晚", "夜里")),
}
_WEATHERS = {
    "clear": (
        ("make the weather clear", "clear the sky", "give it fine weather"),
        ("让天气放晴", "把天气改成晴天", "变成晴朗的天气"),
    ),
    "cloudy": (
        ("make it cloudy", "make the weather overcast", "fill the sky with clouds"),
        ("让天空多云", "把天气改成阴天", "变成多云的天气"),
    ),
    "rain": (("make it rain", "add rain", "change the weather to rain"), ("让天下雨", "加上雨", "把天气改成下雨")),
    "snow": (
        ("make it snow", "add falling snow", "change the weather to snow"),
        ("让天下雪", "加上飘落的雪花", "把天气改成下雪"),
    ),
    "fog": (("add fog", "make it foggy", "change the weather to fog"), ("加上雾", "让四周起雾", "把天气改成大雾")),
}
_STYLES = {
    "toy": (("toy diorama", "miniature toy scene"), ("玩具模型风格", "微缩模型风格")),
    "cartoon": (("cartoon", "flat cartoon"), ("卡通风格", "卡通动画")),
}


def instruction(
    kind: str, *, before: Scene, after: Scene, number: int | None = None, language: str = "en", seed: int = 0
) -> str:
    """The words that ask for the edit of ``kind`` (one of `EDIT_KINDS`) from ``before`` to ``after``.

    ``number`` is the subject's that is recoloured, replaced, added (in ``after``) or removed (in ``before``).
    Raises: InvalidInput for an unknown kind or language, and for a subject's edit without its number.
    """
    if kind not in EDIT_KINDS:
        raise InvalidInput("edit", kind, f"must be {choices(EDIT_KINDS)}")
    if language not in _LANGUAGES:
        raise InvalidInput("language", language, f"must be {choices(_LANGUAGES)}")
    if kind in ("recolour", "replace", "add", "remove"):
        shown = after if kind == "add" else before
        if number is None or not 0 <= number < len(shown.subjects):
            raise InvalidInput("number", number, f"must be one of {list(range(len(shown.subjects)))}")
    random = Random(seed, f"instruction/{language}/{kind}")
    write = _english if language == "en" else _chinese
    text = write(kind, before, after, number, random)
    if random.chance(0.5):
        text = (capital(text) + ".") if language == "en" else text + "。"
    return text


def _english(kind: str, before: Scene, after: Scene, number: int | None, random: Random) -> str:
    if kind == "weather":
        return random.choice(_WEATHERS[after.weather][0])
    if kind == "camera":
        return _camera_en(after, random)
    values = {"the": "", "a": "", "new": "", "doing": ""}
    if kind in ("time", "style"):
        values["new"] = random.choice((_TIMES[after.time] if kind == "time" else _STYLES[after.style])[0])
    elif number is not None:
        if kind != "add":
            values["the"] = _the_en(before, number, random)
        if kind == "recolour":
            values["new"] = speech_en.Speech(after, random).colour(number)
        elif kind != "remove":
            speech = speech_en.Speech(after, random)
            values["a"] = _new_en(before, after.subjects[number], speech.look(number), kind)
            if kind == "add" and after.subjects[number].action != "stand" and after.subjects[number].target is None:
                values["doing"] = (
                    " " + speech.clause(Clause(actors=(number,), action=after.subjects[number].action), doing=True)[1]
                )
    ways = _EN[kind][:2] if kind == "time" and after.time == "day" else _EN[kind]  # not "set at daytime"
    text = random.choice(ways).format(**values)
    if kind == "add" and values["doing"] and not text.startswith("add "):
        text = f"add {values['a']}{values['doing']}"
    return text


def _new_en(before: Scene, subject: Subject, look: str, kind: str) -> str:
    alike = [
        s for s in before.subjects if (s.kind, s.colour, s.material) == (subject.kind, subject.colour, subject.material)
    ]
    is_second = kind == "add" and bool(alike)
    return "another " + look if is_second else article(look)


def _camera_en(after: Scene, random: Random) -> str:
    nouns, actions = (cameras.split(words) for words in cameras.CAMERAS_EN[after.camera])
    action = random.choice(actions)
    noun = nouns[after.camera.startswith("around")]
    return random.choice(
        (
            f"make the camera {verb(action).bare}",
            f"let the camera {verb(action).bare}",
            f"change the camera movement to {noun}",
        )
    )


def _the_en(scene: Scene, number: int, random: Random) -> str:
    """The subject as it is told from the others: by its colour, and by its place in the row if that isn't enough."""
    speech = speech_en.Speech(scene, random, with_material=False)
    subject = scene.subjects[number]
    alike = [s for s in scene.subjects if (s.kind, s.colour) == (subject.kind, subject.colour)]
    look = speech.look(number)
    if len(alike) == 1:
        return "the " + (
            speech.noun(number)
            if sum(s.kind == subject.kind for s in scene.subjects) == 1 and random.chance(0.3)
            else look
        )
    where = _where(subject, alike)
    return f"the {look} {where[0]}" if where else f"one of the {plural(KIND_WORDS[subject.kind]['en'][0])}"


def _where(subject: Subject, alike: list[Subject]) -> tuple[str, str] | None:
    """Which of those alike: the one on the left or right, or the one in front or at the back."""
    xs, zs = [s.x for s in alike], [s.z for s in alike]
    if max(xs) - min(xs) > 0.5 and (subject.x in (max(xs), min(xs))):
        return ("on the left", "左边的") if subject.x == min(xs) else ("on the right", "右边的")
    if max(zs) - min(zs) > 0.7 and (subject.z in (max(zs), min(zs))):
        return ("in front", "前面的") if subject.z == max(zs) else ("at the back", "后面的")
    return None


def _chinese(kind: str, before: Scene, after: Scene, number: int | None, random: Random) -> str:
    if kind == "weather":
        return random.choice(_WEATHERS[after.weather][1])
    if kind == "camera":
        return _camera_zh(after, random)
    values = {"the": "", "a": "", "new": "", "doing": ""}
    if kind in ("time", "style"):
        values["new"] = random.choice((_TIMES[after.time] if kind == "time" else _STYLES[after.style])[1])
    elif number is not None:
        if kind != "add":
            values["the"] = _the_zh(before, number, random)
        speech = speech_zh.Speech(after, random)
        if kind == "recolour":
            values["new"] = speech.colour(number)
        elif kind != "remove":
            subject = after.subjects[number]
            values["a"] = (
                f"一{MEASURE_WORDS[subject.kind]}{_doing_zh(speech, after, number) if kind == 'add' else ''}{speech.look(number)}"
            )
    return random.choice(_ZH[kind]).format(**values)


def _doing_zh(speech: speech_zh.Speech, after: Scene, number: int) -> str:
    """What a new subject does, as an attribute: "正在跳跃的"; nothing for what only stands."""
    subject = after.subjects[number]
    if subject.target is not None or subject.action in ("stand", WAVES, "toss", "fall", "topple"):
        return ""
    return speech.what(Clause(actors=(number,), action=subject.action), going_on=False) + "的"


def _camera_zh(after: Scene, random: Random) -> str:
    words = cameras.split(cameras.CAMERAS_ZH[after.camera])
    moves = [w for w in words if w.startswith("镜头")]
    if moves and after.camera not in cameras.STILL:
        move = random.choice(moves)
        return random.choice((f"让{move}", f"把运镜改成{move}"))
    return f"改用{words[0]}"


def _the_zh(scene: Scene, number: int, random: Random) -> str:
    speech = speech_zh.Speech(scene, random, with_material=False)
    subject = scene.subjects[number]
    alike = [s for s in scene.subjects if (s.kind, s.colour) == (subject.kind, subject.colour)]
    look = speech.look(number)
    if len(alike) == 1:
        return (
            speech.noun(number)
            if sum(s.kind == subject.kind for s in scene.subjects) == 1 and random.chance(0.3)
            else look
        )
    where = _where(subject, alike)
    return where[1] + look.replace("色的", "色", 1) if where else f"其中一{MEASURE_WORDS[subject.kind]}{look}"
