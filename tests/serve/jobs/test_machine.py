"""A store in the hands of chance, beside a model of it that is simple enough to be believed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule

from kinema.core.jobs import JobState
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.commands import Limits, Refusal
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.reading import attempts_of, audit_steps, events_after, last_checkpoint, list_jobs
from kinema.serve.jobs.retention import collect
from kinema.serve.jobs.store import open_store
from tests.serve.shared import Clock, order, queue_order

LEASE_S, KEEP_S, EVERY, STEPS = 10.0, 40.0, 2, 5
LIMITS = Limits(per_owner=3, total=5)


@dataclass
class Known:
    """What the model knows of a job: ``holder`` is the fence of the claim that is live, if any."""

    owner: str
    status: str = "queued"
    paused: bool = False
    holder: int | None = None
    begun: bool = False
    fence: int = 0
    lease_until: float = 0.0
    done: int = 0
    checkpoint: int = 0
    deaths: int = 0
    deaths_here: int = 0
    expires_at: float | None = None
    num_steps: int = 0
    events: list[str] = field(default_factory=lambda: ["queued"])

    @property
    def is_over(self) -> bool:
        return self.status in ("succeeded", "failed", "canceled", "expired")

    def end(self, status: str) -> None:
        self.status, self.holder = status, None
        self.events.append(status)

    def back(self) -> None:
        """Its worker let go of it."""
        if self.status == "canceling":
            self.end("canceled")
        else:
            self.status, self.holder, self.done = "queued", None, self.checkpoint
            self.events.append("paused" if self.paused else "queued")

    def die(self) -> None:
        self.deaths, self.deaths_here = self.deaths + 1, self.deaths_here + 1
        if self.status == "running" and self.deaths_here == c.MAX_DEATHS:
            self.end("failed")
        else:
            self.back()


class Jobs(RuleBasedStateMachine):
    """Workers hold claims (job, fence) for as long as they like, so that most of what they ask comes too late."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = open_store(f"sqlite:///{self.folder.name}/jobs.db", clock=self.clock, limits=LIMITS)
        self.known: dict[str, Known] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def waiting(self, owner: str | None = None) -> int:
        return sum(k.status == "queued" and owner in (None, k.owner) for k in self.known.values())

    def ask(self, claim: tuple[str, int], command: c.Command, *, fits: bool, while_canceling: bool = False) -> bool:
        """Whether ``command`` of a worker was carried out, which has to be so exactly if its claim is live and it ``fits``."""
        job_id, fence = claim
        known = self.known[job_id]
        is_live = known.holder == fence and (while_canceling or known.status == "running")
        outcome = self.store.apply(job_id, command)
        assert isinstance(outcome, Job) == (is_live and fits), (outcome, known)
        return isinstance(outcome, Job)

    @rule(target=jobs, owner=st.sampled_from(["ann", "bob"]), priority=st.integers(0, 1))
    def submit(self, owner: str, priority: int):
        fits = self.waiting(owner) < LIMITS.per_owner and self.waiting() < LIMITS.total
        job = self.store.submit(order(owner, priority=priority, steps=STEPS))
        assert isinstance(job, Job) == fits
        if isinstance(job, Refusal):
            assert job.code == "queue_full"
            return multiple()
        self.known[job.id] = Known(owner=owner)
        return job.id

    @rule(target=claims, most=st.integers(1, 2))
    def claim(self, most: int):
        self._reap()
        foretold = queue_order(self.store.database)
        claimed = self.store.claim("w", lease_s=LEASE_S, most=most)
        assert [j.id for j in claimed[:1]] == foretold[:1]
        for job in claimed:
            known = self.known[job.id]
            assert known.status == "queued"
            assert not known.paused
            assert job.fence == known.fence + 1
            known.status, known.holder, known.fence = "running", job.fence, job.fence
            known.lease_until, known.done = self.clock.now + LEASE_S, known.checkpoint
            known.begun = False
            known.events.append("running")
        assert claimed or not any(k.status == "queued" and not k.paused for k in self.known.values())
        self.clock.forward(0.001)
        return multiple(*((job.id, job.fence) for job in claimed))

    @rule(
        claim=claims,
        script=st.lists(st.sampled_from(["start", "step", "step", "save", "beat"]), min_size=1, max_size=9),
    )
    def work(self, claim: tuple[str, int], script: list[str]) -> None:
        """A worker goes about its job, in whatever order."""
        for what in script:
            getattr(self, what)(claim)

    def start(self, claim: tuple[str, int]) -> None:
        known = self.known[claim[0]]
        for wrong in (known.checkpoint + 1, known.checkpoint - 1 or -1):
            self.ask(claim, c.Start(fence=claim[1], from_step=wrong, checkpoint_every=EVERY), fits=False)
        command = c.Start(fence=claim[1], from_step=known.checkpoint, checkpoint_every=EVERY)
        if self.ask(claim, command, fits=not known.begun):
            known.begun, known.done = True, known.checkpoint
            known.events.append("started")

    def step(self, claim: tuple[str, int]) -> None:
        known = self.known[claim[0]]
        for wrong in (known.done, known.done + 2):
            self.ask(claim, c.Step(fence=claim[1], step=wrong), fits=False)
        # a worker that keeps its word: no more than so many steps without a checkpoint
        if known.done - known.checkpoint < EVERY:
            fits = known.begun and known.done < STEPS
            if self.ask(claim, c.Step(fence=claim[1], step=known.done + 1), fits=fits):
                known.done += 1
                known.num_steps += 1

    def save(self, claim: tuple[str, int]) -> None:
        known = self.known[claim[0]]
        self.ask(claim, c.SaveCheckpoint(fence=claim[1], step=known.done + 1, blob="b"), fits=False)
        command = c.SaveCheckpoint(fence=claim[1], step=known.done, blob=f"{claim}")
        if self.ask(claim, command, fits=known.checkpoint < known.done):
            known.checkpoint, known.deaths_here = known.done, 0
            known.events.append("checkpoint")
            saved = last_checkpoint(self.store.database, claim[0])
            assert saved is not None
            assert (saved.step, saved.blob) == (known.done, f"{claim}")

    def beat(self, claim: tuple[str, int]) -> None:
        known = self.known[claim[0]]
        (signal,) = self.store.heartbeat({claim[0]: claim[1]}, lease_s=LEASE_S).values()
        if known.holder != claim[1]:
            assert signal == "lost"
            return
        assert signal == ("cancel" if known.status == "canceling" else "pause" if known.paused else "go_on")
        known.lease_until = self.clock.now + LEASE_S

    @rule(claim=claims, how=st.sampled_from(["succeed", "fail", "confirm", "release", "die", "die", "die"]))
    def end(self, claim: tuple[str, int], how: str) -> None:
        """A worker is done with its job."""
        fence, known = claim[1], self.known[claim[0]]
        was_canceling = known.status == "canceling"
        if how == "succeed":
            command = c.Succeed(fence=fence, result={"by": fence}, keep_s=KEEP_S)
            if self.ask(claim, command, fits=True, while_canceling=True):
                known.end("succeeded")
                known.expires_at = self.clock.now + KEEP_S
        elif how == "fail":
            error = JobError(code="engine.failed", message="no")
            if self.ask(claim, c.Fail(fence=fence, error=error), fits=True, while_canceling=True):
                known.end("failed")
        elif how == "confirm":
            if self.ask(claim, c.ConfirmCancel(fence=fence), fits=was_canceling, while_canceling=True):
                known.end("canceled")
        elif how == "die":
            if self.ask(claim, c.WorkerDied(fence=fence), fits=True, while_canceling=True):
                known.die()
        # as a worker that drains does: at a checkpoint, or before its first step
        elif known.done == known.checkpoint and self.ask(
            claim, c.Release(fence=fence), fits=True, while_canceling=True
        ):
            known.back()

    @rule(job=jobs, what=st.sampled_from(["cancel", "pause", "resume", "resume", "edit"]))
    def wish(self, job: str, what: str) -> None:
        """The owner asks for something."""
        known = self.known[job]
        if what == "cancel":
            outcome = self.store.apply(job, c.Cancel())
            assert isinstance(outcome, Job) == (known.status in ("queued", "running", "canceling", "canceled"))
            if known.status == "queued":
                known.end("canceled")
            elif known.status == "running":
                known.status = "canceling"
                known.events.append("canceling")
        elif what == "edit":
            outcome = self.store.apply(job, c.Edit(order=order(known.owner, priority=1, steps=STEPS)))
            assert isinstance(outcome, Job) == (known.status == "queued" and not known.fence)
            if isinstance(outcome, Job):
                known.events.append("edited")
        else:
            outcome = self.store.apply(job, c.Pause() if what == "pause" else c.Resume())
            assert isinstance(outcome, Job) == (known.status in ("queued", "running"))
            if isinstance(outcome, Job) and known.paused != (what == "pause"):
                known.paused = what == "pause"
                told = "resumed" if not known.paused else "paused" if known.status == "queued" else "pausing"
                known.events.append(told)

    @rule(job=jobs, before=st.none() | jobs)
    def reorder(self, job: str, before: str | None) -> None:
        old = {j.id: j.position for j in list_jobs(self.store.database, limit=999)}
        outcome = self.store.reorder(job, before=before)
        new = {j.id: j.position for j in list_jobs(self.store.database, limit=999)}
        assert sorted(new.values()) == sorted(old.values())
        if isinstance(outcome, Job):
            self.known[job].events.append("moved")
            assert before is None or new[job] < new[before]
        else:
            assert new == old

    @rule(seconds=st.sampled_from([1.0, 4.0, 4.0, 11.0, 45.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self._reap()

    def _reap(self) -> None:
        due = {i for i, k in self.known.items() if k.holder is not None and k.lease_until <= self.clock.now}
        assert {job.id for job in self.store.reap()} == due
        for job_id in due:
            self.known[job_id].die()

    @precondition(lambda self: any(k.status == "succeeded" for k in self.known.values()))
    @rule()
    def expire(self) -> None:
        due = {
            i
            for i, k in self.known.items()
            if k.status == "succeeded" and k.expires_at is not None and k.expires_at <= self.clock.now
        }
        assert set(collect(self.store.database, keep_jobs_s=1e9, keep_events_s=1e9).expired) == due
        for job_id in due:
            self.known[job_id].end("expired")

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        stored = {job.id: job for job in list_jobs(self.store.database, limit=999)}
        assert set(stored) == set(self.known), "lost or doubled"
        for job_id, job in stored.items():
            known = self.known[job_id]
            assert (job.status, job.fence) == (JobState(known.status), known.fence)
            assert (job.deaths, job.checkpoint_step) == (known.deaths, known.checkpoint)
            assert job.status.is_final == known.is_over

    @invariant()
    def the_books_are_right(self) -> None:
        for job_id, known in self.known.items():
            told = events_after(self.store.database, job_id)
            assert [e.number for e in told] == list(range(1, len(told) + 1))
            assert [e.kind for e in told] == known.events
            audit = audit_steps(self.store.database, job_id)
            assert audit.executed == known.num_steps
            # the worker that holds it may be about to say how often it saves
            assert audit.executed <= STEPS + EVERY * known.deaths
            attempts = attempts_of(self.store.database, job_id)
            assert [a["fence"] for a in attempts] == list(range(1, known.fence + 1))
            live = [a["fence"] for a in attempts if a["outcome"] is None]
            assert live == ([] if known.holder is None else [known.holder]), "two leases, or none"


# a script that fails is read as it is: to shrink it takes minutes, every attempt with a database of its own
Jobs.TestCase.settings = settings(max_examples=20, stateful_step_count=40, phases=[Phase.generate])
TestJobs = Jobs.TestCase
