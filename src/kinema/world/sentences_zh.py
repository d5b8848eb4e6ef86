"""Short Chinese captions: one sentence, many ways."""

from __future__ import annotations

from kinema.world.clauses import WAVES, Clause, clauses
from kinema.world.nature import PLACES
from kinema.world.relations import relations
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.speech_zh import Speech, is_doubled
from kinema.world.words import RELATION_WORDS, cameras
from kinema.world.words.settings import WEATHER_CLAUSES_ZH

_TRIES = 6


def short(scene: Scene, random: Random, said: dict[str, bool]) -> str:
    """One sentence about ``scene`` that says what ``said`` asks for, and who does what."""
    text = ""
    for _ in range(_TRIES):
        text = _short(scene, random, said)
        if not is_doubled(text):
            break
    return text


def _short(scene: Scene, random: Random, said: dict[str, bool]) -> str:
    speech = Speech(scene, random, with_colour=said["colour"], with_material=said["material"])
    main, *others = speech.parts(clauses(scene))
    place = speech.place(main) if said["place"] else ""
    when = speech.when(time=said["time"], weather=said["weather"])
    head = _head(scene, random, said)
    text = core(speech, main, place, when, way=said["direction"]) + "".join(_other(speech, main, c) for c in others)
    if said["weather_clause"]:
        text += "，" + speech.pick(WEATHER_CLAUSES_ZH[scene.weather])
    views = cameras.FROM_ABOVE["zh"] if PLACES[scene.place].is_indoors else cameras.DRONE["zh"][1]
    if said["view"] and head not in cameras.DRONE["zh"][0]:
        text += "，" + random.choice(views)
    if said["style"] and head not in cameras.STYLE_HEADS[scene.style]["zh"]:
        text += "，" + random.choice(cameras.STYLE_WORDS[scene.style]["zh"])
    if said["camera"]:
        camera = speech.camera()
        text = f"{camera}，{text}" if not head and random.chance(0.25) else f"{text}，{camera}"
    return head + text + ("。" if random.chance(0.25) else "")


def core(speech: Speech, clause: Clause, place: str, when: list[str], *, way: bool) -> str:
    """Who does what where and when, in one of its orders."""
    random = speech.random
    if clause.action == WAVES:
        return _waves(speech, clause, place, when)
    plain = [w for w in when if "的" not in w]
    order = random.weighted({"adverbs": 3.0, "when first": 3.0, "of": 1.0, "place first": 1.0, "there is": 1.0})
    if (
        order == "adverbs"
        and len(when) <= 1
        and len(plain) == len(when)
        and not (when and when[0].endswith(("里", "中", "下", "时")))
    ):
        who = speech.who(clause)
        is_bare = not (place or when)
        ongoing = "正" if place and not when and clause.target is None and random.chance(0.2) else ""
        what = speech.what(clause, way=way, going_on=is_bare)
        return f"{who}{''.join(when)}{ongoing}{'在' + place if place else ''}{what}"
    if order == "of" and place and "的" not in place and len(plain) == len(when) == 1:
        if random.chance(0.5):
            return f"{speech.who(clause)}在{when[0]}的{place}{speech.what(clause, way=way)}"
        return f"{when[0]}的{place}，{speech.who(clause)}{speech.what(clause, way=way, going_on=True)}"
    first = "，".join(when) + "，" if when else ""
    if order == "there is" and place:
        return f"{first}{place}有{speech.who(clause)}{speech.what(clause, way=way, going_on=True)}"
    if order == "place first" and place and len(when) < 2:
        return f"{first}{random.choice(('在', ''))}{place}，{speech.who(clause)}{speech.what(clause, way=way, going_on=True)}"
    who = speech.who(clause)
    return f"{first}{who}{'在' + place if place else ''}{speech.what(clause, way=way, going_on=not place)}"


def _waves(speech: Speech, clause: Clause, place: str, when: list[str]) -> str:
    what = speech.what(clause)
    if place and len(when) == 1 and "的" not in when[0] + place and speech.random.chance(0.3):
        return f"{when[0]}的{place}，{what}"
    return "".join(part + "，" for part in (*when, place) if part) + what


def _head(scene: Scene, random: Random, said: dict[str, bool]) -> str:
    if said["view"] and not PLACES[scene.place].is_indoors and random.chance(0.5):
        return random.choice(cameras.DRONE["zh"][0])
    if said["style"] and random.chance(0.4):
        return random.choice(cameras.STYLE_HEADS[scene.style]["zh"])
    return ""


def _other(speech: Speech, main: Clause, clause: Clause) -> str:
    """What other subjects do, to be said after the first."""
    where = beside(speech, main, clause)
    if where and speech.random.chance(0.6):
        who = speech.who(clause)
        if clause.action == "stand" and speech.random.chance(0.5):
            return f"，{where}有{who}"
        return f"，{where}有{who}{speech.what(clause, going_on=True)}"
    if clause.action == WAVES:
        return "，" + speech.what(clause)
    who = speech.who(clause)
    if clause.action == "stand" and speech.random.chance(0.6):
        return f"，{speech.random.choice(('还有', '画面里还有'))}{who}"
    link = speech.random.choice(("", "", "同时", "还有"))
    return f"，{link}{who}{speech.what(clause, going_on=True)}"


def beside(speech: Speech, main: Clause, clause: Clause) -> str:
    """Where the actor of ``clause`` is from that of ``main``, if both are one: "小狗的左边"."""
    if (
        len(main.actors) != 1
        or len(clause.actors) != 1
        or WAVES in (main.action, clause.action)
        or clause.target is not None
    ):
        return ""
    (first,), (other,) = main.actors, clause.actors
    found = [r for r in relations(speech.scene) if r.subject == other and r.other == first]
    found = [r for r in found if not r.name.endswith("_than")]
    the = speech.the(first)
    if not found or the is None:
        return ""
    if main.target is None and speech.random.chance(0.4):
        the = "它"
    words = RELATION_WORDS[speech.random.choice(found).name]["zh"]
    return f"{the}{speech.random.choice(('', '的')) if '的' not in the else ''}{speech.pick(words)}"
