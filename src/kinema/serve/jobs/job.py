"""What a job is: what was asked for, a state out of a tagged union, and the counters that its guarantees rest on. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kinema.core.checks import check_number, check_whole
from kinema.core.errors import InvalidInput
from kinema.core.jobs import JobState

MAX_TEXT = 200


def check_text(name: str, value: object, *, least: int = 1) -> None:
    """Raises: InvalidInput unless ``value`` is printable text of ``least`` to `MAX_TEXT` characters, which every database can hold."""
    if not isinstance(value, str) or not least <= len(value) <= MAX_TEXT or not value.isprintable():
        raise InvalidInput(name, value, f"must be printable text of {least} to {MAX_TEXT} characters")


def check_json(name: str, value: object) -> None:
    """Raises: InvalidInput unless ``value`` is an object that JSON can hold; NaN and infinity it can't."""
    if not isinstance(value, Mapping):
        raise InvalidInput(name, value, "must be an object")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise InvalidInput(name, value, f"must be JSON ({e})") from e


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for.

    Args:
        owner: the key or tenant that asks; a fair share is each owner's.
        request: as it came; ``resolved`` has every default made explicit.
        plan_key: jobs with the same may run as one batch; empty: alone.
        shape: the clip's, as text; with ``model``, ``steps`` and ``cost`` (any unit that grows with the work, such as FLOPs) what is
            known of earlier runs is carried over.
        steps: denoising steps, as the step log counts them.
        priority: higher goes first.
        parents: jobs that this one goes on from.

    Raises: InvalidInput.
    """

    owner: str
    model: str
    request: Mapping[str, Any]
    resolved: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "generate"
    dialect: str = "native"
    plan_key: str = ""
    shape: str = ""
    steps: int = 0
    cost: float = 1.0
    priority: int = 0
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("owner", "model", "kind", "dialect"):
            check_text(name, getattr(self, name))
        for name in ("plan_key", "shape"):
            check_text(name, getattr(self, name), least=0)
        for name in ("request", "resolved"):
            check_json(name, getattr(self, name))
        check_whole("steps", self.steps, least=0, most=100_000)
        check_whole("priority", self.priority, least=-100, most=100)
        check_number("cost", self.cost, above=0, most=1e30)
        if not isinstance(self.parents, tuple):
            raise InvalidInput("parents", self.parents, "must be a tuple of ids")
        for parent in self.parents:
            check_text("parents", parent)


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job failed: a dotted ``code``, one line, and whether the same job may succeed another time."""

    code: str
    message: str
    retryable: bool = False


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Waits for a worker; ``paused``: until it is resumed."""

    status: ClassVar[JobState] = JobState.QUEUED
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Running:
    """``worker`` has it until ``lease_until`` (seconds since 1970), and longer if it says so; ``begun``: it has started to work.

    ``pause_wanted``: it is asked to let go.
    """

    status: ClassVar[JobState] = JobState.RUNNING
    worker: str
    lease_until: float
    begun: bool = False
    pause_wanted: bool = False


@dataclass(frozen=True, kw_only=True)
class Canceling:
    """The worker that has it is asked to stop."""

    status: ClassVar[JobState] = JobState.CANCELING
    worker: str
    lease_until: float


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """Done; ``result`` says where the files are."""

    status: ClassVar[JobState] = JobState.SUCCEEDED
    result: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Given up."""

    status: ClassVar[JobState] = JobState.FAILED
    error: JobError


@dataclass(frozen=True, kw_only=True)
class Canceled:
    """Stopped on request."""

    status: ClassVar[JobState] = JobState.CANCELED


@dataclass(frozen=True, kw_only=True)
class Expired:
    """Its files are gone, or it waited past its deadline."""

    status: ClassVar[JobState] = JobState.EXPIRED


State = Queued | Running | Canceling | Succeeded | Failed | Canceled | Expired


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job at one moment. Times are seconds since 1970.

    ``fence`` counts the claims so far: a worker's commits carry the number that its claim got, and an old one is refused. ``position`` is
    the place among jobs of the same owner and priority. ``deaths`` counts the workers that died with it, ``deaths_here`` those since
    its last new checkpoint; ``passed`` how often a job of a warm model went before it. ``done_steps`` are those of this attempt and,
    below ``checkpoint_step``, of earlier ones; ``phase``, ``step``, ``steps`` are the progress last told. ``expires_at``: of a queued
    job the deadline, of a finished one the end of its files.
    """

    id: str
    order: Order
    position: int
    created_at: float
    state: State = field(default_factory=Queued)
    fence: int = 0
    deaths: int = 0
    deaths_here: int = 0
    passed: int = 0
    done_steps: int = 0
    checkpoint_step: int = 0
    checkpoint_every: int = 0
    phase: str | None = None
    step: int = 0
    steps: int = 0
    last_event: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None

    @property
    def status(self) -> JobState:
        """Its state's name."""
        return self.state.status
