"""Sentences about a scene, in English and Chinese: short, dense and structured, many ways of saying each."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape
from kinema.world import words
from kinema.world.phrases import PHRASES
from kinema.world.rng import Random
from kinema.world.scene import Scene

LANGUAGES = ("en", "zh")
FORMS = ("short", "dense", "json")

# How often a short caption says each thing; sometimes only who does what where.
_SAY = {"colour": 0.85, "place": 0.95, "time": 0.65, "direction": 0.6, "camera": 0.75, "still_camera": 0.15}
_BARE_SHARE = 0.12
_CANONICAL_SHARE = 0.5  # the canonical word half of the time, else any
# The clip that a JSON caption's motion score is of, since a caption has no size.
_SCORED_SHAPE = VideoShape(frames=17, height_px=96, width_px=96, fps=8)


def caption(scene: Scene, *, language: str = "en", form: str = "short", seed: int = 0) -> str:
    """Words about ``scene``: a short sentence, a dense paragraph of about 60 words (100 characters in Chinese), or a JSON text.

    ``seed`` picks the wording and what a short sentence leaves unsaid; equal arguments give equal words. The JSON has HunyuanVideo's
    fields (arXiv:2412.03603, section 3.2) and the camera's class and motion score.
    Raises: InvalidInput for an unknown language or form.
    """
    if language not in LANGUAGES:
        raise InvalidInput("language", language, f"must be {choices(LANGUAGES)}")
    if form not in FORMS:
        raise InvalidInput("form", form, f"must be {choices(FORMS)}")
    random = Random(seed, f"caption/{language}/{form}")
    if form == "short":
        return _short_en(scene, random) if language == "en" else _short_zh(scene, random)
    if form == "dense":
        return _dense(scene, language, random)
    return _structured(scene, language, random)


def _pick(random: Random, options: Sequence[str]) -> str:
    return options[0] if random.chance(_CANONICAL_SHARE) else random.choice(options)


def _said(scene: Scene, random: Random) -> dict[str, bool]:
    bare = random.chance(_BARE_SHARE)
    said = {name: random.chance(share) and (not bare or name == "place") for name, share in _SAY.items()}
    if scene.camera == "static":
        said["camera"] = said["still_camera"]
    said["direction"] = said["direction"] and scene.subject.action == "walk"
    return said


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def _noun_en(scene: Scene, random: Random, *, with_colour: bool) -> str:
    noun = _pick(random, words.KINDS[scene.subject.kind]["en"])
    if not with_colour:
        return _article(noun)
    colour = _pick(random, words.COLOURS[scene.subject.colour]["en"])
    if scene.subject.kind == "person":  # its colour is its shirt's
        return random.choice(
            (
                f"{_article(noun)} in {colour}",
                f"{_article(noun)} in {_article(colour)} shirt",
                _article(f"{colour} {noun}"),
            )
        )
    return _article(f"{colour} {noun}")


def _short_en(scene: Scene, random: Random) -> str:
    subject, said = scene.subject, _said(scene, random)
    noun = _noun_en(scene, random, with_colour=said["colour"])
    options = words.verbs(subject.action, subject.kind)
    does, doing = options[0] if random.chance(_CANONICAL_SHARE) else random.choice(options)
    way = " " + _pick(random, words.DIRECTIONS[subject.direction]["en"]) if said["direction"] else ""
    place = " " + _pick(random, words.PLACES[scene.place]["en"]) if said["place"] else ""
    time = " " + _pick(random, words.TIMES[scene.time]["en"]) if said["time"] else ""
    style = random.weighted(
        {"does": 5.0, "doing": 2.0, "time first": 2.0, "place first": 1.0, "there is": 1.0, "a video of": 1.0}
    )
    if style == "doing":
        text = f"{noun} {doing}{way}{place}{time}"
    elif style == "time first" and time:
        text = f"{time.strip()}, {noun} {does}{way}{place}"
    elif style == "place first" and place:
        text = f"{place.strip()}{time}, {noun} {does}{way}"
    elif style in ("there is", "a video of"):
        text = f"{style} {noun} {doing}{way}{place}{time}"
    else:
        text = f"{noun} {does}{way}{place}{time}"
    if said["camera"]:
        camera = _pick(random, words.CAMERAS[scene.camera]["en"])
        text = f"{camera}: {text}" if random.chance(0.25) else f"{text}, {camera}"
    if random.chance(0.35):
        text = text[0].upper() + text[1:] + ("." if random.chance(0.7) else "")
    return text


def _noun_zh(scene: Scene, random: Random, *, with_colour: bool) -> str:
    noun = _pick(random, words.KINDS[scene.subject.kind]["zh"])
    measure = words.MEASURE_WORDS[scene.subject.kind]
    if not with_colour:
        return measure + noun
    colour = _pick(random, words.COLOURS[scene.subject.colour]["zh"])
    if scene.subject.kind == "person" and random.chance(0.7):
        return f"{measure}穿{colour}衣服的{noun}"
    return f"{measure}{colour}的{noun}"


def _short_zh(scene: Scene, random: Random) -> str:
    subject, said = scene.subject, _said(scene, random)
    noun = _noun_zh(scene, random, with_colour=said["colour"])
    verb = _pick(random, words.verbs_zh(subject.action, subject.kind))
    way = _pick(random, words.DIRECTIONS[subject.direction]["zh"]) if said["direction"] else ""
    place = _pick(random, words.PLACES[scene.place]["zh"]) if said["place"] else ""
    time = _pick(random, words.TIMES[scene.time]["zh"]) if said["time"] else ""
    where = f"在{place}" if place else ""
    style = random.weighted(
        {"plain": 5.0, "time first": 2.0, "place first": 1.0, "place first, at": 1.0, "there is": 1.0}
    )
    if style == "time first" and time:
        text = f"{time}，{noun}{where}{way}{verb}"
    elif style == "place first" and place:
        text = f"{time}{place}，{noun}{way}{verb}"
    elif style == "place first, at" and place:
        text = f"{where}，{time}{'，' if time else ''}{noun}{way}{verb}"
    elif style == "there is" and place:
        text = f"{time}{place}有{noun}{_doing_zh(subject.action, way + verb)}"
    else:
        text = f"{noun}{time}{where}{way}{verb}" if where or time or way else noun + _doing_zh(subject.action, verb)
    if said["camera"]:
        camera = _pick(random, words.CAMERAS[scene.camera]["zh"])
        text = f"{camera}，{text}" if random.chance(0.25) else f"{text}，{camera}"
    return text + ("。" if random.chance(0.25) else "")


def _doing_zh(action: str, verb: str) -> str:
    """``verb`` as going on: what stands, falls or ends in -zhe needs no mark for it."""
    return verb if action in ("stand", "fall") or verb.endswith("着") else "在" + verb


def _dense(scene: Scene, language: str, random: Random) -> str:
    phrases, subject = PHRASES[language], scene.subject
    if language == "en":
        noun = _noun_en(scene, random, with_colour=True)
        verb = random.choice(words.verbs(subject.action, subject.kind))[0]
    else:
        noun = _noun_zh(scene, random, with_colour=True)
        verb = random.choice(words.verbs_zh(subject.action, subject.kind))
    way = words.DIRECTIONS[subject.direction][language][0] if subject.action == "walk" else ""
    place, time = (random.choice(t[v][language]) for t, v in ((words.PLACES, scene.place), (words.TIMES, scene.time)))
    opening = phrases.opening.format(
        noun=noun, verb=verb, way=f" {way}" if way and language == "en" else way, place=place, time=time
    )
    sentences = [
        opening[0].upper() + opening[1:],
        phrases.look[subject.kind],
        phrases.motion[subject.action],
        random.choice(phrases.background[scene.place]),
        random.choice(phrases.lighting[scene.time]),
        phrases.camera[scene.camera],
    ]
    return (" " if language == "en" else "").join(sentences)


def _structured(scene: Scene, language: str, random: Random) -> str:
    from kinema.world.score import motion_score  # torch, which plain sentences do without

    phrases = PHRASES[language]
    fields = {
        "short_description": _short_en(scene, random) if language == "en" else _short_zh(scene, random),
        "dense_description": _dense(scene, language, random),
        "background": random.choice(phrases.background[scene.place]),
        "style": random.choice(phrases.style),
        "shot_type": phrases.shot_type[scene.camera],
        "lighting": random.choice(phrases.lighting[scene.time]),
        "atmosphere": phrases.atmosphere[scene.time],
        "camera_motion": words.CAMERAS[scene.camera][language][0],
        "motion_score": motion_score(scene, _SCORED_SHAPE),
    }
    return json.dumps(fields, ensure_ascii=False)
