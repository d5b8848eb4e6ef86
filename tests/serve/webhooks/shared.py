"""What tests of webhooks share: an open guard that reaches nobody, and lives of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from kinema.serve.fetch import Guard
from kinema.serve.jobs.commands import Fail, Report, Start, Step, Succeed
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.store import JobStore
from kinema.serve.webhooks.endpoints import watch
from kinema.serve.webhooks.messages import DEFAULT_KINDS
from tests.serve.shared import order


def nowhere(name: str, port: int) -> Sequence[str]:
    raise OSError("no such name")


GUARD = Guard(resolve=nowhere)
URL = "https://receiver.example/hook"


def submit(store: JobStore, owner: str = "ann", url: str | None = None, events: Sequence[str] = DEFAULT_KINDS) -> Job:
    job = store.submit(order(owner), within=[watch(GUARD, url=url, events=events)])
    assert isinstance(job, Job)
    return job


def begin(store: JobStore) -> Job:
    """The next job in the queue, started."""
    (job,) = store.claim("w", lease_s=60)
    started = store.apply(job.id, Start(fence=job.fence, from_step=0, checkpoint_every=2))
    assert isinstance(started, Job)
    return started


def progress(store: JobStore, job: Job, *steps: int) -> None:
    for step in steps:
        report = Report(fence=job.fence, phase="denoise", step=step, steps=5)
        assert isinstance(store.apply(job.id, Step(fence=job.fence, step=step), report), Job)


def succeed(store: JobStore, job: Job) -> None:
    assert isinstance(store.apply(job.id, Succeed(fence=job.fence, result={"outputs": {}})), Job)


def fail(store: JobStore, job: Job) -> None:
    error = JobError(code="model.broken", message="it broke", retryable=True)
    assert isinstance(store.apply(job.id, Fail(fence=job.fence, error=error)), Job)
