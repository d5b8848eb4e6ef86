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

    ``with_conditions`` also measures camera, motion score and first frame, as far as the model takes them. Shares stand beside their
    floors: what the same judges say of true clips of the same scenes. ``scores.json`` grows with every part that is done, so that a
    stop loses little; the page comes last. Raises: InvalidInput, WeightsError, StorageError, Cancelled.
    """
    import torch

    from kinema.data.load.shards import write_atomically
    from kinema.evaluation.buckets import by_bucket
    from kinema.evaluation.conditions import conditions, kept
    from kinema.evaluation.judges import load_judges
    from kinema.evaluation.model import Examinee, Seen
    from kinema.evaluation.page import Shown, page
    from kinema.evaluation.scores import table

    folder, engine, judges = Path(out), engine_for(model), load_judges()
    examinee = Examinee(engine, judges, examination, observer=observer, cancel=cancel)
    # whatever can't be asked, made or written is to be known before an hour of clips
    shape, scenes, asked = examinee.shape, examinee.scenes() if with_conditions else [], examinee.asked()
    _check_place(folder)
    result: dict[str, Any] = {
        "model": {"name": engine.card.name, "version": engine.card.version, "hash": engine.folder.content_hash()},
        "examination": asdict(examination),
        "shape": str(shape),
    }

    def keep(part: dict[str, Any]) -> None:
        result.update(part)
        write_atomically(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False).encode())

    true = examinee.floor(asked)
    found = table([one.answer for one in true])
    with storage_errors(folder):
        (folder / PAGE).unlink(missing_ok=True)  # that of other scores
    keep({"floor": {name: found[name] for name in ("attributes", "suites")}})
    seen, shown = [], []
    for made in examinee.words(asked):
        seen.append(Seen.of(torch.from_numpy(made.clip.frames), made.answer))
        shown.append(Shown.of(made))
    own = kept(seen)
    keep({"words": table([one.answer for one in seen]), "kept": {**own, "floor": kept(true)} if own else {}})
    for name, measure in conditions(examinee).items() if with_conditions else ():
        keep({name: measure(examinee, scenes)})
    if examination.buckets:
        keep(by_bucket(examinee, examination.buckets))
    write_atomically(folder / PAGE, page(result, shown).encode())
    return result


def _check_place(folder: Path) -> None:
    """Makes ``folder`` and writes to it. Raises: StorageError."""
    with storage_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as e:
            raise StorageError(f"{folder}: is a file; choose another folder") from e
        tempfile.TemporaryFile(dir=folder).close()
