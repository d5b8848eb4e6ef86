"""What can be asked of a job, and what comes of it: events or a refusal. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kinema.serve.jobs.job import JobError, Order, check_json, check_text

# the third worker in a row that dies with a job, no checkpoint between, was killed by it
MAX_DEATHS = 3


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many jobs may wait: of one owner, and of all."""

    per_owner: int = 100
    total: int = 1000


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job; its number is given when it is stored."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


RefusalCode = Literal[
    "not_found",  # no such job, or another owner's
    "queue_full",  # see ``retry_after_s``
    "exists",  # the id is taken
    "stale_fence",  # another worker has the job, or none: stop, publish nothing
    "canceling",  # stop, and confirm
    "finished",  # nothing more happens to it
    "not_finished",
    "not_queued",
    "begun",  # too late: an attempt was made, or this one has started
    "lease_live",  # its worker is alive
    "wrong_step",  # not the step after the one before
    "not_due",  # its time has not come
    "not_a_neighbour",  # of another owner or priority, or not in the queue
    "reservation_lost",  # another request with the same Idempotency-Key went on
]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a command was not carried out; nothing has changed."""

    code: RefusalCode
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Submit:
    """A new job. ``waiting`` and ``waiting_of_owner`` count the queue."""

    id: str
    order: Order
    position: int
    waiting: int
    waiting_of_owner: int
    limits: Limits = field(default_factory=Limits)
    expires_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker takes the job for ``lease_s`` seconds. ``device`` is what runs are compared by."""

    worker: str
    device: str
    lease_s: float

    def __post_init__(self) -> None:
        check_text("worker", self.worker)
        check_text("device", self.device)


@dataclass(frozen=True, kw_only=True)
class WorkerCommand:
    """What only the worker with the latest claim may ask: ``fence`` is the number that its claim got."""

    fence: int


@dataclass(frozen=True, kw_only=True)
class Heartbeat(WorkerCommand):
    """The worker lives: its lease ends ``lease_s`` from now. Says nothing of progress."""

    lease_s: float


@dataclass(frozen=True, kw_only=True)
class Start(WorkerCommand):
    """Work begins at ``from_step``: that of the last checkpoint, or 0 where it can't be used. A checkpoint every so many steps follows.

    Once in an attempt, and before its first step.
    """

    from_step: int
    checkpoint_every: int


@dataclass(frozen=True, kw_only=True)
class Step(WorkerCommand):
    """Denoising step ``step`` (from 1) is about to run; the log counts it. Asked before, so that a zombie's steps are refused."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Report(WorkerCommand):
    """Progress to be seen: ``step`` of ``steps`` of ``phase``; ``data`` goes into the event (a preview's blob, an ETA)."""

    phase: str
    step: int
    steps: int
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text("phase", self.phase)
        check_json("data", self.data)


@dataclass(frozen=True, kw_only=True)
class SaveCheckpoint(WorkerCommand):
    """The state after ``step`` steps is in ``blob``, which is already written; ``meta`` names its plan and model."""

    step: int
    blob: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text("blob", self.blob)
        check_json("meta", self.meta)


@dataclass(frozen=True, kw_only=True)
class Succeed(WorkerCommand):
    """The files are written: ``outputs`` are their blobs, ``result`` describes them. They stay ``keep_s`` seconds, or for good."""

    result: Mapping[str, Any]
    outputs: tuple[str, ...] = ()
    keep_s: float | None = None

    def __post_init__(self) -> None:
        check_json("result", self.result)
        for blob in self.outputs:
            check_text("outputs", blob)


@dataclass(frozen=True, kw_only=True)
class Fail(WorkerCommand):
    """It can't be done."""

    error: JobError


@dataclass(frozen=True, kw_only=True)
class ConfirmCancel(WorkerCommand):
    """The worker has stopped as it was asked to."""


@dataclass(frozen=True, kw_only=True)
class Release(WorkerCommand):
    """The worker gives the job back unfinished and in good health (it drains, or a pause is wanted); best right after a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class WorkerDied(WorkerCommand):
    """Whoever watches the worker saw it die; no need to wait for the lease."""

    max_deaths: int = MAX_DEATHS


@dataclass(frozen=True, kw_only=True)
class ExpireLease:
    """The worker has not said that it lives for as long as its lease."""

    max_deaths: int = MAX_DEATHS


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop it. Asked twice it is the same."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Don't begin it; if it runs, its worker is asked to let go."""


@dataclass(frozen=True, kw_only=True)
class Resume:
    """The end of a pause."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Another order in the place of the old; before the first attempt only."""

    order: Order


@dataclass(frozen=True, kw_only=True)
class Move:
    """Another place among the owner's jobs; ``is_shift``: it makes room for one that was moved, and nobody is told."""

    position: int
    is_shift: bool = False


@dataclass(frozen=True, kw_only=True)
class PassOver:
    """A job of a warm model goes first, once."""


@dataclass(frozen=True, kw_only=True)
class Expire:
    """Its deadline in the queue, or the end of its files, has come."""


Command = (
    Submit | Claim | Heartbeat | Start | Step | Report | SaveCheckpoint | Succeed | Fail | ConfirmCancel | Release
    | WorkerDied | ExpireLease | Cancel | Pause | Resume | Edit | Move | PassOver | Expire
)  # fmt: skip
