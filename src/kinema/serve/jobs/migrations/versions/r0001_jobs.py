"""Jobs, events, attempts, step log, checkpoints, blobs, idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The first tables. Frozen: later changes are revisions of their own."""
    text, number, time, json = sa.Text(), sa.Integer(), sa.Double(), sa.JSON()

    def column(name: str, kind: sa.types.TypeEngine, *, null: bool = False, key: bool = False) -> sa.Column:
        return sa.Column(name, kind, nullable=null, primary_key=key)

    def job_id(*, null: bool = False, key: bool = True) -> sa.Column:
        to_job = sa.ForeignKey("jobs.id", ondelete="CASCADE")
        return sa.Column("job_id", sa.String(30), to_job, nullable=null, primary_key=key)

    op.create_table(
        "jobs",
        column("id", sa.String(30), key=True),
        *(column(name, text) for name in ("owner", "dialect", "kind", "model")),
        *(column(name, json) for name in ("request", "resolved", "parents")),
        *(column(name, text) for name in ("plan_key", "shape")),
        column("num_steps", number),
        column("cost", time),
        column("priority", number),
        column("position", sa.BigInteger()),
        column("status", sa.String(10)),
        column("paused", sa.Boolean()),
        column("worker", text, null=True),
        column("lease_until", time, null=True),
        column("begun", sa.Boolean()),
        *(column(name, number) for name in ("fence", "deaths", "deaths_here", "passed", "done_steps")),
        *(column(name, number) for name in ("checkpoint_step", "checkpoint_every")),
        column("phase", text, null=True),
        *(column(name, number) for name in ("step", "steps", "last_event")),
        *(column(name, json, null=True) for name in ("result", "error")),
        column("created_at", time),
        *(column(name, time, null=True) for name in ("started_at", "finished_at", "expires_at")),
    )
    op.create_table(
        "events",
        job_id(),
        column("number", number, key=True),
        column("at", time),
        column("kind", text),
        column("data", json),
    )
    op.create_table(
        "attempts",
        job_id(),
        column("fence", number, key=True),
        *(column(name, text) for name in ("owner", "worker", "device")),
        column("claimed_at", time),
        column("started_at", time, null=True),
        column("from_step", number, null=True),
        column("ended_at", time, null=True),
        column("outcome", text, null=True),
    )
    op.create_table(
        "steps", job_id(), column("fence", number, key=True), column("step", number, key=True), column("at", time)
    )
    op.create_table(
        "checkpoints",
        job_id(),
        column("fence", number),
        column("step", number),
        column("blob", text),
        column("meta", json),
        column("at", time),
    )
    op.create_table("blobs", job_id(), column("role", sa.String(10), key=True), column("blob", text, key=True))
    op.create_table(
        "idempotency_keys",
        column("owner", text, key=True),
        column("key", text, key=True),
        column("fingerprint", text),
        column("token", text),
        job_id(null=True, key=False),
        column("reserved_until", time),
        column("expires_at", time),
    )
    for name, table, columns in (
        ("jobs_queue", "jobs", ["status", "priority", "position"]),
        ("jobs_of_owner", "jobs", ["owner", "id"]),
        ("jobs_leases", "jobs", ["status", "lease_until"]),
        ("jobs_finished", "jobs", ["model", "finished_at"]),
        ("jobs_position", "jobs", ["position"]),
        ("attempts_served", "attempts", ["claimed_at", "owner"]),
        ("checkpoints_blob", "checkpoints", ["blob"]),
        ("blobs_blob", "blobs", ["blob"]),
        ("idempotency_keys_expiry", "idempotency_keys", ["expires_at"]),
        ("idempotency_keys_job", "idempotency_keys", ["job_id"]),
    ):
        op.create_index(name, table, columns)
