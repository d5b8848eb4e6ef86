"""Where a run's numbers go: one JSON object a line, and TensorBoard when it is installed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinema.core.errors import storage_errors


class MetricsLog:
    """``metrics.jsonl`` in ``folder``, flushed line by line, with TensorBoard event files beside it if that package is there.

    A run resumed from ``step`` drops the lines after it, so that no step stands there twice.
    """

    def __init__(self, folder: Path, *, from_step: int = 0) -> None:
        self.path = folder / "metrics.jsonl"
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in _lines(self.path) if json.loads(line)["step"] <= from_step]
            self.path.write_text("".join(kept), encoding="utf-8")
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - open as long as the log is
        self._board = _tensorboard(folder, from_step)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds one line: ``kind`` (train, validation, speed...), ``step`` and ``values``."""
        # JSON has no NaN; a value that isn't finite is null
        clean = {k: (round(v, 7) if math.isfinite(v) else None) for k, v in values.items()}
        self._file.write(json.dumps({"kind": kind, "step": step, **clean}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``, of one ``kind`` if it is named."""
    rows = [json.loads(line) for line in _lines(path)]
    return [row for row in rows if kind is None or row["kind"] == kind]


def _lines(path: Path) -> list[str]:
    """Whole lines only: a killed process may leave half of one."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _tensorboard(folder: Path, from_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # an extra: the JSON lines hold everything too
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1 if from_step else None)
