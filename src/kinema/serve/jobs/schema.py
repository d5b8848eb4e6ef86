"""The tables, the same on SQLite and PostgreSQL. Times are seconds since 1970. A change here needs a revision in ``migrations``."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()


def _job_id() -> Column[str]:
    return Column("job_id", String(30), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


# JSON and not JSONB: what was asked for is kept as it came, in its order and with every character
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", JSON, nullable=False),
    Column("resolved", JSON, nullable=False),
    Column("parents", JSON, nullable=False),
    Column("plan_key", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("num_steps", Integer, nullable=False),
    Column("cost", Double, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("status", String(10), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("worker", Text),
    Column("lease_until", Double),
    Column("begun", Boolean, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("deaths_here", Integer, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("done_steps", Integer, nullable=False),
    Column("checkpoint_step", Integer, nullable=False),
    Column("checkpoint_every", Integer, nullable=False),
    Column("phase", Text),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("last_event", Integer, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Index("jobs_queue", "status", "priority", "position"),
    Index("jobs_of_owner", "owner", "id"),
    Index("jobs_leases", "status", "lease_until"),
    Index("jobs_finished", "model", "finished_at"),
    Index("jobs_position", "position"),
)

# what every subscriber is told, numbered from 1 in each job
events = Table(
    "events",
    metadata,
    _job_id(),
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", JSON, nullable=False),
)

# one row a claim; ``outcome`` is null while it lasts
attempts = Table(
    "attempts",
    metadata,
    _job_id(),
    Column("fence", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("claimed_at", Double, nullable=False),
    Column("started_at", Double),
    Column("from_step", Integer),
    Column("ended_at", Double),
    Column("outcome", Text),
    Index("attempts_served", "claimed_at", "owner"),
)

# the step log: every step that an attempt was allowed to run
steps = Table(
    "steps",
    metadata,
    _job_id(),
    Column("fence", Integer, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("at", Double, nullable=False),
)

# the last one of each job that is not finished
checkpoints = Table(
    "checkpoints",
    metadata,
    _job_id(),
    Column("fence", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("blob", Text, nullable=False),
    Column("meta", JSON, nullable=False),
    Column("at", Double, nullable=False),
    Index("checkpoints_blob", "blob"),
)

# which files jobs need, so that the others can be swept away
blobs = Table(
    "blobs",
    metadata,
    _job_id(),
    Column("role", String(10), primary_key=True),
    Column("blob", Text, primary_key=True),
    Index("blobs_blob", "blob"),
)

# ``job_id`` is null while the first request is under way
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("job_id", String(30), ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("reserved_until", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("idempotency_keys_expiry", "expires_at"),
    Index("idempotency_keys_job", "job_id"),
)
