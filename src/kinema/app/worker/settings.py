"""What a worker process is told when it starts, as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kinema.serve.jobs.commands import MAX_DEATHS

# exit codes of a worker process, for the supervisor's log
HUNG, BROKEN = 70, 71


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """One worker on one device.

    Args:
        name: of this very process, never used again: whoever finds a job held by it after its end knows that nobody holds it.
        blobs: the folder of the `BlobStore`.
        models: names and folders of models that it runs.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; the machine's cores if not given.
        lease_s: how long a job is its own without a word from it; it speaks four times as often.
        checkpoint_every: steps between checkpoints, and so the most that a death costs.
        batch: the most jobs of one plan that are denoised together.
        patience_s: how long a job may show no progress at all until the process counts as hung, and ends.
        max_deaths: a job fails when so many workers in a row died with it, and none of them saved a checkpoint.
        keep_s: how long the files of a job are kept; None: for good.
        poll_s: between looks at an empty queue.
        report_every_s, preview_every_s: the least time between two events of progress, and between two pictures in them.
    """

    name: str
    database: str
    blobs: str
    models: tuple[str, ...] = ("kinema-mini",)
    device: str = "cpu"
    threads: int | None = None
    lease_s: float = 10.0
    checkpoint_every: int = 5
    batch: int = 1
    patience_s: float = 1800.0
    max_deaths: int = MAX_DEATHS
    keep_s: float | None = None
    poll_s: float = 0.1
    report_every_s: float = 0.25
    preview_every_s: float = 1.0

    @property
    def device_kind(self) -> str:
        """What the engine runs on and runs are compared by: ``cpu`` or ``cuda``."""
        return self.device.partition(":")[0]

    @property
    def device_index(self) -> int | None:
        """Which of several GPUs, if it is named."""
        number = self.device.partition(":")[2]
        return int(number) if number else None

    @property
    def blobs_root(self) -> Path:
        """The folder of the blobs."""
        return Path(self.blobs)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> WorkerSettings:
        """The settings that `to_json` wrote."""
        data = json.loads(line)
        return cls(**{**data, "models": tuple(data["models"])})
