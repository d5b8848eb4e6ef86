"""The best of several clips: the one in which the judges see most of what the prompt asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from kinema.core.errors import InvalidInput
from kinema.evaluation.judges import Judges
from kinema.evaluation.questions import OF_SUBJECTS, OF_WHOLE, Question
from kinema.evaluation.scores import answer, matched
from kinema.prompt.lexicon import Vocabulary, lexicon
from kinema.prompt.normalise import language
from kinema.prompt.parse import Subject, parse


def question_of(prompt: str, vocabulary: Vocabulary, *, seed: int = 0) -> Question:
    """What ``prompt`` asks for, as far as words of ``vocabulary`` say it. Raises: InvalidInput where none does."""
    tongue = language(prompt)
    sketch = parse(prompt, lexicon(vocabulary, tongue))
    subjects = tuple(_asked(s) for s in sketch.subjects for _ in range(s.count))
    whole = {name: value for name, (value, _) in sketch.settings.items() if name in OF_WHOLE}
    if not subjects and not whole:
        raise InvalidInput("best_of", prompt, "needs a prompt that names something to look for; leave --best-of out")
    return Question(suite="prompt", language=tongue, prompt=prompt, seed=seed, subjects=subjects, whole=whole)


class Scorer:
    """How well clips fit one prompt: callable on frames (t h w c), more is better.

    The share of what was asked for that is seen, and among equals how sure the judges are of it.
    """

    def __init__(self, judges: Judges, question: Question) -> None:
        self.judges, self.question = judges, question

    def __call__(self, frames: NDArray[Any], *, fps: float) -> tuple[float, float]:
        """(share of right attributes, mean sureness of the words that were asked for), both from 0 to 1."""
        verdict = self.judges(torch.from_numpy(frames), fps=fps)
        right = answer(self.question, verdict).right
        if not right:  # a picture shows nothing of what was asked for
            return 0.0, 0.0
        sure = [verdict.sureness[name] for name in self.question.whole if right.get(name)]
        seen = [one for one in matched(self.question.subjects, verdict.subjects) if one is not None]
        sure += [one.sureness[name] for one in seen for name in OF_SUBJECTS if right.get(name)]
        return sum(right.values()) / len(right), sum(sure) / len(sure) if sure else 0.0


def _asked(subject: Subject) -> Mapping[str, str]:
    named = {"kind": subject.kind, "colour": subject.colour, "action": subject.action}
    return {name: word for name, word in named.items() if word is not None}
