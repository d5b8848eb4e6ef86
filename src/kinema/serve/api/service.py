"""What the routes work with, and how a request becomes a job. What is not async blocks: routes run it in threads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from kinema.core.errors import InvalidInput, StorageError, UnsupportedRequest
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.serve.api.auth import Authenticate
from kinema.serve.api.intake import Intake
from kinema.serve.api.metrics import Meters
from kinema.serve.api.orders import Dialect, Draft, Drafts, made_from
from kinema.serve.api.planner import Planned, Planner
from kinema.serve.api.problems import ApiError, not_found, of_input, of_refusal
from kinema.serve.api.queue import QueueView
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs import keys
from kinema.serve.jobs.commands import Command, Edit, Refusal
from kinema.serve.jobs.job import Job, Order
from kinema.serve.jobs.schema import blobs, jobs
from kinema.serve.jobs.store import JobStore
from kinema.serve.keys import Caller, charge, recharge
from kinema.serve.settings import Settings
from kinema.wire.fields import JOB_ID
from kinema.wire.requests import VideoChange

P = ParamSpec("P")
T = TypeVar("T")
# what runs in the transaction that makes a job; if it raises, there is no job
Within = Callable[[Connection, Job, float], None]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job, made now or (``is_replay``) by an earlier request with the same Idempotency-Key."""

    job: Job
    is_replay: bool = False


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of one server. ``on_submit`` gets each job's webhook URL, or None, and gives what runs when the job is made."""

    settings: Settings
    store: JobStore
    blobs: BlobStore
    planner: Planner
    authenticate: Authenticate
    intake: Intake
    queue: QueueView
    meters: Meters
    on_submit: Callable[[str | None], Within] | None = None

    async def quickly(self, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``look``, a short look at the database, gives.

        On SQLite at once: readers wait for nobody there, and a way to another thread and back takes three times as long as the look.
        """
        if self.store.database.is_sqlite:
            return look(*args, **kwargs)
        return await run_in_threadpool(look, *args, **kwargs)

    def find(self, job_id: str, caller: Caller) -> Job:
        """The caller's job. Raises: ApiError."""
        job = self.store.get(job_id, owner=caller.owner) if re.fullmatch(JOB_ID, job_id) else None
        if job is None:
            raise not_found()
        return job

    def drafts(self, caller: Caller, base_url: str) -> Drafts:
        """What makes the caller's drafts."""
        return Drafts(
            self.planner,
            lambda job_id: self.store.get(job_id, owner=caller.owner),
            maker=lambda data: self._maker(data, caller.owner),
            base_url=base_url,
        )

    def plan(self, draft: Draft) -> Planned:
        """What ``draft`` comes to. Raises: ApiError in the caller's words."""
        try:
            return self.planner.resolve(draft.request, rewrites=draft.rewrites)
        except InvalidInput as e:
            raise of_input(e, draft.names) from e

    def submit(self, make: Callable[[], Draft], caller: Caller, *, key: str | None, asked: Any) -> Submitted:
        """The job of the draft that ``make`` gives. With an Idempotency-Key the same ``asked`` makes it once.

        Raises: ApiError; there is no job then, and the key is free again.
        """
        if key is None:
            return Submitted(job=self._submit(make(), caller, None))
        held = keys.reserve(self.store.database, caller.owner, key, fingerprint=fingerprint(asked))
        match held:
            case keys.Replay(job_id=job_id):
                return Submitted(job=self.find(job_id, caller), is_replay=True)
            case keys.Conflict():
                message = "this Idempotency-Key was used for another request within the last day"
                raise ApiError(422, "idempotency.conflict", message, field="Idempotency-Key")
            case keys.InFlight(retry_after_s=retry_after_s):
                message = "the first request with this Idempotency-Key is not finished yet"
                raise ApiError(
                    409, "idempotency.in_flight", message, field="Idempotency-Key", retry_after_s=min(2, retry_after_s)
                )
        try:
            return Submitted(job=self._submit(make(), caller, held))
        except BaseException:
            # whatever came of it, the client may try again; a key that can't be given back ends by itself
            with suppress(StorageError):
                keys.abandon(self.store.database, held)
            raise

    def _submit(self, draft: Draft, caller: Caller, reservation: keys.Reservation | None) -> Job:
        check_priority(draft.priority, caller)
        within = self._within(draft)
        # everything that can be refused without a picture is, before one is fetched
        planned = self.plan(draft)
        refs = self.intake.keep(draft.pictures)
        asked, planned = (
            with_pictures(draft.request, refs),
            replace(planned, request=with_pictures(planned.request, refs)),
        )
        order = self._order(asked, planned, draft, caller.owner)
        outcome = self.store.submit(
            order,
            reservation=reservation,
            inputs=media_of(asked),
            wait_s=draft.wait_s,
            within=[charge(caller, seconds=_seconds(planned.request)), *within],
        )
        return accepted(outcome)

    def _within(self, draft: Draft) -> list[Within]:
        if self.on_submit is not None:
            return [self.on_submit(draft.webhook_url)]
        if draft.webhook_url is not None:
            raise UnsupportedRequest("webhook_url", draft.webhook_url, "this server sends no webhooks")
        return []

    def change(self, job: Job, form: VideoChange, caller: Caller, *, drafts: Drafts, dialect: Dialect) -> Job:
        """``job`` with the fields that ``form`` names, in the words of ``dialect``. Raises: ApiError."""
        given = form.model_fields_set
        if "priority" in given:
            check_priority(form.priority, caller)
        if given <= {"priority"}:
            order = replace(job.order, **dict.fromkeys(given, form.priority))
        else:
            draft = drafts.change(job, form, dialect)
            # a seed that was drawn was told, and stays as well
            seed = draft.request.seed if "seed" in given else made_from(job).seed
            planned = self.plan(replace(draft, request=draft.request.replace(seed=seed)))
            order = self._order(draft.request, planned, draft, job.order.owner)
        more = recharge(caller, lambda job: _seconds(made_from(job)))
        return accepted(self.store.apply(job.id, Edit(order=order), owner=job.order.owner, within=more))

    def apply(self, job: Job, command: Command) -> Job:
        """The job after ``command``. Raises: ApiError."""
        return accepted(self.store.apply(job.id, command, owner=job.order.owner))

    def dry_run(self, draft: Draft, caller: Caller) -> dict[str, Any]:
        """What ``draft`` would take; no picture is fetched and no job made. Raises: ApiError."""
        check_priority(draft.priority, caller)
        self._within(draft)
        planned = self.plan(draft)
        for _, field, picture in draft.pictures:
            self.intake.check(picture, field)
        eta = self.queue.run_time(
            model=planned.request.model, shape=planned.shape, steps=planned.steps, cost=planned.cost
        )
        resolved = planned.request.to_dict()
        # pictures that are not here yet have no content to be named by
        resolved.pop("keyframes", None) if draft.pictures else None
        return {
            "object": "video.dry_run",
            "model": planned.request.model,
            "resolved": resolved,
            "warnings": [*draft.warnings, *planned.warnings],
            "shape": planned.shape,
            "steps": planned.steps,
            **self.planner.dry_run(planned),
            "run_seconds": eta and round(eta.median_s, 2),
            "run_p90_seconds": eta and round(eta.p90_s, 2),
            "queue_length": self.queue.length(),
        }

    def _maker(self, data: bytes, owner: str) -> str | None:
        blob = f"sha256:{hashlib.sha256(data).hexdigest()}"
        of_blob = (blobs.c.blob == blob, blobs.c.role == "output", jobs.c.owner == owner)
        query = select(jobs.c.id).join(blobs, blobs.c.job_id == jobs.c.id).where(*of_blob).order_by(jobs.c.id.desc())
        with self.store.database.read() as (connection, _):
            return connection.scalar(query.limit(1))

    def _order(self, asked: GenerationRequest, planned: Planned, draft: Draft, owner: str) -> Order:
        return planned.order(
            asked,
            warnings=draft.warnings,
            rewrites=draft.rewrites,
            owner=owner,
            dialect=draft.dialect,
            kind=draft.kind,
            priority=draft.priority,
            parents=draft.parents,
        )


def accepted(outcome: Job | Refusal) -> Job:
    """The job. Raises: ApiError for a refusal."""
    if isinstance(outcome, Refusal):
        raise of_refusal(outcome)
    return outcome


def check_priority(priority: int, caller: Caller) -> None:
    """Raises: ApiError if the caller's key may not ask for so much."""
    most = caller.limits.max_priority
    if caller.key_id is not None and priority > most:
        message = f"priority: {priority}: this key may ask for {most} at most"
        raise ApiError(403, "auth.priority", message, field="priority")


def _seconds(request: GenerationRequest) -> float:
    """The length of the clip that a worker makes of ``request``."""
    return request.frames / request.fps if request.frames and request.fps else 0.0


def with_pictures(request: GenerationRequest, refs: Mapping[int, str]) -> GenerationRequest:
    """``request`` with its keyframes' pictures in their places."""
    frames = request.keyframes
    return request.replace(
        keyframes=tuple(Keyframe(MediaRef(refs[i]), k.at_s) if i in refs else k for i, k in enumerate(frames))
    )


def media_of(request: GenerationRequest) -> list[str]:
    """The blobs that ``request`` needs."""
    source = [] if request.source is None else [request.source.ref]
    return [*(k.media.ref for k in request.keyframes), *source]


def fingerprint(asked: Any) -> str:
    """A hash of what is asked for: fields as they were understood, files by their content."""

    def plain(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return value.model_dump(exclude_unset=True)
        return hashlib.sha256(value).hexdigest()

    return hashlib.sha256(json.dumps(asked, default=plain, sort_keys=True).encode()).hexdigest()
