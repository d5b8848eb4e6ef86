"""Scores as one HTML page that needs nothing else: tables beside the judges' floors, and every clip with what is seen in it."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from kinema.evaluation.model import Made
from kinema.evaluation.scores import Answer
from kinema.media.write import write_video

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1c1c; }
table { border-collapse: collapse; margin: 0.6rem 0 1.6rem; }
td, th { padding: 0.25rem 0.8rem; text-align: left; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure img { width: 100%; image-rendering: auto; border-radius: 4px; }
figcaption { font-size: 0.85rem; } .wrong { color: #b3261e; } .note { color: #555; }
"""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip for the page: what was asked for, what is seen, and the moving picture."""

    answer: Answer
    webp: bytes

    @classmethod
    def of(cls, made: Made) -> Shown:
        """``made`` as small as a page needs it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.webp"
            write_video(path, made.clip.frames, fps=made.clip.shape.fps)
            return cls(answer=made.answer, webp=path.read_bytes())


def page(result: Mapping[str, Any], shown: Sequence[Shown]) -> str:
    """The page of ``result`` (what `kinema.app.evaluate` writes as JSON) and of the clips that it is of."""
    model, words, floor = result["model"], result["words"], result["floor"]
    parts = [
        f"<h1>{escape(model['name'])} {escape(model['version'])}</h1>",
        f"<p>{len(shown)} clips, {escape(result['shape'])}. The floor is what the same judges say of true clips of the same scenes:"
        " no clip of a model can score above it by merit. Intervals count scenes, not clips.</p>",
        "<h2>Words</h2>", _shares(words["attributes"], floor["attributes"]),
    ]  # fmt: skip
    for name, rows in words["suites"].items():
        parts += [f"<h3>Suite: {escape(name)}</h3>", _shares(rows, floor["suites"].get(name, {}))]
    for name, rows in words["languages"].items():
        parts += [f"<h3>Language: {escape(name)}</h3>", _shares(rows, floor["attributes"])]
    if words["worse"]:
        parts += ["<h2>Where it does worse</h2>", _rows(words["worse"])]
    for name in ("pass", "paired"):
        if words[name]:
            parts += [f"<h2>{name.capitalize()}</h2>", _tree(words[name])]
    for name in ("kept", "camera", "motion", "keyframes"):
        if result.get(name):
            parts += [f"<h2>{name.capitalize()}</h2>", _tree(result[name])]
    for name, row in result.get("buckets", {}).items():
        parts += [f"<h2>Size and length: {escape(name)}</h2>", _shares(row["shares"], row["floor"])]
    if result.get("behind"):
        parts += [
            "<h2>More than 5 points behind the best size and length, as shares of their floors</h2>",
            _rows(result["behind"]),
        ]
    parts += ["<h2>Clips</h2>", '<div class="clips">', *(_figure(one) for one in shown), "</div>"]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(model["name"])}: scores</title><style>{_STYLE}</style>'
    return head + "<body>" + "\n".join(parts) + "</body></html>\n"


def _shares(rows: Mapping[str, Mapping[str, Any]], floor: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["<table><tr><th>attribute<th>right<th>95 % interval<th>floor<th>asked"]
    for name, row in rows.items():
        low, high = row["interval_95"]
        known = f"{floor[name]['share']:.1%}" if name in floor else "none"
        lines.append(
            f"<tr><td>{escape(name)}<td>{row['share']:.1%}<td>{low:.0%} to {high:.0%}<td>{known}<td>{row['asked']}"
        )
    return "".join(lines) + "</table>"


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["<table><tr><th>attribute<th>where<th>right<th>elsewhere<th>asked"]
    for row in rows:
        where = ", ".join(f"{k} {v}" for k, v in row["where"].items())
        lines.append(
            f"<tr><td>{escape(row['attribute'])}<td>{escape(where)}<td>{row['share']:.0%}<td>{row['rest']:.0%}<td>{row['asked']}"
        )
    return "".join(lines) + "</table>"


def _tree(data: object) -> str:
    """Any JSON as nested tables."""
    if isinstance(data, Mapping):
        return "<table>" + "".join(f"<tr><th>{escape(str(k))}<td>{_tree(v)}" for k, v in data.items()) + "</table>"
    if isinstance(data, (list, tuple)):
        return " to ".join(_tree(v) for v in data)
    return escape(str(data))


def _figure(shown: Shown) -> str:
    answer = shown.answer
    wrong = [f"{name}: {_seen(answer, name)}" for name, is_right in answer.right.items() if not is_right]
    verdict = f'<br><span class="wrong">{escape("; ".join(wrong))}</span>' if wrong else ""
    text = f"{escape(answer.question.prompt)}{verdict}"
    data = base64.b64encode(shown.webp).decode()
    return f'<figure><img alt="" loading="lazy" src="data:image/webp;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _seen(answer: Answer, name: str) -> str:
    if hasattr(answer.verdict, name):
        return str(getattr(answer.verdict, name))
    return ", ".join(getattr(s, name) for s in answer.verdict.subjects) or "nobody"
