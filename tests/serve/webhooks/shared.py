"""What tests of webhooks share: an open guard that reaches nobody, lives of jobs, a deliverer at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kinema.serve.fetch import Guard
from kinema.serve.jobs.commands import Fail, Report, Start, Step, Succeed
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.store import JobStore
from kinema.serve.webhooks.deliverer import Deliverer
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


@contextmanager
def delivering(deliverer: Deliverer) -> Iterator[None]:
    """``deliverer`` in a thread; ends what it sends."""
    stop = threading.Event()
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
