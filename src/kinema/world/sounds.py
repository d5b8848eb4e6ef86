"""What one would hear in a scene, in words: from its events, its weather and its water. Standard library only but for the events."""

from __future__ import annotations

from collections.abc import Iterable

from kinema.world.nature import PLACES
from kinema.world.phrases import Phrases
from kinema.world.scene import Scene

_FEET = ("person", "robot", "astronaut", "puppy", "cat", "rabbit", "bird", "duck", "penguin")
_GOING = ("walk", "run", "fly", "collide", "knock_over", "chase")
# event -> sound, for those that are heard whoever makes them
_HEARD = {
    "land": "land",
    "impact": "impact",
    "collision": "collision",
    "hit_ground": "hit_ground",
    "sip": "sip",
    "pour_start": "pour",
    "wave_crash": "wave_crash",
    "splash": "splash",
}
_ENGINES = {
    "car": "engine",
    "lorry": "engine",
    "train": "train",
    "boat": "engine",
    "aeroplane": "propeller",
    "rocket": "rocket",
}
_VOICES = {"bird": "birds", "duck": "duck"}


def sounds(scene: Scene, happening: Iterable[tuple[str, int | None]]) -> list[str]:
    """The names of what is heard, the loudest causes first; ``happening`` holds the (kind, subject number) of the scene's events."""
    heard: list[str] = []
    for event, number in happening:
        kind = scene.subjects[number or 0].kind
        if event == "step":
            if kind == "horse" or kind in _FEET:
                heard.append("hooves" if kind == "horse" else "step")
        elif event in _HEARD:
            heard.append(_HEARD[event])
    for subject in scene.subjects:
        if subject.kind in _ENGINES and subject.action in _GOING:
            heard.append(_ENGINES[subject.kind])
        if subject.kind == "balloon" and subject.action == "fly":
            heard.append("burner")
        if subject.kind in _VOICES:
            heard.append(_VOICES[subject.kind])
        if subject.action in ("roll", "slide"):
            heard.append(subject.action)
        if subject.kind == "cliff":
            heard.append("wave_crash")
        if (subject.action == "sway" and not PLACES[scene.place].is_indoors) or (
            subject.kind == "kite" and subject.action == "fly"
        ):
            heard.append("wind")
    if scene.weather == "rain":
        heard.append("rain")
    if scene.place in ("beach", "coast"):
        heard.append("waves")
    elif scene.place == "lake" and scene.is_afloat:
        heard.append("ripples")
    return list(dict.fromkeys(heard))


def sound_words(names: Iterable[str], phrases: Phrases) -> list[str]:
    """The words for ``names``, without plain waves where they are heard to crash."""
    names = list(names)
    return [phrases.sound[n] for n in names if not (n == "waves" and "wave_crash" in names)]
