"""The shipped model from nothing: ``python -m kinema.training.mini --phase vae --out DIR --budget MINUTES``.

Every phase goes on where it stopped and is left alone once it is done, so the same command after a crash, a SIGTERM or
Ctrl-C continues.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.core.errors import KinemaError, storage_errors
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.data.load.shards import ShardSet, write_atomically
from kinema.training.prepare import SceneRange, prepare_frames
from kinema.training.recipes import MiniRecipe, checked_minutes
from kinema.training.sheets import SheetFolder
from kinema.training.stopping import stops_on_signals
from kinema.training.vae import train_vae


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where and how the phases run."""

    out: Path
    recipe: MiniRecipe
    device: str = "cpu"
    workers: int = 0
    observer: Observer = ignore_progress
    cancel: CancelToken

    def shards(self, scenes: SceneRange) -> ShardSet:
        """Frames of ``scenes``, rendered if they aren't there yet."""
        return prepare_frames(
            self.out / "cache", scenes, workers=self.workers, device=self.device, observer=self.observer, cancel=self.cancel
        )


def frames_phase(work: Work) -> Mapping[str, Any]:
    """Renders what the autoencoder learns from."""
    sets = {name: work.shards(scenes) for name, scenes in _vae_scenes(work.recipe).items()}
    return {name: {"path": s.path.name, "clips": len(s)} for name, s in sets.items()}


def vae_phase(work: Work) -> Mapping[str, Any]:
    """Trains the autoencoder."""
    sets = {name: _made(work, name) or work.shards(scenes) for name, scenes in _vae_scenes(work.recipe).items()}
    folder = work.out / "vae"
    outcome = train_vae(
        work.recipe.vae, sets["train"], validation=sets["validation"], folder=folder, device=work.device,
        sink=SheetFolder(folder / "sheets"), observer=work.observer, cancel=work.cancel,
    )  # fmt: skip
    return {"step": outcome.step, "minutes": outcome.elapsed_s / 60, "scores": dict(outcome.scores)}


PHASES: dict[str, Callable[[Work], Mapping[str, Any]]] = {
    "frames": frames_phase,
    "vae": vae_phase,
}


def run_phase(name: str, work: Work) -> Mapping[str, Any]:
    """What phase ``name`` found out, from now or from when it was done before."""
    done = work.out / f"{name}.done.json"
    if done.exists():
        return json.loads(done.read_text(encoding="utf-8"))
    with storage_errors(work.out):
        work.out.mkdir(parents=True, exist_ok=True)
    facts = PHASES[name](work)
    write_atomically(done, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    return facts


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one call from the command line."""
    parser = argparse.ArgumentParser(prog="python -m kinema.training.mini", description=__doc__)
    parser.add_argument("--phase", choices=[*PHASES], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=None, help="minutes of this phase")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that render")
    args = parser.parse_args(argv)
    recipe = MiniRecipe()
    try:
        with stops_on_signals(CancelToken()) as cancel:
            if args.budget is not None:
                recipe = recipe.with_vae_minutes(checked_minutes(args.budget))
            work = Work(
                out=args.out, recipe=recipe, device=args.device, workers=args.workers, observer=Printer(), cancel=cancel
            )
            print(json.dumps({"phase": args.phase, **run_phase(args.phase, work)}, ensure_ascii=False))
    except KinemaError as e:
        print(f"kinema: {e}", file=sys.stderr)
        return e.exit_code
    return 0


class Printer:
    """An observer that prints a line every ``every_s`` seconds."""

    def __init__(self, every_s: float = 15.0) -> None:
        self.every_s, self._last = every_s, 0.0

    def __call__(self, progress: Progress) -> None:
        """Prints ``progress``, if the last line is old enough."""
        now = time.monotonic()
        if now - self._last >= self.every_s or progress.step == progress.steps:
            self._last = now
            eta = "" if progress.eta_s is None else f", {progress.eta_s / 60:.1f} min to go"
            print(f"{progress.phase} {progress.step}/{progress.steps}{eta}", flush=True)


def _vae_scenes(recipe: MiniRecipe) -> dict[str, SceneRange]:
    return {"train": recipe.vae_frames, "validation": recipe.vae_validation}


def _made(work: Work, name: str) -> ShardSet | None:
    """The set that the frames phase made: what a run began with it goes on with, even if the world's code has changed since."""
    done = work.out / "frames.done.json"
    if not done.exists():
        return None
    return ShardSet.open(work.out / "cache" / json.loads(done.read_text(encoding="utf-8"))[name]["path"])


if __name__ == "__main__":
    sys.exit(main())
