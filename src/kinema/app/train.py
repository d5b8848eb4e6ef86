"""Training runs on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.core.errors import InvalidInput
from kinema.core.progress import CancelToken, Observer, ignore_progress

if TYPE_CHECKING:
    from kinema.training.mini import Facts

DEVICES = ("cpu", "cuda")


def train_mini(
    out: str,
    *,
    budget_minutes: float,
    start: str | None = None,
    device: str = "cpu",
    workers: int = 0,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> tuple[Path, Facts]:
    """The model folder, and what each phase found out; trained on from the model ``start``, or from nothing.

    Raises: InvalidInput, StorageError, TrainingError, Cancelled.
    """
    _check(device, budget_minutes=budget_minutes, workers=workers)
    from kinema.training import mini

    facts = mini.train_mini(
        budget_minutes, Path(out), start=start, device=device, workers=workers, observer=observer, cancel=cancel
    )
    return Path(out) / "model", facts


def train_judges(
    out: str, *, budget_minutes: float, device: str = "cpu", workers: int = 0, observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> tuple[Path, dict[str, Any]]:  # fmt: skip
    """The folder of judges trained for ``budget_minutes`` (beside the drawing of their clips), and what is on their card.

    The same call goes on where the last one stopped. Raises: InvalidInput, StorageError, TrainingError, Cancelled.
    """
    _check(device, budget_minutes=budget_minutes, workers=workers)
    from kinema.evaluation.judges import save_judges
    from kinema.training import judges
    from kinema.training.judge_data import JUDGE_SCENES

    folder, recipe = Path(out), judges.JudgeRecipe()
    train, validation = JUDGE_SCENES.prepare(
        folder / "cache", workers=workers, device=device, observer=observer, cancel=cancel
    )
    recipe = recipe.within(budget_minutes)
    outcomes = judges.train_judges(
        recipe, train, validation=validation, folder=folder / "run", device=device, observer=observer, cancel=cancel
    )
    card = {
        "data": [asdict(scenes) for scenes in JUDGE_SCENES.train], "fingerprint": train.fingerprint, "device": device,
        "training": {
            name: {"steps": one.step, "minutes": round(one.elapsed_s / 60, 1), "scores": dict(one.scores)}
            for name, one in outcomes.items()
        },
    }  # fmt: skip
    configs = {judges.FRAME: recipe.frame, judges.CLIP: recipe.clip}
    save_judges(judges.trained_judges(folder / "run"), folder / "judges", card=card, configs=configs)
    return folder / "judges", card


def _check(device: str, *, budget_minutes: float, workers: int) -> None:
    """Raises: InvalidInput."""
    if device not in DEVICES:
        raise InvalidInput("device", device, f"must be {' or '.join(DEVICES)}")
    if workers < 0:
        raise InvalidInput("workers", workers, "must be at least 0")
    if not 0 < budget_minutes < float("inf"):
        raise InvalidInput("budget", budget_minutes, "must be a number of minutes above zero")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InvalidInput("device", device, "there is no CUDA device here; cpu works")
