"""The shipped model from nothing: ``python -m kinema.training.mini --out DIR --budget MINUTES``, or phase by phase.

Every phase goes on where it stopped and is left alone once it is done, so the same command after a crash, a SIGTERM or
Ctrl-C continues. What a phase made is on record in ``DIR/PHASE.done.json``; remove that file to have it made again.

With ``--start MODEL`` the run goes on from a model's weights: its autoencoder and text encoder stay as they are, unless
``--phase`` names the one to train on, and the transformer trains on from the model's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from kinema.core.errors import Cancelled, KinemaError, TrainingError, storage_errors
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.core.protocols import SampleSink
from kinema.core.stopping import stops_on_signals
from kinema.data.load.shards import ShardSet, join, write_atomically
from kinema.training.export import export_model, fitted_preview
from kinema.training.latents import prepare_latents
from kinema.training.prepare import SceneRange, prepare_frames, world_hash
from kinema.training.preview import Preview
from kinema.training.recipes import MiniRecipe
from kinema.training.sheets import SheetFolder
from kinema.training.start import begins_with, open_start, vae_of, weights_of
from kinema.training.text import TEXT, train_text, trained_text
from kinema.training.transformer import Weights, train_transformer, trained_weights
from kinema.training.vae import VaeRecipe, train_vae, trained_vae
from kinema.training.vae_folder import load_vae, save_vae
from kinema.weights.folder import ModelFolder
from kinema.weights.preview import KEY as LATENT_RGB

Facts = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where and how the phases run. ``start`` is the model to go on from; ``sink(folder)`` is where a phase's sheets go."""

    out: Path
    recipe: MiniRecipe
    start: ModelFolder | None = None
    device: str = "cpu"
    workers: int = 0
    observer: Observer = ignore_progress
    cancel: CancelToken = field(default_factory=CancelToken)
    sink: Callable[[Path], SampleSink] = SheetFolder

    @property
    def cache(self) -> Path:
        """Where frames and latents are kept."""
        return self.out / "cache"

    @property
    def vae(self) -> Path:
        """The autoencoder that latents are made with."""
        return self.out / "vae" / "model"

    @property
    def decoder(self) -> Path:
        """The same with the decoder that trained on: what latents are decoded with."""
        return self.out / "decoder" / "model"

    @property
    def text(self) -> Path:
        """The trained text encoder's run."""
        return self.out / "text"

    def stage(self, number: int) -> Path:
        """The folder of a transformer stage, counted from 1."""
        return self.out / f"transformer-{number}"

    def made(self, phase: str) -> Facts:
        """What phase ``phase`` left on record. Raises: TrainingError if it isn't done."""
        path = self.out / f"{phase}.done.json"
        if not path.exists():
            raise TrainingError(f"{path}: is not there; run phase {phase} first")
        return json.loads(path.read_text(encoding="utf-8"))

    def shards(self, phase: str, name: str) -> ShardSet:
        """A set that phase ``phase`` made. A run goes on with what it began with, even if the world's code has changed since."""
        return ShardSet.open(self.cache / self.made(phase)["sets"][name])

    def first_weights(self) -> Weights:
        """What the transformer's first stage starts from. Raises: TrainingError before the text encoder is there."""
        if self.start is None:
            return {TEXT: trained_text(self.text)}
        weights = weights_of(self.start)
        return weights if _KEPT in self.made("text") else {**weights, TEXT: trained_text(self.text)}


def frames_phase(work: Work) -> Facts:
    """Renders what the autoencoder learns from; if it is a model's, only what its previews are fitted to."""
    learned = {"train": work.recipe.vae_frames} if work.start is None else {}
    return _render(work, {**learned, "validation": work.recipe.vae_validation})


def vae_phase(work: Work) -> Facts:
    """Trains the autoencoder and writes it to ``vae/model``."""
    start = None if work.start is None else vae_of(work.start).state_dict()
    return _train_vae(work, work.recipe.vae, work.vae, start=start)


def latents_phase(work: Work) -> Facts:
    """Renders and encodes what the transformer's stages learn from."""
    sets = {}
    for number, stage in enumerate(work.recipe.stages, 1):
        for name, scenes in stage.sets.items():
            sets[f"{number}-{name}"] = prepare_latents(
                work.cache, scenes, vae=work.vae, recipe=work.recipe.latents, workers=work.workers, device=work.device,
                observer=work.observer, cancel=work.cancel,
            )  # fmt: skip
    return {
        "sets": {k: s.path.name for k, s in sets.items()},
        "samples": {k: len(s) for k, s in sets.items()},
        "fingerprints": {k: s.fingerprint for k, s in sets.items()},
        "world": world_hash(),
    }


def decoder_phase(work: Work) -> Facts:
    """Trains the decoder on, for latents that stay as they are, and writes the autoencoder with it to ``decoder/model``."""
    work.made("latents")
    first = load_vae(work.vae)
    # with the first one's config, so with its latents' mean and spread
    recipe = replace(work.recipe.vae, config=first.config, loop=work.recipe.decoder, only_decoder=True)
    return _train_vae(work, recipe, work.decoder, start=first.state_dict())


def text_phase(work: Work) -> Facts:
    """Trains the text encoder on captions alone."""
    start = None if work.start is None else weights_of(work.start)[TEXT]
    outcome = train_text(
        work.recipe.text, folder=work.text, device=work.device, start=start, observer=work.observer, cancel=work.cancel
    )
    return {"steps": outcome.step, "minutes": round(outcome.elapsed_s / 60, 2), "scores": dict(outcome.scores)}


def transformer_phase(work: Work) -> Facts:
    """Trains the transformer, stage after stage."""
    facts: dict[str, Any] = {}
    for number in range(1, len(work.recipe.stages) + 1):
        facts[str(number)] = once(work, f"transformer-{number}", lambda number=number: _train_stage(work, number))
    return facts


def export_phase(work: Work) -> Facts:
    """Writes the model folder ``model``."""
    last, stages = len(work.recipe.stages), work.recipe.stages
    phases = {name: work.made(name) for name in PHASES if name != "export"}
    # the first is what a clip has by default: that of the last stage's first scenes
    shapes = list(dict.fromkeys(scenes.shape for stage in reversed(stages) for scenes in stage.train))
    levels = sorted({scenes.difficulty for stage in stages for scenes in stage.train})
    vae = load_vae(work.decoder)
    facts = {"phases": phases, "stages": [[asdict(scenes) for scenes in s.train] for s in stages]}
    if work.start is not None:
        facts["begins_with"] = begins_with(work.start)
    facts[LATENT_RGB] = fitted_preview(vae, work.shards("frames", "validation"))
    model = export_model(
        work.out / "model", work.recipe.export, transformer=stages[-1].transformer, weights=trained_weights(work.stage(last)),
        vae=vae, shapes=shapes, levels=levels, training=facts,
    )  # fmt: skip
    return {"path": model.path.name, "hash": model.content_hash(), "bytes": model.card.weights_bytes}


PHASES: dict[str, Callable[[Work], Facts]] = {
    "frames": frames_phase,
    "vae": vae_phase,
    "latents": latents_phase,
    "decoder": decoder_phase,
    "text": text_phase,
    "transformer": transformer_phase,
    "export": export_phase,
}


def _keep_vae(work: Work) -> Facts:
    assert work.start is not None
    save_vae(vae_of(work.start), work.vae)
    return {_KEPT: True}


def _keep_decoder(work: Work) -> Facts:
    save_vae(load_vae(work.vae), work.decoder)  # with the decoder that it has, also where it has trained on
    return {_KEPT: True}


def _keep_text(work: Work) -> Facts:
    return {_KEPT: True}


# Phases that a run from a model leaves out unless they are asked for by name: the model has what they would make.
_KEEPERS: dict[str, Callable[[Work], Facts]] = {"vae": _keep_vae, "decoder": _keep_decoder, "text": _keep_text}
_KEPT = "kept"


def train_mini(
    budget_minutes: float, out: Path, *, recipe: MiniRecipe | None = None, start: str | None = None, device: str = "cpu",
    workers: int = 0, observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> Facts:  # fmt: skip
    """What each phase found out, once all are done and ``out/model`` is written.

    About ``budget_minutes`` in all on two CPU cores. ``start`` is a model to go on from: a shipped name or a folder.
    Raises: InvalidInput for a start that doesn't fit the recipe; TrainingError if the run in ``out`` began with another;
    Cancelled, and the same call goes on from there.
    """
    recipe = recipe or MiniRecipe()
    sized = recipe.within(budget_minutes) if start is None else recipe.going_on(budget_minutes)
    work = Work(
        out=out, recipe=sized, start=None if start is None else open_start(start, recipe), device=device, workers=workers,
        observer=observer, cancel=cancel or CancelToken(),
    )  # fmt: skip
    for name in PHASES:
        if start is None or name not in _KEEPERS:
            run_phase(name, work)
    return {name: work.made(name) for name in PHASES}


def run_phase(name: str, work: Work) -> Facts:
    """What phase ``name`` found out, now or when it was done before. What it needs of the model to start from is kept first.

    Raises: TrainingError if the run began with another model, or a phase before isn't done; Cancelled.
    """
    _begin(work)
    for before, keep in _KEEPERS.items() if work.start is not None else ():
        if [*PHASES].index(before) < [*PHASES].index(name):
            once(work, before, lambda keep=keep: keep(work))
    return once(work, name, lambda: PHASES[name](work))


def once(work: Work, name: str, do: Callable[[], Facts]) -> Facts:
    """What ``do`` returns, or what it returned when it was done before."""
    done = work.out / f"{name}.done.json"
    if not done.exists():
        with storage_errors(work.out):
            work.out.mkdir(parents=True, exist_ok=True)
        write_atomically(done, json.dumps(do(), indent=1, ensure_ascii=False).encode())
    return work.made(name)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one call from the command line."""
    parser = argparse.ArgumentParser(prog="python -m kinema.training.mini", description=__doc__)
    parser.add_argument("--phase", choices=["all", *PHASES], default="all")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--budget", type=float, default=60.0, help="minutes: of the whole run, or with --phase of that phase"
    )
    parser.add_argument("--start", metavar="MODEL", help="go on from a Kinema model: a shipped name or a folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that render and encode")
    args = parser.parse_args(argv)
    cancel = CancelToken()
    try:
        with stops_on_signals(cancel):
            if args.phase == "all":
                facts = train_mini(
                    args.budget, args.out, start=args.start, device=args.device, workers=args.workers, observer=Printer(),
                    cancel=cancel,
                )  # fmt: skip
            else:
                recipe = MiniRecipe().for_phase(args.phase, args.budget)
                work = Work(
                    out=args.out,
                    recipe=recipe,
                    start=None if args.start is None else open_start(args.start, recipe),
                    device=args.device,
                    workers=args.workers,
                    observer=Printer(),
                    cancel=cancel,
                )
                facts = run_phase(args.phase, work)
            sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    except KinemaError as e:
        sys.stderr.write(f"kinema: {e}\n")
        return e.exit_code
    except KeyboardInterrupt:  # the second one; what is on disk is whole
        return Cancelled.exit_code
    return 0


class Printer:
    """An observer that prints a line every ``every_s`` seconds."""

    def __init__(self, every_s: float = 15.0) -> None:
        self.every_s, self._last = every_s, -every_s

    def __call__(self, progress: Progress) -> None:
        """Prints ``progress``, if the last line is old enough."""
        now = time.monotonic()
        if now - self._last >= self.every_s or progress.step == progress.steps:
            self._last = now
            eta = "" if progress.eta_s is None else f", {progress.eta_s / 60:.1f} min to go"
            sys.stdout.write(f"{progress.phase} {progress.step}/{progress.steps}{eta}\n")
            sys.stdout.flush()


def _begin(work: Work) -> None:
    """Puts on record what the run begins with. Raises: TrainingError if it began with something else."""
    record = work.out / "start.json"
    ours = None if work.start is None else begins_with(work.start)
    if record.exists():
        theirs = json.loads(record.read_text(encoding="utf-8"))
    elif ours is None or any(work.out.glob("*.done.json")):
        theirs = None
    else:
        theirs = ours
        with storage_errors(work.out):
            work.out.mkdir(parents=True, exist_ok=True)
        write_atomically(record, json.dumps(ours, indent=1, ensure_ascii=False).encode())
    if (ours and ours["hash"]) != (theirs and theirs["hash"]):
        rule = f"this run began with {_said(theirs)}, not with {_said(ours)}"
        raise TrainingError(f"{work.out}: {rule}; start with that, or use another folder")


def _said(model: Mapping[str, str] | None) -> str:
    return "no model" if model is None else f"{model['name']} {model['version']} ({model['hash'][:19]})"


def _render(work: Work, wanted: Mapping[str, SceneRange]) -> Facts:
    sets = {
        name: prepare_frames(
            work.cache, scenes, workers=work.workers, device=work.device, observer=work.observer, cancel=work.cancel
        )
        for name, scenes in wanted.items()
    }
    return {"sets": {k: s.path.name for k, s in sets.items()}, "clips": {k: len(s) for k, s in sets.items()}}


def _train_vae(work: Work, recipe: VaeRecipe, model: Path, *, start: Mapping[str, Tensor] | None = None) -> Facts:
    validation, frames, folder = work.shards("frames", "validation"), "frames", model.parent
    if work.start is not None:  # few such runs train an autoencoder, so its clips are rendered for those that do
        frames = "vae-frames"
        once(work, frames, lambda: _render(work, {"train": work.recipe.vae_frames}))
    train = work.shards(frames, "train")
    outcome = train_vae(
        recipe, train, validation=validation, folder=folder, device=work.device, start=start,
        sink=work.sink(folder / "sheets"), observer=work.observer, cancel=work.cancel,
    )  # fmt: skip
    save_vae(trained_vae(recipe, train, folder=folder, device=work.device), model)
    return {"steps": outcome.step, "minutes": round(outcome.elapsed_s / 60, 2), "scores": dict(outcome.scores)}


def _train_stage(work: Work, number: int) -> Facts:
    stage, folder = work.recipe.stages[number - 1], work.stage(number)
    sets = {name: work.shards("latents", f"{number}-{name}") for name in stage.sets}
    validation = sets.pop("validation")
    start = trained_weights(work.stage(number - 1)) if number > 1 else work.first_weights()
    work.made("decoder")
    vae = load_vae(work.decoder, device=work.device)
    preview = Preview(work.recipe.sheet, validation, vae=vae, sink=work.sink(folder / "sheets"))
    outcome = train_transformer(
        stage.transformer, join([*sets.values()]), validation=validation, folder=folder, device=work.device, start=start,
        on_validate=preview, observer=work.observer, cancel=work.cancel,
    )  # fmt: skip
    return {"steps": outcome.step, "minutes": round(outcome.elapsed_s / 60, 2), "scores": dict(outcome.scores)}


if __name__ == "__main__":
    sys.exit(main())
