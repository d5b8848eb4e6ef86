"""Scores of a model: what judges see in its clips against what was asked for, by attribute, by slice, and as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from kinema.evaluation.judges import SubjectVerdict, Verdict
from kinema.evaluation.questions import OF_SUBJECTS, OF_WHOLE, Question
from kinema.evaluation.statistics import wilson

COUNT, ALL = "count", "all"
_FEWEST = 8  # scenes that a slice needs to be named
_WORSE = 0.15  # by so much a slice is below the rest to be named
# Hundreds of slices are looked at: with 95 % intervals a dozen would be named by chance alone, with these none in most cases.
_SURE = 2.576


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question, what the judges see in the clip, and which attributes are right."""

    question: Question
    verdict: Verdict
    right: Mapping[str, bool]

    @property
    def is_right(self) -> bool:
        """Whether all that was asked for is there."""
        return all(self.right.values())


def answer(question: Question, verdict: Verdict) -> Answer:
    """How ``verdict`` fits ``question``. Of several subjects an attribute is right if it is right of each.

    Whom the judges see is matched to who was asked for so that most is right, kinds first; where fewer are seen, the rest is wrong, and
    where more are, their number is. A picture is asked for no camera and no action, which it can't show.
    """
    right = {n: getattr(verdict, n) == word for n, word in question.whole.items() if n not in verdict.unseen}
    seen = matched(question.subjects, verdict.subjects)
    for name in OF_SUBJECTS:
        if name in verdict.unseen:
            continue
        stated = [(s[name], found) for s, found in zip(question.subjects, seen, strict=True) if name in s]
        if stated:
            right[name] = all(found is not None and getattr(found, name) == word for word, found in stated)
    if question.scene is not None or len(question.subjects) > 1:  # what people wrote may leave others open
        right[COUNT] = verdict.count == len(question.subjects)
    return Answer(question=question, verdict=verdict, right=right)


@dataclass
class _Share:
    """Right answers among those asked. Those about one scene are no independent trials, so the interval counts scenes."""

    right: int = 0
    asked: int = 0
    scenes: set[object] = field(default_factory=set)

    def add(self, *, is_right: bool, scene: object) -> None:
        self.right += is_right
        self.asked += 1
        self.scenes.add(scene)

    def to_dict(self) -> dict[str, Any]:
        share, count = self.right / self.asked, len(self.scenes)
        low, high = wilson(share * count, count)
        interval = [round(low, 4), round(high, 4)]
        return {"share": round(share, 4), "interval_95": interval, "asked": self.asked, "scenes": count}


def table(answers: Sequence[Answer]) -> dict[str, Any]:
    """Shares of right answers with their 95 % intervals: by attribute, by suite, by language, paired, and the slices that do worse."""
    return {
        "attributes": shares(answers),
        "suites": _by(answers, lambda a: a.question.suite),
        "languages": _by(answers, lambda a: a.question.language),
        "paired": paired(answers),
        "worse": worse(answers),
        "pass": passes(answers),
    }


def _by(answers: Sequence[Answer], key: Callable[[Answer], str]) -> dict[str, Any]:
    return {name: shares([a for a in answers if key(a) == name]) for name in dict.fromkeys(map(key, answers))}


def share_of(right: Sequence[bool]) -> dict[str, Any]:
    """The share of right ones, each about a scene of its own, with its 95 % interval and how many they are of."""
    return _Share(right=sum(right), asked=len(right), scenes=set(range(len(right)))).to_dict()


def shares(answers: Iterable[Answer]) -> dict[str, Any]:
    """By attribute, and of answers that are right in all."""
    found: dict[str, _Share] = {}
    for one in answers:
        for name, is_right in one.right.items():
            found.setdefault(name, _Share()).add(is_right=is_right, scene=one.question.scene_key)
        found.setdefault(ALL, _Share()).add(is_right=one.is_right, scene=one.question.scene_key)
    order = [*OF_SUBJECTS, COUNT, *OF_WHOLE, ALL]
    return {name: found[name].to_dict() for name in order if name in found}


def paired(answers: Iterable[Answer]) -> dict[str, Any]:
    """English against Chinese where both asked for one scene with one seed: by attribute, how often only the one or the other is right.

    Of several clips of a prompt, the first of one language stands against the first of the other, and so on.
    """
    rows: dict[tuple[str, int], dict[str, list[Answer]]] = {}
    for one in answers:
        if one.question.scene is not None:
            row = rows.setdefault((one.question.suite, one.question.seed), {"en": [], "zh": []})
            row[one.question.language].append(one)
    both = [pair for row in rows.values() for pair in zip(row["en"], row["zh"], strict=False)]
    out = {}
    for name in (*OF_SUBJECTS, COUNT, *OF_WHOLE):
        pairs = [(en.right[name], zh.right[name]) for en, zh in both if name in en.right]
        if pairs:
            only = [sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)]
            out[name] = {
                "pairs": len(pairs),
                "only_en": only[0],
                "only_zh": only[1],
                "gap": round((only[0] - only[1]) / len(pairs), 4),
            }
    return out


def worse(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Slices (one word that was asked for) in which an attribute is right clearly less often than in the rest, the worst first."""
    found = []
    for name in dict.fromkeys(n for a in answers for n in a.right):
        known = [(a, _words(a.question)) for a in answers if name in a.right]
        for part, word in dict.fromkeys(pair for _, words in known for pair in words):
            sides = {True: _Share(), False: _Share()}
            for one, words in known:
                sides[(part, word) in words].add(is_right=one.right[name], scene=one.question.scene_key)
            inside, outside = sides[True], sides[False]
            if min(len(inside.scenes), len(outside.scenes)) < _FEWEST:
                continue
            share, rest = inside.right / inside.asked, outside.right / outside.asked
            counts = len(inside.scenes), len(outside.scenes)
            is_clear = wilson(share * counts[0], counts[0], _SURE)[1] < wilson(rest * counts[1], counts[1], _SURE)[0]
            if rest - share >= _WORSE and is_clear:
                found.append(
                    {
                        "attribute": name,
                        "where": {part: word},
                        "share": round(share, 4),
                        "rest": round(rest, 4),
                        "asked": inside.asked,
                    }
                )
    return sorted(found, key=lambda row: row["share"] - row["rest"])


def passes(answers: Iterable[Answer]) -> dict[str, Any]:
    """Of prompts that were asked with several seeds: the share right in all with one (pass@1), and with the best of all."""
    rows: dict[tuple[str, str, int], list[Answer]] = {}
    for one in answers:  # two scenes may be asked for in the same words
        rows.setdefault((one.question.suite, one.question.language, one.question.seed), []).append(one)
    many = [row for row in rows.values() if len(row) > 1]
    if not many:
        return {}
    size = min(len(row) for row in many)
    return {
        "prompts": len(many),
        "pass@1": round(sum(a.is_right for row in many for a in row) / sum(map(len, many)), 4),
        f"pass@{size}": round(sum(any(a.is_right for a in row[:size]) for row in many) / len(many), 4),
    }


def matched(wanted: Sequence[Mapping[str, str]], seen: Sequence[SubjectVerdict]) -> tuple[SubjectVerdict | None, ...]:
    """Whom the judges see for each of ``wanted``: the assignment in which most kinds are right, and of those most words."""
    padded = (*seen, *[None] * len(wanted))

    def fit(order: tuple[SubjectVerdict | None, ...]) -> tuple[int, int]:
        pairs = [(s, f) for s, f in zip(wanted, order, strict=True) if f is not None]
        right = [name for s, f in pairs for name, word in s.items() if getattr(f, name) == word]
        return right.count("kind"), len(right)

    return max(permutations(padded, len(wanted)), key=fit)


def _words(question: Question) -> dict[tuple[str, str], None]:
    """What slices a question is in, as an ordered set."""
    of_subjects = [pair for s in question.subjects for pair in s.items()]
    return dict.fromkeys([*of_subjects, *question.whole.items(), ("language", question.language)])
