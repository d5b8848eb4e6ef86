"""`say`: a sketch as a Chinese sentence in the manner of training captions. Standard library only."""

from __future__ import annotations

from kinema.prompt.lexicon import Lexicon
from kinema.prompt.parse import Sketch, Subject
from kinema.prompt.say_en import speakers
from kinema.prompt.words_zh import MEASURES

_NUMBERS = {1: "一", 2: "两", 3: "三"}
_VERBS = {
    "stand": "静静地待着", "walk": "走路", "run": "奔跑", "jump": "跳跃", "spin": "旋转", "play": "玩耍", "wave": "挥手", "sway": "摇曳",
    "fall": "从空中落下", "roll": "滚动", "slide": "滑动", "swing": "荡来荡去", "float": "漂浮", "fly": "飞行", "toss": "被抛向空中",
    "topple": "倒下",
}  # fmt: skip
_VERBS_OF = {
    ("walk", "fish"): "游动", ("walk", "car"): "行驶", ("walk", "lorry"): "行驶", ("walk", "train"): "行驶", ("walk", "boat"): "航行",
    ("walk", "aeroplane"): "滑行", ("run", "car"): "飞驰", ("run", "lorry"): "飞驰", ("run", "train"): "飞驰", ("run", "boat"): "快速航行",
    ("run", "fish"): "快速游动", ("run", "ball"): "快速滚动", ("spin", "windmill"): "转动叶片", ("float", "balloon"): "飘浮",
    ("float", "kite"): "飘浮", ("float", "person"): "飘浮", ("float", "astronaut"): "飘浮", ("float", "lantern"): "飘浮",
    ("fly", "rocket"): "升空", ("fly", "kite"): "飞舞", ("stand", "car"): "停着", ("stand", "lorry"): "停着", ("stand", "train"): "停着",
    ("stand", "castle"): "矗立着", ("stand", "house"): "矗立着", ("stand", "tower"): "矗立着", ("stand", "lighthouse"): "矗立着",
    ("stand", "cliff"): "矗立着", ("stand", "windmill"): "矗立着", ("stand", "volcano"): "矗立着", ("stand", "balloon"): "悬在空中",
    ("sway", "tower"): "摇晃", ("sway", "lantern"): "摇晃", ("sway", "kite"): "飘动", ("jump", "fish"): "跃出水面",
    **{("stand", kind): "站着" for kind in ("person", "robot", "astronaut", "puppy", "cat", "rabbit", "bird", "duck", "penguin", "horse")},
}  # fmt: skip
_PAIRS = {"chase": "追赶{}", "knock_over": "撞倒{}", "collide": "撞上{}", "drink": "用{}喝水", "pour": "往{}里倒水"}
_AHEAD = {"walk": "走", "run": "跑", "roll": "滚动", "slide": "滑动"}
_WHEELED = {"walk": "行驶", "run": "飞驰"}
_WHEELS = ("car", "lorry", "train", "boat")
_AFLOAT, _ALOFT = ("boat", "iceberg", "fish"), ("balloon", "kite")
_OUTFITS = {"person": "衣服", "astronaut": "宇航服"}
_BEFORE_NOUN = ("哑光", "磨砂", "亮闪闪", "光滑发亮")


def say(sketch: Sketch, lexicon: Lexicon) -> str:
    """The sentence: when and in what weather, who does what where, what the others do, then view, style and camera."""
    main, *others = speakers(sketch)
    when = dict.fromkeys(w for w in (_setting(sketch, a, lexicon) for a in ("time", "weather")) if w)
    parts = [*when, _clause(main, lexicon, _place(sketch, main, lexicon))]
    parts += [_aside(sketch, other, lexicon) for other in others]
    parts += [w for w in (_setting(sketch, a, lexicon) for a in ("view", "style", "camera")) if w]
    return "，".join(p for p in parts if p)


def _clause(subject: Subject, lexicon: Lexicon, place: str = "") -> str:
    where = f"在{place}" if place else ""
    if subject.action == "waves":
        return (f"{place}，" if place else "") + f"海浪拍打着{_who(subject, lexicon)}"
    return _who(subject, lexicon) + where + _what(subject, lexicon, is_bare=not place)


def _aside(sketch: Sketch, other: Subject, lexicon: Lexicon) -> str:
    where = lexicon.known("relation", sketch.relation) if sketch.relation else ()
    if where and sketch.subjects[1] is other:
        return f"它的{where[0]}有{_clause(other, lexicon)}"
    return _clause(other, lexicon) if other.action else "还有" + _who(other, lexicon)


def _who(subject: Subject, lexicon: Lexicon) -> str:
    noun = subject.word or next(iter(lexicon.known("kind", subject.kind)), subject.kind)
    colour = next(iter(lexicon.known("colour", subject.colour)), "") if subject.colour else ""
    material = next(iter(lexicon.known("material", subject.material)), "") if subject.material else ""
    before, stuff = (f"{material}的", "") if material in _BEFORE_NOUN else ("", material)
    number = _NUMBERS[min(subject.count, 3)] + MEASURES.get(subject.kind, "个")
    outfit = _OUTFITS.get(subject.kind)
    known = [w for ws in lexicon.vocabulary.get("clothes", {}).values() for w in ws]
    if colour and outfit in known:
        return f"{number}{before}穿{colour}{outfit}的{stuff}{noun}"
    return number + before + (f"{colour}的" if colour else "") + stuff + noun


def _what(subject: Subject, lexicon: Lexicon, *, is_bare: bool) -> str:
    action = subject.action
    if action is None:
        return ""
    if subject.target is not None and action in _PAIRS:
        pattern = "给{}浇水" if action == "pour" and subject.target.kind == "flower" else _PAIRS[action]
        return pattern.format(_who(subject.target, lexicon))
    side = next(iter(lexicon.known("direction", subject.direction)), "") if subject.direction else ""
    if side and action in _AHEAD:
        ahead = _AHEAD | _WHEELED if subject.kind in _WHEELS else _AHEAD
        return side + ahead[action]
    known = lexicon.known("action", action)
    verb = subject.verb if subject.verb in known and len(subject.verb or "") > 1 else None
    usual = (_VERBS_OF.get((action, subject.kind), ""), _VERBS.get(action, ""))
    verb = verb or next((v for v in usual if v in known), known[0])
    is_lasting = is_bare and not verb.endswith("着") and len(verb) < 4 and action not in ("fall", "toss", "topple")
    return ("在" if is_lasting else "") + verb


def _place(sketch: Sketch, main: Subject, lexicon: Lexicon) -> str:
    if "place" not in sketch.settings:
        return ""
    value, words = sketch.settings["place"]
    known = lexicon.known("place", value)
    if sketch.settings.get("weather", ("",))[0] == "snow":  # lest snow be said twice
        known = tuple(w for w in known if "雪" not in w) or known
    if words in known:
        return words or ""
    if main.kind in _ALOFT or (main.action == "fly" and main.kind != "rocket"):
        return next((w for w in known if w.endswith("上空")), known[0])
    if main.kind in _AFLOAT:
        return next((w for w in known if w.endswith("面上")), known[0])
    return known[0]


def _setting(sketch: Sketch, attribute: str, lexicon: Lexicon) -> str:
    if attribute not in sketch.settings:
        return ""
    value, words = sketch.settings[attribute]
    known = lexicon.known(attribute, value)
    return words if words in known and attribute in ("time", "weather") else known[0]
