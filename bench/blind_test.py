"""How often does a reader who doesn't know the prompts pick the right one of four for a clip?

The wrong ones are prompts of the same scene with one of two things changed, with the other, and with both (of kind, colour, place,
time and action, each pair in its turn), so that without the clip no one of the four is more likely than another.

`make`: clips of prompts of the test split that use the model's words, seeds 0 to N-1, none left out;
sheets for the reader, a question file without answers, a key.
`score`: compares a reader's answers with the key and records the share, with a 95 % Wilson interval.

    python bench/blind_test.py make --out DIR
    python bench/blind_test.py score --out DIR --answers DIR/answers.json --reader "who read it"
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from record import record

if TYPE_CHECKING:
    from kinema.world.scene import Scene

NUM_CLIPS = 64
CLIPS_PER_SHEET = 8
FRAMES_SHOWN = 9
FRAME_PX = 120
LABEL_PX = 40
CHANGES = ("kind", "colour", "place", "time", "action")


def known_scenes(num: int, vocabulary: Mapping[str, Mapping[str, object]]) -> list[Scene]:
    """The first ``num`` simple test scenes of which a model with ``vocabulary`` knows every word."""
    from kinema.evaluation.questions import knows
    from kinema.world.sampler import sample

    scenes = (sample(seed, split="test", difficulty="core") for seed in itertools.count())
    return list(itertools.islice((s for s in scenes if knows(vocabulary, s)), num))


def changed(
    scene: Scene, name: str, vocabulary: Mapping[str, Mapping[str, object]], rng: random.Random
) -> Scene | None:
    """``scene`` with another word for its attribute ``name``, one that goes with the rest; None if there is none."""
    from kinema.core.errors import InvalidInput
    from kinema.evaluation.questions import knows
    from kinema.world.nature import can
    from kinema.world.sampler import ILLEGIBLE, attributes, matches

    words = [word for word in vocabulary[name] if word != attributes(scene)[name]]
    for word in rng.sample(words, len(words)):
        subject = scene.subjects[0]
        with contextlib.suppress(InvalidInput):
            if name in ("place", "time"):
                other = replace(scene, **{name: word})
            else:
                subject = replace(subject, **{name: word})
                other = replace(scene, subjects=(subject,))
            if can(subject.kind, subject.action) and knows(vocabulary, other) and not matches(other, ILLEGIBLE):
                return other
    return None


def four(
    scene: Scene, names: tuple[str, str], vocabulary: Mapping[str, Mapping[str, object]], rng: random.Random
) -> list[Scene]:
    """``scene``, the same with another word for the first of ``names``, for the second, and for both; [] if they don't go together."""
    from kinema.world.sampler import attributes

    one = changed(scene, names[0], vocabulary, rng)
    other = changed(scene, names[1], vocabulary, rng)
    if one is None or other is None:
        return []
    word = attributes(other)[names[1]]
    both = changed(one, names[1], {**vocabulary, names[1]: {word: None}}, rng)
    return [] if both is None else [scene, one, other, both]


def questions(num_clips: int, vocabulary: Mapping[str, Mapping[str, object]]) -> list[dict]:
    """The prompts (English on even numbers, Chinese on odd ones) among the three in which one or both of two things differ."""
    from kinema.world.captions import caption

    rng = random.Random(2026)
    turns = itertools.cycle(itertools.combinations(CHANGES, 2))
    out = []
    for i, scene in enumerate(known_scenes(num_clips, vocabulary)):
        names, scenes = ("", ""), []
        while not scenes:
            names = next(turns)
            scenes = four(scene, names, vocabulary, rng)
        prompts = [caption(s, language=("en", "zh")[i % 2], form="full", seed=i) for s in scenes]
        changes = ["right", names[0], names[1], "both"]
        order = rng.sample(range(len(prompts)), len(prompts))
        out.append(
            {
                "clip": i,
                "prompt": prompts[0],
                "options": [prompts[k] for k in order],
                "answer": "ABCD"[order.index(0)],
                "asked": names,
                "changes": {"ABCD"[place]: changes[k] for place, k in enumerate(order)},
            }
        )
    return out


def sheet(clips: list[np.ndarray], first: int) -> Image.Image:
    """One row a clip: its number and frames spread over its length."""
    rows = Image.new("RGB", (LABEL_PX + FRAMES_SHOWN * FRAME_PX, len(clips) * FRAME_PX), "white")
    draw = ImageDraw.Draw(rows)
    for row, frames in enumerate(clips):
        draw.text((6, row * FRAME_PX + FRAME_PX // 2), str(first + row), fill="black")
        for column, t in enumerate(np.linspace(0, len(frames) - 1, FRAMES_SHOWN).round().astype(int)):
            picture = Image.fromarray(frames[t]).resize((FRAME_PX - 2, FRAME_PX - 2), Image.Resampling.BICUBIC)
            rows.paste(picture, (LABEL_PX + column * FRAME_PX, row * FRAME_PX))
    return rows


def make(out: Path, model: str, num_clips: int) -> None:
    """Writes the sheets, ``questions.json`` (what the reader gets) and ``key.json``."""
    from kinema import Engine, GenerationRequest
    from kinema.weights.folder import open_model

    out.mkdir(parents=True, exist_ok=True)
    asked = questions(num_clips, open_model(model).card.vocabulary)
    engine = Engine(model)
    clips = []
    for q in asked:
        clips.append(engine.generate(GenerationRequest(prompt=q["prompt"], seed=q["clip"])).frames)
        print(f"clip {q['clip'] + 1} of {num_clips}: {q['prompt']}", flush=True)
    for first in range(0, num_clips, CLIPS_PER_SHEET):
        sheet(clips[first : first + CLIPS_PER_SHEET], first).save(
            out / f"sheet-{first // CLIPS_PER_SHEET}.jpg", quality=90
        )
    blind = [{"clip": q["clip"], "options": dict(zip("ABCD", q["options"], strict=True))} for q in asked]
    (out / "questions.json").write_text(json.dumps(blind, indent=1, ensure_ascii=False))
    key = [{name: q[name] for name in ("clip", "prompt", "answer", "asked", "changes")} for q in asked]
    (out / "key.json").write_text(json.dumps(key, indent=1, ensure_ascii=False))


def _mistakes(rows: list[dict], given: Mapping[str, str], name: str) -> dict[str, int]:
    """How often ``name`` was one of the two things asked about, and how often the answer has it wrong."""
    asked = [q for q in rows if name in q["asked"]]
    wrong = [q for q in asked if q["changes"].get(given.get(str(q["clip"]), ""), "both") in (name, "both")]
    return {"asked": len(asked), "wrong": len(wrong)}


def score(out: Path, answers: Path, reader: str) -> None:
    """Records the share of clips whose prompt the reader found; an unanswered clip counts as wrong."""
    rows = json.loads((out / "key.json").read_text())
    key = {str(q["clip"]): q["answer"] for q in rows}
    given = {str(k): v for k, v in json.loads(answers.read_text()).items()}
    right = [clip for clip, answer in key.items() if given.get(clip) == answer]
    from kinema.evaluation.statistics import wilson

    low, high = wilson(len(right), len(key))
    by_attribute = {name: _mistakes(rows, given, name) for name in CHANGES}
    by_language = {
        name: sum(str(c) in right for c in range(start, len(key), 2)) / len(range(start, len(key), 2))
        for name, start in (("en", 0), ("zh", 1))
    }
    print(f"{len(right)} of {len(key)} right ({len(right) / len(key):.0%}, 95 % interval {low:.0%} to {high:.0%})")
    record(
        "blind_test",
        {
            "question": "which of four prompts (the right one and three with one or two things changed) belongs to the clip?",
            "reader": reader,
            "clips": len(key),
            "right": len(right),
            "share": len(right) / len(key),
            "interval_95": [low, high],
            "share_by_language": by_language,
            "by_attribute": by_attribute,
            "wrong": [int(c) for c in key if c not in right],
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("make", "score"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="kinema-mini")
    parser.add_argument("--clips", type=int, default=NUM_CLIPS)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--reader", default="unnamed")
    args = parser.parse_args()
    if args.verb == "make":
        make(args.out, args.model, args.clips)
    else:
        score(args.out, args.answers or args.out / "answers.json", args.reader)


if __name__ == "__main__":
    main()
