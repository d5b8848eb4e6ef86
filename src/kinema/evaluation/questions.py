"""What a model is asked to draw when it is scored: scenes of a split in words that it knows, alike for every model that knows them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from kinema.core.errors import InvalidInput, choices
from kinema.prompt.normalise import normalise
from kinema.world.captions import LANGUAGES, caption
from kinema.world.prompts import hand_written_prompts
from kinema.world.rng import Random
from kinema.world.sampler import DIFFICULTIES, ILLEGIBLE, attributes, is_held_out, matches, sample, with_others
from kinema.world.scene import Scene

Vocabulary = Mapping[str, Mapping[str, object]]
SUITES = ("plain", "held_out", "together", "hand_written")
OF_SUBJECTS, OF_WHOLE = ("kind", "colour", "action"), ("place", "time", "weather", "style", "camera")
_MOST_LOOKED_AT = 20_000  # scenes of which none fits: the model knows too few words


@dataclass(frozen=True, kw_only=True)
class Question:
    """``prompt`` asks in ``language`` for a clip with ``seed``; a right one shows ``subjects`` and ``whole``.

    ``subjects`` hold kind, colour and action, ``whole`` place, time, weather, style and camera, each as far as it is asked for.
    ``scene`` is the scene that was asked for, None where people wrote the prompt.
    """

    suite: str
    language: str
    prompt: str
    seed: int
    subjects: tuple[Mapping[str, str], ...]
    whole: Mapping[str, str]
    scene: Scene | None = None

    @property
    def scene_key(self) -> tuple[str, int]:
        """What the questions about one scene have in common."""
        return self.suite, self.seed


def questions(
    suite: str, count: int, *, vocabulary: Vocabulary, split: str = "test", difficulty: str = "core", languages: Sequence[str] = LANGUAGES
) -> list[Question]:  # fmt: skip
    """Questions about ``count`` scenes of ``suite``, each in all ``languages`` with the same seed.

    - plain: scenes that hold no held-out pair; held_out: scenes that do, of the test split;
    - together: two or three subjects; hand_written: prompts that people wrote, in their own language only, up to ``count`` in each.

    Scenes with a word that isn't in ``vocabulary`` are left out. Raises: InvalidInput for an unknown suite, or where too few scenes fit.
    """
    if suite not in SUITES:
        raise InvalidInput("suite", suite, f"must be {choices(SUITES)}")
    if suite == "held_out" and split != "test":
        raise InvalidInput("suite", suite, f"has no scenes in the {split} split; name the split test")
    if suite == "hand_written":
        return _hand_written(count, vocabulary, languages)
    found = []
    for seed, scene in itertools.islice(_scenes(suite, split, difficulty, vocabulary), count):
        found += [asked(scene, language=language, seed=seed, suite=suite) for language in languages]
    return found


def asked(scene: Scene, *, language: str, seed: int, suite: str = "plain") -> Question:
    """The question that names all of ``scene``, in words or by leaving the usual unsaid."""
    return Question(
        suite=suite, language=language, prompt=caption(scene, language=language, form="full", seed=seed), seed=seed, scene=scene,
        subjects=_subjects([attributes(scene, n) for n in range(len(scene.subjects))], {s.target for s in scene.subjects}),
        whole=_only(attributes(scene), OF_WHOLE),
    )  # fmt: skip


def knows(vocabulary: Vocabulary, scene: Scene) -> bool:
    """Whether every word of ``scene`` is in ``vocabulary``; attributes that it doesn't list are taken to be known."""
    rows = (attributes(scene, number) for number in range(len(scene.subjects)))
    return all(value in vocabulary.get(name, (value,)) for row in rows for name, value in row.items())


def _scenes(suite: str, split: str, difficulty: str, vocabulary: Vocabulary) -> Iterator[tuple[int, Scene]]:
    if difficulty not in DIFFICULTIES:
        raise InvalidInput("difficulty", difficulty, f"must be {choices(DIFFICULTIES)}")
    last = 0
    for seed in itertools.count():
        scene = sample(seed, split=split, difficulty=difficulty)
        if suite == "together":
            scene = _with_company(scene, seed, difficulty)
        fits = is_held_out(scene) == (suite == "held_out") and (suite != "together" or len(scene.subjects) > 1)
        if fits and knows(vocabulary, scene):
            last = seed
            yield seed, scene
        if seed - last > _MOST_LOOKED_AT:
            rule = f"has too few scenes of the {split} split in words that this model knows"
            raise InvalidInput("suite", suite, rule)


def _with_company(scene: Scene, seed: int, difficulty: str) -> Scene:
    """``scene`` with one or two others, if it shows one alone and a reader could tell them apart."""
    if len(scene.subjects) > 1:
        return scene
    random = Random(seed, "together")
    together = with_others(scene, random, DIFFICULTIES[difficulty], count=random.choice((2, 3)))
    return scene if matches(together, ILLEGIBLE) else together


def _hand_written(count: int, vocabulary: Vocabulary, languages: Sequence[str]) -> list[Question]:
    """What people wrote states only some of a scene; whatever it states has to be known."""
    found: dict[str, list[Question]] = {language: [] for language in languages}
    for number, row in enumerate(hand_written_prompts()):
        stated_of = row.scene["subjects"]
        subjects = _subjects(stated_of, {s.get("target") for s in stated_of})
        whole = _only(row.scene, OF_WHOLE)
        stated = [*itertools.chain.from_iterable(s.items() for s in subjects), *whole.items()]
        if row.language in languages and all(value in vocabulary.get(name, (value,)) for name, value in stated):
            question = Question(
                suite="hand_written", language=row.language, prompt=normalise(row.prompt), seed=number, subjects=subjects,
                whole=whole,
            )  # fmt: skip
            found[row.language].append(question)
    if not any(found.values()):
        raise InvalidInput("suite", "hand_written", "has no prompts in words that this model knows")
    return [question for asked_in in found.values() for question in asked_in[:count]]


def _subjects(rows: Sequence[Mapping[str, Any]], acted_on: AbstractSet[int | None]) -> tuple[Mapping[str, str], ...]:
    """What is asked of each subject; what one does to whom something is done is left open, as the judges' training leaves it."""
    names = [[n for n in OF_SUBJECTS if n != "action" or number not in acted_on] for number in range(len(rows))]
    return tuple(_only(row, own) for row, own in zip(rows, names, strict=True))


def _only(words: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: words[name] for name in names if name in words}
