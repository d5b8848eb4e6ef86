"""Jobs as rows of the table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kinema.core.jobs import JobState
from kinema.serve.jobs.job import (
    Canceled,
    Canceling,
    Expired,
    Failed,
    Job,
    JobError,
    Order,
    Queued,
    Running,
    State,
    Succeeded,
)

_ORDER = ("owner", "dialect", "kind", "model", "request", "resolved", "plan_key", "shape", "cost", "priority")
_COUNTERS = (
    "id", "position", "fence", "deaths", "deaths_here", "passed", "done_steps", "checkpoint_step", "checkpoint_every",
    "phase", "step", "steps", "last_event", "created_at", "started_at", "finished_at", "expires_at",
)  # fmt: skip


def row_of(job: Job) -> dict[str, Any]:
    """Column -> value."""
    state, order = job.state, job.order
    return {
        **{name: getattr(job, name) for name in _COUNTERS},
        **{name: getattr(order, name) for name in _ORDER},
        "num_steps": order.steps,
        "parents": list(order.parents),
        "status": job.status.value,
        "paused": (isinstance(state, Queued) and state.paused) or (isinstance(state, Running) and state.pause_wanted),
        "worker": state.worker if isinstance(state, (Running, Canceling)) else None,
        "lease_until": state.lease_until if isinstance(state, (Running, Canceling)) else None,
        "begun": isinstance(state, Running) and state.begun,
        "result": dict(state.result) if isinstance(state, Succeeded) else None,
        "error": asdict(state.error) if isinstance(state, Failed) else None,
    }


def job_of(row: Mapping[Any, Any]) -> Job:
    """The job that `row_of` gave the row of."""
    order = Order(
        **{name: row[name] for name in _ORDER},
        steps=row["num_steps"],
        parents=tuple(row["parents"]),
    )
    return Job(order=order, state=_state_of(row), **{name: row[name] for name in _COUNTERS})


def _state_of(row: Mapping[Any, Any]) -> State:
    match JobState(row["status"]):
        case JobState.QUEUED:
            return Queued(paused=row["paused"])
        case JobState.RUNNING:
            lease = {"worker": row["worker"], "lease_until": row["lease_until"]}
            return Running(**lease, begun=row["begun"], pause_wanted=row["paused"])
        case JobState.CANCELING:
            return Canceling(worker=row["worker"], lease_until=row["lease_until"])
        case JobState.SUCCEEDED:
            return Succeeded(result=row["result"])
        case JobState.FAILED:
            return Failed(error=JobError(**row["error"]))
        case JobState.CANCELED:
            return Canceled()
        case JobState.EXPIRED:
            return Expired()
