"""States of a job and the moves between them. Standard library only."""

from __future__ import annotations

from enum import Enum

from kinema.core.errors import InvalidInput, choices


class JobState(str, Enum):
    """Where a job is. ``succeeded``, ``failed``, ``canceled`` and ``expired`` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job, but for the expiry of its files."""
        return not _MOVES[self] or self is JobState.SUCCEEDED


# A running job goes back to the queue when its worker dies; only the files of a success expire.
_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELED, JobState.EXPIRED, JobState.FAILED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELING, JobState.QUEUED}),
    JobState.CANCELING: frozenset({JobState.CANCELED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset({JobState.EXPIRED}),
    JobState.FAILED: frozenset(),
    JobState.CANCELED: frozenset(),
    JobState.EXPIRED: frozenset(),
}


def can_move(old: JobState, new: JobState) -> bool:
    """Whether a job may go from ``old`` to ``new``."""
    return new in _MOVES[old]


def move(old: JobState, new: JobState) -> JobState:
    """``new``, if a job may go there from ``old``. Raises: InvalidInput naming the moves that may."""
    if not can_move(old, new):
        allowed = choices(sorted(s.value for s in _MOVES[old])) if _MOVES[old] else "nothing: the state is final"
        raise InvalidInput("state", new.value, f"can't follow {old.value}; what can is {allowed}")
    return new
