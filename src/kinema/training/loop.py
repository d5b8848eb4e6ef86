"""The training loop: steps, averages, validation, checkpoints, and a clean stop; what is trained is a `Task`."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kinema.core.errors import Cancelled, TrainingError
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.training import checkpoints
from kinema.training.budget import Budget, LearningRate, Stopwatch
from kinema.training.ema import Ema
from kinema.training.logs import MetricsLog
from kinema.training.optim import Optimizer, OptimRecipe

_MAX_SKIPS = 20
_LATE = 0.95


@dataclass(frozen=True, kw_only=True)
class LoopRecipe:
    """How long, how fast, and how often to look. Intervals in minutes count from the last time, over resumes too."""

    budget: Budget
    rate: LearningRate = field(default_factory=LearningRate)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    ema_decay: float = 0.999
    seed: int = 0
    log_every_steps: int = 20
    validate_every_minutes: float = 5.0
    validate_every_steps: int | None = None
    checkpoint_every_minutes: float = 5.0
    checkpoint_every_steps: int | None = None
    keep_checkpoints: int = 2


class Batches(Protocol):
    """Where a task's batches come from."""

    def from_step(self, step: int) -> Generator[Any, None, None]:
        """All batches from number ``step`` on: the same, whatever came before."""
        ...


class Task(Protocol):
    """What a loop trains."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained and averaged, by name."""
        ...

    @property
    def loader(self) -> Batches:
        """Where batches come from."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """Measured choices, such as the dtype; a resumed run gets those of the one before."""
        ...

    def loss(self, batch: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of ``batch``, and parts of it to log. Random choices come from the batch's seeds alone."""
        ...

    def validate(self, step: int) -> Mapping[str, float]:
        """Scores on held-out data; called with the averaged weights. ``score``: higher is better."""
        ...

    def work(self, batch: Any) -> Mapping[str, float]:
        """What a step on ``batch`` does: samples, tokens, flops..., logged per second."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where a run ended. ``scores`` are the last validation's."""

    step: int
    elapsed_s: float
    scores: Mapping[str, float]
    checkpoint: Path


class Loop:
    """One run of ``task`` in ``folder``: goes on from the newest checkpoint there, if there is one.

    Raises: TrainingError if that checkpoint is of another recipe.
    """

    def __init__(self, task: Task, recipe: LoopRecipe, folder: Path, *, identity: Mapping[str, Any]) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        # a longer budget continues the same run; everything else has to be the same
        self.identity = {k: v for k, v in asdict(recipe).items() if k in ("rate", "optim", "ema_decay", "seed")} | dict(
            identity
        )
        self.optimizer = Optimizer(task.modules, recipe.optim)
        self.ema = Ema(task.modules, decay=recipe.ema_decay)
        self.step, self.skips, self.best = 0, 0, -math.inf
        self.scores: Mapping[str, float] = {}
        self._validated_at = (-1, 0.0)
        self._saved_at = (-1, 0.0)
        found = checkpoints.latest(folder)
        already_s = self._restore(found) if found else 0.0
        self.watch = Stopwatch(already_s)
        self._validated_at = self._saved_at = (self.step, already_s)

    def run(self, *, observer: Observer = ignore_progress, cancel: CancelToken | None = None) -> Outcome:
        """Trains to the end of the budget.

        Raises: Cancelled after a checkpoint, once ``cancel`` is set; TrainingError if losses stay NaN or infinite.
        """
        cancel = cancel or CancelToken()
        log = MetricsLog(self.folder, from_step=self.step)
        meter = _Meter(self.watch.elapsed_s)
        batches = self.task.loader.from_step(self.step)
        try:
            while self._progress() < 1:
                batch = next(batches)
                parts = self._train_step(batch)
                meter.add(self.task.work(batch))
                if self.step % self.recipe.log_every_steps == 0:
                    self._log(log, meter, parts, observer)
                if self._is_time_to_validate():
                    self._validate(log)
                    meter.restart(self.watch.elapsed_s)
                if cancel.is_cancelled:
                    path = self._save()
                    raise Cancelled(f"stopped after step {self.step}; {path} holds everything to go on from")
                if self._is_due(
                    self._saved_at, self.recipe.checkpoint_every_steps, self.recipe.checkpoint_every_minutes
                ):
                    self._save()
            if self._validated_at[0] != self.step or not self.scores:
                self._validate(log)
            path = self._save()
        finally:
            batches.close()
            log.close()
        return Outcome(step=self.step, elapsed_s=self.watch.elapsed_s, scores=self.scores, checkpoint=path)

    def _progress(self) -> float:
        return self.recipe.budget.progress(self.step, self.watch.elapsed_s)

    def _train_step(self, batch: Any) -> Mapping[str, Tensor]:
        loss, parts = self.task.loss(batch)
        loss.backward()
        norm = self.optimizer.clip()
        if bool(torch.isfinite(norm)) and bool(torch.isfinite(loss.detach())):
            self.optimizer.step(self.recipe.rate.factor(self.step, self._progress()))
            self.skips = 0
        else:
            self.optimizer.clear()
            self.skips += 1
            if self.skips >= _MAX_SKIPS:
                raise TrainingError(
                    f"step {self.step}: the last {self.skips} losses were NaN or infinite; lower the learning rate"
                )
        self.step += 1
        self.ema.update(self.step)
        return {"loss": loss.detach(), "grad_norm": norm.detach(), **parts}

    def _log(self, log: MetricsLog, meter: _Meter, parts: Mapping[str, Tensor], observer: Observer) -> None:
        elapsed, progress = self.watch.elapsed_s, self._progress()
        values = {k: float(v) for k, v in parts.items()}
        values["rate"] = self.recipe.rate.factor(self.step, progress)
        values["skips"] = self.skips
        log.write("train", self.step, values | {"elapsed_s": elapsed})
        log.write("speed", self.step, meter.rates(elapsed, self.task.facts))
        eta = elapsed / progress - elapsed if progress else None
        observer(Progress(phase="train", step=self.step, steps=round(self.step / max(progress, 1e-9)), eta_s=eta))

    def _validate(self, log: MetricsLog) -> None:
        with self.ema.applied(), torch.no_grad():
            self.scores = dict(self.task.validate(self.step))
        log.write("validation", self.step, {**self.scores, "elapsed_s": self.watch.elapsed_s})
        self._validated_at = (self.step, self.watch.elapsed_s)
        if self.scores["score"] > self.best:
            self.best = self.scores["score"]
            self._save(is_best=True)

    def _is_time_to_validate(self) -> bool:
        # the end of a run validates anyway, so not shortly before it
        by_steps = self.recipe.validate_every_steps
        is_early = by_steps is not None or self._progress() < _LATE
        return is_early and self._is_due(self._validated_at, by_steps, self.recipe.validate_every_minutes)

    def _is_due(self, last: tuple[int, float], steps: int | None, minutes: float) -> bool:
        if steps is not None:
            return self.step - last[0] >= steps
        return self.watch.elapsed_s - last[1] >= 60 * minutes

    def _save(self, *, is_best: bool = False) -> Path:
        tensors = {
            "model": {f"{p}.{k}": v for p, m in self.task.modules.items() for k, v in m.state_dict().items()},
            "ema": self.ema.averages,
            "optimizer": self.optimizer.state(),
        }
        facts = {
            "task": dict(self.task.facts),
            "best": self.best if math.isfinite(self.best) else None,
            "skips": self.skips,
            "scores": dict(self.scores),
        }
        elapsed = self.watch.elapsed_s
        point = checkpoints.Checkpoint(
            step=self.step, elapsed_s=elapsed, recipe=self.identity, facts=facts, tensors=tensors
        )
        self._saved_at = (self.step, elapsed)
        return checkpoints.save(self.folder, point, keep=self.recipe.keep_checkpoints, is_best=is_best)

    def _restore(self, path: Path) -> float:
        point = checkpoints.load(path, recipe=self.identity)
        for prefix, module in self.task.modules.items():
            own = {k[len(prefix) + 1 :]: v for k, v in point.tensors["model"].items() if k.startswith(f"{prefix}.")}
            module.load_state_dict(own)
        self.ema.load(point.tensors["ema"])
        self.optimizer.load(point.tensors["optimizer"])
        self.step, self.skips = point.step, point.facts["skips"]
        self.best = -math.inf if point.facts["best"] is None else point.facts["best"]
        self.scores = point.facts["scores"]
        return point.elapsed_s


def facts_of_latest(folder: Path) -> Mapping[str, Any] | None:
    """The task's facts in the newest checkpoint of ``folder``, so that a resumed run repeats its measured choices."""
    found = checkpoints.latest(folder)
    return checkpoints.load_state(found)["facts"]["task"] if found else None


def averaged(folder: Path, prefix: str, *, point: str | None = None) -> dict[str, Tensor]:
    """The averaged weights of module ``prefix`` in a run's newest checkpoint (or the one named ``point``). Raises: TrainingError."""
    path = folder / point if point else checkpoints.latest(folder)
    if path is None:
        raise TrainingError(f"{folder}: has no checkpoint; train first")
    ema = checkpoints.load(path).tensors["ema"]
    return {k[len(prefix) + 1 :]: v for k, v in ema.items() if k.startswith(f"{prefix}.")}


class _Meter:
    """Work per second since the last time it was asked."""

    def __init__(self, now_s: float) -> None:
        self.restart(now_s)

    def restart(self, now_s: float) -> None:
        self._since_s, self._steps, self._work = now_s, 0, dict[str, float]()

    def add(self, work: Mapping[str, float]) -> None:
        self._steps += 1
        for k, v in work.items():
            self._work[k] = self._work.get(k, 0.0) + v

    def rates(self, now_s: float, facts: Mapping[str, Any]) -> dict[str, float]:
        seconds = max(now_s - self._since_s, 1e-9)
        rates = {f"{k}_per_s": v / seconds for k, v in self._work.items()} | {"steps_per_s": self._steps / seconds}
        if "flops_per_s" in rates and facts.get("peak_flops_per_s"):
            rates["mfu"] = rates["flops_per_s"] / facts["peak_flops_per_s"]
        self.restart(now_s)
        return rates
