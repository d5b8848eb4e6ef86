"""`Phrases`: one language's whole sentences for dense and structured captions. The texts stand in `phrases_en` and `phrases_zh`."""

from __future__ import annotations

from dataclasses import dataclass

Options = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Sentences by what they are about, each with paraphrases. ``{the}`` and ``{other}`` stand for subjects met before.

    ``ground`` is what any camera sees of a place, ``far`` what a level one sees in clear air; ``afloat`` both, on the water.
    """

    look: dict[str, Options]
    motion: dict[str, Options]
    ground: dict[str, Options]
    far: dict[str, Options]
    afloat: dict[str, Options]
    sky: dict[str, Options]  # by time, where a clear sky is seen
    light: dict[str, Options]  # by time, in clear weather where no sky is seen
    window: dict[str, Options]  # by time, indoors
    weather: dict[str, Options]  # where the sky is seen
    weather_below: dict[str, Options]  # where only the ground is seen
    atmosphere: dict[str, str]
    weather_mood: dict[str, str]
    shot: dict[str, str]  # by what moves
    style: dict[str, Options]
    style_sentence: dict[str, Options]
    relation: dict[str, Options]
    sound: dict[str, str]
