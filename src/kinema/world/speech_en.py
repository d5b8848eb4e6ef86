"""One English caption's choice of words: nouns with their colours and numbers, verbs, where and when."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinema.world.clauses import WAVES, Clause, is_aloft, side, split
from kinema.world.nature import KINDS
from kinema.world.rng import Random, T
from kinema.world.scene import Scene
from kinema.world.words import DIRECTION_WORDS, cameras
from kinema.world.words.inflect import article, plural, verb
from kinema.world.words.nouns import CLOTHES, COLOUR_WORDS, IS_STUFF, KIND_WORDS, MATERIAL_WORDS
from kinema.world.words.settings import Setting, setting
from kinema.world.words.verbs_en import WAVES as WAVES_DO
from kinema.world.words.verbs_en import WAVES_DOING, common_verbs

_SIZES = ("little", "tall", "round", "rugged", "rocky", "craggy")
_BARE = ("stand", "rest", "rise")
_NUMBERS = {1: "a", 2: "two", 3: "three"}
_OUTDOORS = re.compile(r"\b(wind|breeze|sky)\b")
_CANONICAL_SHARE = 0.45  # the canonical word as often, else any
# What may not be said twice.
_WATCHED = re.compile(
    r"\b(snow|rain|fog|mist|cloud|sea|sand|night|day|morning|evening|sun|toy|still|water|wind|cartoon|camera|shot|stay|air"
    r"|over|forest|hill|seen|field|in place|white field|view|rest|fixed|upright|rock)"
)
_HYPHENS = str.maketrans("-", " ")


def is_doubled(text: str) -> bool:
    """Whether ``text`` says a word twice that shouldn't be."""
    found = _WATCHED.findall(text.lower().translate(_HYPHENS))
    return len(found) != len(set(found))


def listed(parts: Sequence[str]) -> str:
    """Parts as a list in a sentence: "a, b and c" of three."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


class Speech:
    """The words of one caption: each thing keeps the word that was chosen for it first."""

    def __init__(self, scene: Scene, random: Random, *, with_colour: bool = True, with_material: bool = True) -> None:
        self.scene, self.random = scene, random
        self.with_colour, self.with_material = with_colour, with_material
        self.setting: Setting = setting(scene, "en")
        self._chosen: dict[tuple[str, str], str] = {}
        self._introduced: list[str] = []
        self._known: set[int] = set()
        self._clothed: int = random.choice((0, 1, 2))

    def forget(self) -> None:
        """Starts the caption over: nobody has been met and no word is chosen."""
        self._chosen.clear()
        self._introduced.clear()
        self._known.clear()

    def pick(self, options: Sequence[T]) -> T:
        """The canonical one of ``options``, or any."""
        return options[0] if self.random.chance(_CANONICAL_SHARE) else self.random.choice(options)

    def word(self, table: dict[str, dict[str, tuple[str, ...]]], name: str, value: str) -> str:
        """This caption's word for ``value``."""
        key = (name, value)
        if key not in self._chosen:
            self._chosen[key] = self.pick(table[value]["en"])
        return self._chosen[key]

    def noun(self, number: int) -> str:
        """The bare noun of a subject."""
        return self.word(KIND_WORDS, "kind", self.scene.subjects[number].kind)

    def colour(self, number: int) -> str:
        """The colour word of a subject."""
        subject = self.scene.subjects[number]
        if subject.colour == "orange" and KINDS[subject.kind].category == "plants":
            return COLOUR_WORDS["orange"]["en"][1]  # no orange tree, which bears oranges
        return self.word(COLOUR_WORDS, "colour", subject.colour)

    def look(self, number: int, count: int = 1) -> str:
        """Adjectives and noun of a subject, without an article: "shiny red balls"."""
        subject = self.scene.subjects[number]
        noun = self.noun(number) if count == 1 else plural(self.noun(number))
        before, stuff, after = "", "", ""
        if self.with_material and subject.material != "matte":
            material = self.word(MATERIAL_WORDS, "material", subject.material)
            before, stuff = ("", material + " ") if IS_STUFF[subject.material] else (material + " ", "")
        colour = self.colour(number) + " " if self.with_colour else ""
        size, _, rest = noun.partition(" ")
        if size in _SIZES:  # "a little red ball", not "a red little ball"
            before, noun = before + size + " ", rest
        if colour and subject.kind in CLOTHES and self._clothed:
            clothes = CLOTHES[subject.kind][0]
            wear = article(colour + clothes) if count == 1 else colour + plural(clothes)
            after = f" in {wear}" if self._clothed == 1 or subject.kind != "person" else f" in {colour.strip()}"
            colour = ""
        return before + colour + stuff + noun + after

    def several(self, numbers: Sequence[int]) -> str:
        """The noun phrase of subjects when first met: "two red balls and a blue cube"."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        for number in numbers:
            s = self.scene.subjects[number]
            key = (s.kind, s.colour if self.with_colour else "", s.material if self.with_material else "")
            groups.setdefault(key, []).append(number)
        return listed([self._some(group) for group in groups.values()])

    def _some(self, group: Sequence[int]) -> str:
        look = self.look(group[0], len(group))
        if len(group) > 1:
            self._introduced.append(self.look(group[0]))
            return f"{_NUMBERS[len(group)]} {look}"
        is_new = look not in self._introduced
        self._introduced.append(look)
        return article(look) if is_new else "another " + look

    def the(self, number: int) -> str | None:
        """A subject met before: "the ball", or "the red ball" if there are others; None if no word tells it apart."""
        subject = self.scene.subjects[number]
        alike = [s for s in self.scene.subjects if s.kind == subject.kind]
        if len(alike) == 1:
            return "the " + self.noun(number)
        if self.with_colour and sum(s.colour == subject.colour for s in alike) == 1:
            size, _, rest = self.noun(number).partition(" ")
            ordered = (size, self.colour(number), rest) if size in _SIZES else (self.colour(number), self.noun(number))
            return "the " + " ".join(ordered)
        return None

    def each(self, number: int, *, is_kind: bool) -> str:
        """Each of several, said by the noun of one of them if all are of its kind."""
        return "each " + self.noun(number) if is_kind else "each of them"

    def clause(self, clause: Clause, *, doing: bool, way: bool = False, is_short: bool = True) -> tuple[str, str]:
        """Who, and what they do; a bare "stands" is too short where nothing follows."""
        if clause.action == WAVES:
            text = self.pick(WAVES_DOING if doing else WAVES_DO).format(self.several(clause.actors))
            who, _, what = text.partition(" ")
            return who, what
        kinds = tuple(dict.fromkeys(self.scene.subjects[n].kind for n in clause.actors))
        target = None if clause.target is None else self.scene.subjects[clause.target].kind
        options = common_verbs(clause.action, kinds, target)
        if self.setting.joint == ():  # indoors
            options = [v for v in options if not _OUTDOORS.search(v.bare)]
        if not is_short:
            options = [v for v in options if " " in v.bare or v.bare not in _BARE] or options
        chosen = self.pick(options)
        who = self.several(clause.actors)
        what = chosen.doing if doing else chosen.bare if len(clause.actors) > 1 else chosen.does
        if clause.target is not None:
            what = what.format(self._met(clause.target))
        where_to = side(self.scene, clause) if way else None
        if where_to and not chosen.bare.endswith(" about"):
            what += " " + self.pick(DIRECTION_WORDS[where_to]["en"][:2])
        return who, what

    def _met(self, number: int) -> str:
        """Who something is done to: new here, or met in another clause."""
        the = self.the(number) if number in self._known else None
        self._known.add(number)
        return the or self._some([number])

    def parts(self, made: Sequence[Clause]) -> list[Clause]:
        """``made`` with those split whose actors have no verb in common."""
        out: list[Clause] = []
        for clause in made:
            kinds = tuple(dict.fromkeys(self.scene.subjects[n].kind for n in clause.actors))
            target = None if clause.target is None else self.scene.subjects[clause.target].kind
            fits = clause.action == WAVES or common_verbs(clause.action, kinds, target)
            out += [clause] if fits else split(clause)
        return out

    def place(self, clause: Clause) -> str:
        """Where, with its preposition."""
        above = self.setting.above
        if above and is_aloft(self.scene, clause) and self.random.chance(0.5):
            return self.pick(above)
        return self.pick(self.setting.place)

    def when(self, *, time: bool, weather: bool) -> list[str]:
        """Time and weather, at once or one after the other."""
        weather = weather and bool(self.setting.weather)
        if time and weather and self.random.chance(0.4):
            return [self.pick(self.setting.joint)]
        words = [self.pick(self.setting.time)] if time else []
        if not weather:
            return words
        alone = len(self.scene.subjects) == 1
        return [*words, self.pick([w for w in self.setting.weather if alone or not w.startswith(("as ", "while "))])]

    def camera(self) -> tuple[str, str, str]:
        """The camera as a noun, as what it does ("zooms in") and as what it is doing."""
        name, speed = self.scene.camera, self.scene.camera_speed
        nouns, actions = (cameras.split(words) for words in cameras.CAMERAS_EN[name])
        chosen, noun = verb(self.pick(actions)), self.pick(nouns)
        does, doing = chosen.does, chosen.doing
        if name not in cameras.STILL and not cameras.SLOW < speed < cameras.QUICK and self.random.chance(0.7):
            pace = cameras.PACES["slow" if speed <= cameras.SLOW else "quick"][0]
            does, doing = f"{pace} {does}", f"{pace} {doing}"
        return noun, does, doing
