"""Scores of a model on the world as files: JSON, and a page to look at."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.app.local import engine_for
from kinema.core.errors import StorageError, storage_errors
from kinema.core.progress import CancelToken, Observer, ignore_progress

if TYPE_CHECKING:
    from kinema.evaluation.model import Examination

RESULT, PAGE = "scores.json", "scores.html"


def evaluate_world(
    model: str, examination: Examination, out: str, *, with_conditions: bool = True, observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Makes, judges and counts; ``out`` is a folder for ``scores.json``, which is what is returned, and ``scores.html``.

    ``with_conditions`` also measures camera, motion score and first frame, as far as the model takes them. Every score stands beside
    the judges' floor: how often they are right about true renders of that level.
    Raises: InvalidInput, WeightsError, StorageError, Cancelled.
    """
    from kinema.data.load.shards import write_atomically
    from kinema.evaluation.conditions import conditions, kept, true_flicker
    from kinema.evaluation.judges import load_judges
    from kinema.evaluation.model import Examinee
    from kinema.evaluation.page import page
    from kinema.evaluation.scores import table

    folder, engine, judges = Path(out), engine_for(model), load_judges()
    examinee = Examinee(engine, judges, examination, observer=observer, cancel=cancel)
    # whatever can't be asked, made or written is to be known before an hour of clips
    shape, scenes, words = examinee.shape, examinee.scenes() if with_conditions else [], examinee.words()
    _check_place(folder)
    made = list(words)
    result: dict[str, Any] = {
        "model": {"name": engine.card.name, "version": engine.card.version, "hash": engine.folder.content_hash()},
        "examination": asdict(examination),
        "shape": str(shape),
        "floor": judges.card.get("floors", {}).get(examination.difficulty, {}),
        "words": table([m.answer for m in made]),
        "kept": kept(made),
    }
    if with_conditions:
        result |= conditions(examinee, scenes)
        if scenes:
            result["kept"]["flicker_of_true_clips"] = true_flicker(examinee, scenes)
    html = page(result, made)
    write_atomically(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False).encode())
    write_atomically(folder / PAGE, html.encode())
    return result


def _check_place(folder: Path) -> None:
    """Makes ``folder`` and writes to it. Raises: StorageError."""
    with storage_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as e:
            raise StorageError(f"{folder}: is a file; choose another folder") from e
        tempfile.TemporaryFile(dir=folder).close()
