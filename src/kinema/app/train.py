"""Training runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kinema.core.errors import InvalidInput
from kinema.core.progress import CancelToken, Observer, ignore_progress

if TYPE_CHECKING:
    from kinema.training.mini import Facts

DEVICES = ("cpu", "cuda")


def train_mini(
    out: str,
    *,
    budget_minutes: float,
    device: str = "cpu",
    workers: int = 0,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> tuple[Path, Facts]:
    """The model folder, and what each phase found out. Raises: InvalidInput, StorageError, TrainingError, Cancelled."""
    if device not in DEVICES:
        raise InvalidInput("device", device, f"must be {' or '.join(DEVICES)}")
    if workers < 0:
        raise InvalidInput("workers", workers, "must be at least 0")
    if not 0 < budget_minutes < float("inf"):
        raise InvalidInput("budget", budget_minutes, "must be a number of minutes above zero")
    import torch

    from kinema.training import mini

    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("device", device, "there is no CUDA device here; cpu works")
    facts = mini.train_mini(budget_minutes, Path(out), device=device, workers=workers, observer=observer, cancel=cancel)
    return Path(out) / "model", facts
