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
    UniqueConstraint,
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

# an API key, without its secret; ``limits`` as in `kinema.serve.keys.KeyLimits`
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

# what a key has had on a day (days since 1970, UTC)
key_usage = Table(
    "key_usage",
    metadata,
    Column("key_id", String(12), ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("jobs", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
)

# signing secrets: of an endpoint (its id), or of an owner for webhooks of single jobs; the old one signs too until ``old_until``
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("holder", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("old_secret", Text),
    Column("old_until", Double),
)

# where an owner's events go, or, with ``job_id``, those of one job
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("job_id", String(30), ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("failures", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("webhook_endpoints_owner", "owner", "id"),
    Index("webhook_endpoints_job", "job_id"),
)

# unfinished jobs whose events somebody hears, and the number of the last that became deliveries
webhook_cursors = Table("webhook_cursors", metadata, _job_id(), Column("number", Integer, nullable=False))

# a message to an endpoint; ``id`` is its webhook-id. ``number`` is the job's event; null in a test
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("endpoint_id", String(30), ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", String(30)),
    Column("number", Integer),
    Column("kind", String(10), nullable=False),
    Column("payload", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("last_try", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("lease_until", Double),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    UniqueConstraint("endpoint_id", "job_id", "number", name="webhook_deliveries_once"),
    Index("webhook_deliveries_due", "status", "next_at"),
    Index("webhook_deliveries_log", "endpoint_id", "id"),
)

# every try of a delivery, by its number
webhook_tries = Table(
    "webhook_tries",
    metadata,
    Column("delivery_id", String(30), ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("status_code", Integer),
    Column("error", Text),
)
