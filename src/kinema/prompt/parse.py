"""`parse`: what a prompt says of a scene, in the values of a vocabulary. Standard library only.

No grammar of whole sentences: words are recognised in their order, and what qualifies is given to the noun that it stands next to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kinema.prompt import words_en, words_zh
from kinema.prompt.inflect import singular
from kinema.prompt.lexicon import WORD, Lexicon, Meaning

PAIR_ACTIONS = ("chase", "knock_over", "collide", "drink", "pour")
_EVENTS = ("topple", "fall", "toss", "jump", "wave", "waves")
_STATES = ("stand", "float")
SETTINGS = ("place", "time", "weather", "camera", "view", "style")
MAX_SUBJECTS = 3
_JOINS = ("and", "和", "与", "跟")
# Those that fly nothing but kites and aeroplanes.
_GROUNDED = ("person", "robot", "puppy", "cat", "rabbit", "horse")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A piece of the prompt: its words, and what they mean if anything. ``is_small`` words may go unmissed."""

    text: str
    meanings: tuple[Meaning, ...] = ()
    is_small: bool = False


@dataclass(kw_only=True)
class Subject:
    """One thing, or ``count`` of a kind. ``partner`` is named with it by "and" and does what it does.

    ``word`` and ``verb`` are the user's own where the model knows them.
    """

    kind: str
    word: str | None
    colour: str | None = None
    material: str | None = None
    count: int = 1
    action: str | None = None
    verb: str | None = None
    said: str = ""
    direction: str | None = None
    target: Subject | None = None
    partner: Subject | None = None


@dataclass(kw_only=True)
class Sketch:
    """What was recognised. ``settings`` has value and known words by attribute; ``relation`` places the second subject by the first.

    ``missed`` are words without a meaning, ``dropped`` those whose meaning found no place; ``replaced`` (words, value, how).
    """

    subjects: list[Subject] = field(default_factory=list)
    settings: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    relation: str | None = None
    missed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    replaced: list[tuple[str, Meaning]] = field(default_factory=list)

    def words_of(self, attribute: str) -> str | None:
        """The user's words for an attribute of the setting, where the model knows them."""
        return self.settings.get(attribute, ("", None))[1]


def items(text: str, lexicon: Lexicon) -> list[Item]:
    """``text`` cut into the longest pieces that mean something, in order."""
    return _items_zh(text, lexicon) if lexicon.is_chinese else _items_en(text, lexicon)


def parse(text: str, lexicon: Lexicon) -> Sketch:
    """What ``text`` says."""
    reader = _Reader(lexicon)
    pieces = items(text, lexicon)
    for place, item in enumerate(pieces):
        reader.read(item, pieces, place)
    return reader.finish()


class _Reader:
    """Reads items in order; keeps what waits for a noun."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon, self.sketch = lexicon, Sketch()
        self.current: Subject | None = None
        self.waiting: dict[str, str] = {}  # colour, material, count for the next noun
        self.action: tuple[str, str | None, str] | None = None  # before its noun: value, known words, the user's
        self.patient: Subject | None = None  # whom something is done to, named before the verb: 把塔撞翻
        self.joined: Subject | None = None  # the subject before an "and"
        self.is_negated = self.is_patient = False

    def read(self, item: Item, pieces: Sequence[Item], place: int) -> None:
        text = item.text.casefold()
        if text in _JOINS:
            self.joined = self.current
        if text in (words_zh.NEGATIONS if self.lexicon.is_chinese else words_en.NEGATIONS):
            self.is_negated = True
            self.sketch.missed.append(item.text)
        elif self.lexicon.is_chinese and text in ("把", "将"):
            self.is_patient = True
        elif not item.meanings:
            if not item.is_small:
                self.sketch.missed.append(item.text)
            if not self.lexicon.is_chinese and text in words_en.PRONOUNS:
                self._refer()
        elif self.is_negated and item.meanings[0].attribute != "camera":
            self.is_negated = False
            self.sketch.missed.append(item.text)
        else:
            for meaning in item.meanings:
                self._take(item, meaning, pieces, place)

    def finish(self) -> Sketch:
        sketch = self.sketch
        if self.action is not None:
            doer = next((s for s in sketch.subjects if s.action is None and not self._is_target(s)), None)
            self._act(doer, *self.action) if doer else sketch.dropped.append(self.action[2])
        sketch.dropped += [value for name, value in self.waiting.items() if name in ("colour", "material")]
        for subject in sketch.subjects:
            if subject.action in PAIR_ACTIONS and subject.target is None:
                sketch.dropped.append(subject.said)
                subject.action = subject.verb = None
        return sketch

    def _take(self, item: Item, meaning: Meaning, pieces: Sequence[Item], place: int) -> None:
        if meaning.how != "known":
            self.sketch.replaced.append((item.text, meaning))
        known = item.text if meaning.how == "known" else None
        attribute, value = meaning.attribute, meaning.value
        if attribute == "kind":
            before = pieces[place - 1].meanings[:1] if place else ()
            if before and before[0].attribute == "kind" and before[0].value == value:
                return  # "golden retriever puppy"
            self._meet(item, meaning, known, is_definite=self._is_definite(pieces, place))
        elif attribute == "action":
            self._do(value, known, item.text)
        elif attribute == "colour":
            following = [p.meanings[0].attribute for p in pieces[place + 1 : place + 3] if p.meanings]
            if following[:1] == ["clothes"] and self.current is not None and not self._noun_follows(pieces, place):
                self.current.colour = self.current.colour or value
            else:
                self.waiting.setdefault("colour", value)
        elif attribute in ("material", "count"):
            if self.waiting.setdefault(attribute, value) != value:
                self.sketch.dropped.append(item.text)
        elif attribute == "direction" and self.current is not None:
            self.current.direction = value
        elif attribute == "direction":
            self.waiting[attribute] = value
        elif attribute == "relation" and len(self.sketch.subjects) == 1:
            self.sketch.relation = value
        elif attribute in SETTINGS:
            if self.sketch.settings.setdefault(attribute, (value, known))[0] != value:
                self.sketch.dropped.append(item.text)
        elif attribute not in ("clothes", "relation"):
            self.sketch.dropped.append(item.text)

    def _is_definite(self, pieces: Sequence[Item], place: int) -> bool:
        """Whether a noun may name a thing that was named before: "the cube"; in Chinese, one without number and looks."""
        if self.lexicon.is_chinese:
            return not self.waiting
        return "the" in [p.text.casefold() for p in pieces[max(0, place - 2) : place]]

    def _noun_follows(self, pieces: Sequence[Item], place: int) -> bool:
        """Whether clothes are told before their wearer: 穿绿衣服的人."""
        after = [p for p in pieces[place + 1 : place + 5] if p.meanings or p.text == "的"]
        at = next((n for n, p in enumerate(after) if p.text == "的"), None)
        return self.lexicon.is_chinese and at is not None and at + 1 < len(after) and after[at + 1].meanings[:1] != ()

    def _meet(self, item: Item, meaning: Meaning, known: str | None, *, is_definite: bool) -> None:
        colour = self.waiting.get("colour")
        for subject in self.sketch.subjects:
            if subject.kind == meaning.value and is_definite and colour in (None, subject.colour):
                self.waiting.clear()
                self._become_target(subject)
                self.current = subject
                return
        subject = Subject(kind=meaning.value, word=known, colour=colour, material=self.waiting.get("material"))
        subject.direction = self.waiting.get("direction")
        subject.count = int(self.waiting.get("count", "2" if self._is_plural(item.text) else "1"))
        self.waiting.clear()
        if self.joined is not None and self.joined.action is None:
            subject.partner = self.joined
        self.joined = None
        self.sketch.subjects.append(subject)
        if self.is_patient:
            self.patient, self.is_patient = subject, False
            return
        was_target = self._become_target(subject)
        if self.action is not None and not was_target:
            action, self.action = self.action, None
            self._act(subject, *action)
        self.current = subject

    def _is_plural(self, noun: str) -> bool:
        noun = noun.casefold()
        return not self.lexicon.is_chinese and (
            noun in ("people", "men", "women", "children") or noun != singular(noun)
        )

    def _become_target(self, subject: Subject) -> bool:
        """Makes ``subject`` what the last pair action is done to, if that still lacks one."""
        for doer in self.sketch.subjects:
            if doer.action in PAIR_ACTIONS and doer.target is None and doer is not subject:
                doer.target = subject
                return True
        return False

    def _refer(self) -> None:
        """A pronoun: "the camera follows it" names nobody new; after a pair action it stands for another subject."""
        if self.current is not None and self.current.action in PAIR_ACTIONS and self.current.target is None:
            others = [s for s in self.sketch.subjects if s is not self.current]
            self.current.target = others[-1] if others else None

    def _do(self, value: str, known: str | None, text: str) -> None:
        doer = self.current
        if value in PAIR_ACTIONS and self.patient is not None and doer is not None:
            if doer.action:
                self.sketch.dropped.append(doer.said)
            self._act(doer, value, known, text)
            doer.target, self.patient = self.patient, None
        elif doer is not None and doer.action == value:
            doer.said = doer.said or text
        elif (
            doer is None
            or (value == "waves" and doer.kind != "cliff")
            or (value == "fly" and doer.kind in _GROUNDED and self.action is None)
        ):
            if self.action is not None:
                self.sketch.dropped.append(self.action[2])
            self.action = (value, known, text)
        elif self._is_target(doer) and value not in PAIR_ACTIONS:
            self.sketch.dropped.append(text)
        elif doer.action is None or rank(value) > rank(doer.action):
            if doer.action is not None:
                self.sketch.dropped.append(doer.said)
            self._act(doer, value, known, text)
        elif self.action is None:
            self.action = (value, known, text)
        else:
            self.sketch.dropped.append(text)

    def _act(self, doer: Subject, value: str, known: str | None, text: str) -> None:
        doer.action, doer.verb, doer.said = value, known, text
        partner = doer.partner
        if partner is not None and partner.action is None and value not in PAIR_ACTIONS:
            partner.action, partner.verb, partner.said = value, known, text

    def _is_target(self, subject: Subject) -> bool:
        return any(s.target is subject for s in self.sketch.subjects)


def rank(action: str) -> int:
    """How much an action says: what happens once outranks what goes on, and that outranks a state."""
    if action in PAIR_ACTIONS:
        return 3
    return 2 if action in _EVENTS else 0 if action in _STATES else 1


def _items_en(text: str, lexicon: Lexicon) -> list[Item]:
    words = [m[0] for m in WORD.finditer(text)]
    found, at = [], 0
    while at < len(words):
        for length in range(min(lexicon.longest, len(words) - at), 0, -1):
            phrase = " ".join(words[at : at + length])
            meanings = lexicon.find(phrase.casefold())
            if meanings and not (length == 1 and phrase.casefold() in words_en.SMALL):
                found.append(Item(text=phrase, meanings=meanings))
                break
        else:
            length = 1
            found.append(_unknown_en(words[at], lexicon))
        at += length
    return found


def _unknown_en(word: str, lexicon: Lexicon) -> Item:
    small = word.casefold()
    if small in words_en.SMALL or small in words_en.NEGATIONS:
        return Item(text=word, is_small=small not in words_en.NEGATIONS)
    if guess := lexicon.typo(small):
        meanings = tuple(Meaning(attribute=m.attribute, value=m.value, how="typo") for m in lexicon.find(guess))
        return Item(text=word, meanings=meanings)
    return Item(text=word)


def _items_zh(text: str, lexicon: Lexicon) -> list[Item]:
    found: list[Item] = []
    at = start = 0

    def unknown(end: int) -> None:
        if piece := text[start:end].strip():
            found.append(Item(text=piece))

    while at < len(text):
        match = _match_zh(text, at, lexicon)
        if match is None:
            at += 1
            continue
        unknown(at)
        found.append(match)
        at += len(match.text)
        start = at
    unknown(at)
    return found


def _match_zh(text: str, at: int, lexicon: Lexicon) -> Item | None:
    """The longest piece at ``at`` that means something, is small, or is known to mean something else."""
    for length in range(min(max(lexicon.longest, 4), len(text) - at), 0, -1):
        piece = text[at : at + length]
        if meanings := lexicon.find(piece.casefold()):
            return Item(text=piece, meanings=meanings)
        if piece in words_zh.OTHER:
            return Item(text=piece)
        if piece in words_zh.SMALL or piece in words_zh.NEGATIONS:
            return Item(text=piece, is_small=True)
    return None
