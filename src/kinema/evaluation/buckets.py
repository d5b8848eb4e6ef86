"""Scores by size and length: the same scenes asked for in every shape that a model's card offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.geometry import VideoShape
from kinema.evaluation.model import Examinee
from kinema.evaluation.scores import answer, shares

_BEHIND = 0.05


def shapes_of(card: ModelCard) -> list[VideoShape]:
    """Every size of ``card`` as a picture, at its usual length and at its longest."""
    fps = card.fps[0]
    usual = card.compression.snap_frames(card.default_seconds * fps)
    lengths = sorted({1, min(usual, card.max_frames), card.compression.snap_frames(card.max_frames)})
    return [VideoShape(frames=n, width_px=w, height_px=h, fps=fps) for w, h in card.sizes for n in lengths]


def by_bucket(examinee: Examinee, count: int) -> dict[str, Any]:
    """Shares by shape, each beside the floor of true clips of that shape, and ``behind``: where a shape does worse than the best one.

    ``count`` scenes, the languages in turn. Where it does worse, an attribute's share, as a part of its floor (``share``), is more than
    5 points below the best shape's (``rest``). Raises: InvalidInput, Cancelled.
    """
    turns = len(examinee.examination.languages)
    every = examinee.questions("plain", count=count)
    questions = [every[n * turns + n % turns] for n in range(len(every) // turns)]
    scenes = [q.scene for q in questions if q.scene is not None]
    rows: dict[str, dict[str, Any]] = {}
    for shape in shapes_of(examinee.engine.card):
        size = f"{shape.width_px}x{shape.height_px}"
        requests = [(q, replace(examinee.request(q.prompt, q.seed), size=size, frames=shape.frames)) for q in questions]
        own = [made.answer for made in examinee.make(requests)]
        true = [
            answer(q, examinee.judges(examinee.drawn(s, shape), fps=shape.fps))
            for q, s in zip(questions, scenes, strict=True)
        ]
        rows[f"{size}x{shape.frames}"] = {"shares": shares(own), "floor": shares(true)}
    return {"buckets": rows, "behind": _behind(rows)}


def _behind(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name in dict.fromkeys(n for row in rows.values() for n in row["shares"]):
        parts = {
            bucket: row["shares"][name]["share"] / row["floor"][name]["share"]
            for bucket, row in rows.items()
            if name in row["shares"] and row["floor"][name]["share"] > 0
        }
        best = max(parts.values(), default=0.0)
        for bucket, part in parts.items():
            if best - part > _BEHIND:
                asked_of = rows[bucket]["shares"][name]["asked"]
                where = {"bucket": bucket}
                found.append(
                    {
                        "attribute": name,
                        "where": where,
                        "share": round(part, 4),
                        "rest": round(best, 4),
                        "asked": asked_of,
                    }
                )
    return sorted(found, key=lambda row: row["share"] - row["rest"])
