"""Sentences about a scene, in English and Chinese: short, dense and structured, many ways of saying each."""

from __future__ import annotations

import json

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape
from kinema.world import sentences_en, sentences_zh
from kinema.world.nature import PLACES
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.sentences_dense import PHRASES, background, dense, light
from kinema.world.sounds import sound_words, sounds
from kinema.world.words import cameras
from kinema.world.words.settings import DRONE_DEG

LANGUAGES = ("en", "zh")
FORMS = ("short", "full", "dense", "json")

# How often a short caption says each thing of a scene with one subject, where there is something to say.
_SAY = {
    "colour": 0.85, "material": 0.7, "place": 0.95, "time": 0.6, "weather": 0.8, "clear_weather": 0.12, "direction": 0.55,
    "camera": 0.7, "still_camera": 0.15, "view": 0.8, "style": 0.65, "toy_style": 0.06,
}  # fmt: skip
_SAY_OF_CLIFFS = {"colour": 0.5, "place": 0.5}  # which are grey and by the sea as a rule
_CROWDED = {
    "time": 0.6,
    "camera": 0.75,
    "direction": 0.6,
    "material": 0.7,
}  # of that with three subjects, and in between with two
_BARE_SHARE = 0.12
_CLAUSE_SHARE = 0.2  # of the weather, as a clause of its own
# The clip that a JSON caption's motion score and sounds are of, since a caption has no size.
_SCORED_SHAPE = VideoShape(frames=17, height_px=96, width_px=96, fps=8)


def caption(scene: Scene, *, language: str = "en", form: str = "short", seed: int = 0) -> str:
    """Words about ``scene``: a short sentence, a dense paragraph of about 60 words (100 characters in Chinese), or a JSON text.

    ``seed`` picks the wording and what a short sentence leaves unsaid; a full one says all that isn't as usual (clear weather, a
    camera at rest, plain toys, others that stand). Equal arguments give equal words. The JSON has HunyuanVideo's
    fields (arXiv:2412.03603, section 3.2), the camera's movement, the motion score and what one would hear.
    Raises: InvalidInput for an unknown language or form.
    """
    if language not in LANGUAGES:
        raise InvalidInput("language", language, f"must be {choices(LANGUAGES)}")
    if form not in FORMS:
        raise InvalidInput("form", form, f"must be {choices(FORMS)}")
    random = Random(seed, f"caption/{language}/{form}")
    if form in ("short", "full"):
        return _short(scene, language, random, is_full=form == "full")
    if form == "dense":
        return dense(scene, language, random)
    return _structured(scene, language, random)


def _short(scene: Scene, language: str, random: Random, *, is_full: bool = False) -> str:
    write = sentences_en.short if language == "en" else sentences_zh.short
    return write(scene, random, _said(scene, random, is_full=is_full))


def _said(scene: Scene, random: Random, *, is_full: bool) -> dict[str, bool]:
    """What a short caption says beside who does what."""
    crowd = (len(scene.subjects) - 1) / 2
    bare = random.chance(_BARE_SHARE)
    shares = _SAY | (_SAY_OF_CLIFFS if scene.subject.kind == "cliff" else {})
    said = {name: random.chance(share * (1 - crowd * (1 - _CROWDED.get(name, 1.0)))) for name, share in shares.items()}
    if is_full:
        said = {name: not name.startswith(("clear", "still", "toy")) for name in said}
    elif bare:
        said = {name: yes and name == "place" for name, yes in said.items()}
    if scene.weather == "clear":
        said["weather"] = said["clear_weather"] and not PLACES[scene.place].is_indoors
    if scene.camera == "static":
        said["camera"] = said["still_camera"]
    if scene.style == "toy":
        said["style"] = said["toy_style"]
    said["view"] = said["view"] and scene.elevation_deg >= DRONE_DEG
    said["weather_clause"] = said["weather"] and random.chance(_CLAUSE_SHARE)
    said["weather"] = said["weather"] and not said["weather_clause"]
    return said


def _structured(scene: Scene, language: str, random: Random) -> str:
    from kinema.world.events import events  # torch, which plain sentences do without
    from kinema.world.score import motion_score

    phrases, is_english = PHRASES[language], language == "en"
    happening = [(e.kind, getattr(e, "subject", 0)) for e in events(scene, _SCORED_SHAPE.seconds)]
    mood = [phrases.atmosphere[scene.time], phrases.weather_mood.get(scene.weather)]
    is_wide = len(scene.subjects) > 1 or scene.elevation_deg >= DRONE_DEG
    shot = (
        phrases.shot["wide" if is_wide else "medium"],
        phrases.shot["high" if scene.elevation_deg >= DRONE_DEG else "level"],
        phrases.shot[scene.camera.partition("_")[0]],
    )
    fields = {
        "short_description": _short(scene, language, random),
        "dense_description": dense(scene, language, random),
        "background": background(scene, language, random),
        "style": random.choice(phrases.style[scene.style]),
        "shot_type": (", " if is_english else "，").join(shot),
        "lighting": light(scene, language, random),
        "atmosphere": (", " if is_english else "，").join(m for m in mood if m),
        "camera_motion": _camera(scene, language),
        "motion_score": motion_score(scene, _SCORED_SHAPE),
        "sound": (", " if is_english else "、").join(sound_words(sounds(scene, happening), phrases)),
    }
    return json.dumps(fields, ensure_ascii=False)


def _camera(scene: Scene, language: str) -> str:
    words = cameras.CAMERAS_EN[scene.camera][0] if language == "en" else cameras.CAMERAS_ZH[scene.camera]
    return cameras.split(words)[0]
