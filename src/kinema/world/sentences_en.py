"""Short English captions: one sentence, many ways."""

from __future__ import annotations

from kinema.world.clauses import Clause, clauses
from kinema.world.nature import PLACES
from kinema.world.relations import relations
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.speech_en import Speech, is_doubled
from kinema.world.words import RELATION_WORDS, cameras
from kinema.world.words.inflect import capital
from kinema.world.words.settings import WEATHER_CLAUSES_EN

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
    head = _head(scene, random, said)
    is_there = not head and main.action != "waves" and random.chance(0.08)
    doing = bool(head) or is_there or random.chance(0.25)
    place = speech.place(main) if said["place"] else ""
    who, what = speech.clause(main, doing=doing, way=said["direction"], is_short=bool(place))
    when = speech.when(time=said["time"], weather=said["weather"])
    if is_there:
        who = f"there {'are' if who.startswith(('two ', 'three ')) else 'is'} {who}"
    aside = _others(speech, main, others, doing=doing)
    body = _ordered(random, f"{who} {what}", place, when, aside, doing=doing)
    if said["weather_clause"]:
        body += ", " + speech.pick(WEATHER_CLAUSES_EN[scene.weather])
    text = f"{head} {body}" if head else body
    for tag in _tags(scene, random, said, head):
        text += ", " + tag
    if said["camera"]:
        is_long = any(w in text for w in (",", " as ", " while "))
        text = _with_camera(speech, text, doing=doing and not head and not is_there, is_long=is_long)
    if random.chance(0.4):
        text = capital(text) + ("." if random.chance(0.7) else "")
    return text


def _head(scene: Scene, random: Random, said: dict[str, bool]) -> str:
    if said["view"] and not PLACES[scene.place].is_indoors and random.chance(0.6):
        return random.choice(cameras.DRONE["en"][0])
    if said["style"] and random.chance(0.5):
        return random.choice(cameras.STYLE_HEADS[scene.style]["en"])
    return "a video of" if random.chance(0.05) else ""


def _tags(scene: Scene, random: Random, said: dict[str, bool], head: str) -> list[str]:
    tags = []
    views = cameras.FROM_ABOVE["en"] if PLACES[scene.place].is_indoors else cameras.DRONE["en"][1]
    if said["view"] and head not in cameras.DRONE["en"][0]:
        tags.append(random.choice(views))
    if said["style"] and head not in cameras.STYLE_HEADS[scene.style]["en"]:
        tags.append(random.choice(cameras.STYLE_WORDS[scene.style]["en"]))
    return tags


def _ordered(random: Random, core: str, place: str, when: list[str], aside: str, *, doing: bool) -> str:
    """``core`` with place, time and weather in one of their orders; ``aside`` is what the others do."""
    where = " " + place if place else ""
    if when and not doing and random.chance(0.3):
        first, *rest = when
        tail = "".join(" " + w for w in rest)
        return f"{first}, {core}{where}{tail}{aside}"
    if place and not doing and random.chance(0.12):
        return f"{place}{''.join(' ' + w for w in when[:1])}, {core}{''.join(' ' + w for w in when[1:])}{aside}"
    late = "".join(" " + w for w in when)
    is_free = " of " not in aside and " the " not in aside and not aside.endswith(" it")
    if aside and is_free and not aside.startswith((" while", ",")) and random.chance(0.4):
        return f"{core}{aside}{where}{late}"
    return f"{core}{where}{late}{aside}"


def _others(speech: Speech, main: Clause, others: list[Clause], *, doing: bool) -> str:
    """What the other subjects do, to be said after the first: " while a red ball spins"."""
    random, text, is_with = speech.random, "", False
    for number, clause in enumerate(others, 1):
        link = random.weighted({"and": 3.0, "while": 0.0 if doing or text else 2.0, "with": 0.0 if text else 2.0})
        is_with = is_with or link == "with"
        where = _beside(speech, main, clause) if link == "with" else ""
        is_last = number == len(others)  # else what the next does would be said of this one too
        if link == "with" and is_last and clause.action == "stand" and random.chance(0.6):
            text += f" with {speech.several(clause.actors)}{where}"
            continue
        who, what = speech.clause(clause, doing=doing or is_with, is_short=False)
        is_listed = link == "and" and number < len(others)
        text += ("," if is_listed else " " + link) + f" {who} {what}" + where
    return text


def _beside(speech: Speech, main: Clause, clause: Clause) -> str:
    """Where the actor of ``clause`` is from that of ``main``, if both are one."""
    if len(main.actors) != 1 or len(clause.actors) != 1 or main.action == "waves" or clause.target is not None:
        return ""
    (first,), (other,) = main.actors, clause.actors
    found = [r for r in relations(speech.scene) if r.subject == other and r.other == first]
    found = [r for r in found if not r.name.endswith("_than")]
    the = speech.the(first)
    if not found or the is None:
        return ""
    relation = speech.random.choice(found)
    options = RELATION_WORDS[relation.name]["en"]
    if main.target is None and speech.random.chance(0.4):
        the = "it"
    return f" {options[0] if relation.name in ('behind', 'in_front_of') else speech.pick(options[:2])} {the}"


def _with_camera(speech: Speech, text: str, *, doing: bool, is_long: bool) -> str:
    noun, does, now = speech.camera()
    how = speech.random.weighted(
        {"noun": 3.0, "does": 3.0, "doing": 1.5, "as": 0.0 if doing or is_long else 1.5, "first": 1.5, "of": 0.0}
    )
    if how == "noun":
        return f"{text}, {noun}"
    if how == "doing":
        return f"{text}, camera {now}"
    if how == "as":
        return f"{text} as the camera {does}"
    if how == "first":
        return f"{noun}: {text}"
    return f"{text}, the camera {does}"
