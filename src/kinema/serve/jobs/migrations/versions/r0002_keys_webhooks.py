"""API keys and what they have used; webhooks: endpoints, secrets, cursors, deliveries and their tries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """New tables; the old stay as they are. Frozen: later changes are revisions of their own."""
    text, number, time, json, short = sa.Text(), sa.Integer(), sa.Double(), sa.JSON(), sa.String(30)

    def column(name: str, kind: sa.types.TypeEngine, *, null: bool = False, key: bool = False) -> sa.Column:
        return sa.Column(name, kind, nullable=null, primary_key=key)

    def link(
        name: str, to: str, kind: sa.types.TypeEngine = short, *, null: bool = False, key: bool = False
    ) -> sa.Column:
        return sa.Column(name, kind, sa.ForeignKey(to, ondelete="CASCADE"), nullable=null, primary_key=key)

    op.create_table(
        "api_keys",
        column("id", sa.String(12), key=True),
        *(column(name, text) for name in ("owner", "name")),
        column("secret_sha256", sa.String(64)),
        *(column(name, json) for name in ("scopes", "limits")),
        column("created_at", time),
        *(column(name, time, null=True) for name in ("expires_at", "revoked_at")),
    )
    op.create_table(
        "key_usage",
        link("key_id", "api_keys.id", sa.String(12), key=True),
        column("day", number, key=True),
        column("jobs", number),
        column("seconds", time),
    )
    op.create_table(
        "webhook_secrets",
        column("holder", text, key=True),
        column("secret", text),
        column("old_secret", text, null=True),
        column("old_until", time, null=True),
    )
    op.create_table(
        "webhook_endpoints",
        column("id", short, key=True),
        column("owner", text),
        link("job_id", "jobs.id", null=True),
        *(column(name, text) for name in ("url", "description")),
        column("events", json),
        column("enabled", sa.Boolean()),
        column("disabled_reason", text, null=True),
        column("failures", number),
        column("created_at", time),
    )
    op.create_table("webhook_cursors", link("job_id", "jobs.id", key=True), column("number", number))
    op.create_table(
        "webhook_deliveries",
        column("id", short, key=True),
        link("endpoint_id", "webhook_endpoints.id"),
        column("job_id", short, null=True),
        column("number", number, null=True),
        column("kind", sa.String(10)),
        column("payload", text),
        column("status", sa.String(10)),
        *(column(name, number) for name in ("tries", "last_try")),
        column("next_at", time),
        column("lease_until", time, null=True),
        column("created_at", time),
        column("finished_at", time, null=True),
        sa.UniqueConstraint("endpoint_id", "job_id", "number", name="webhook_deliveries_once"),
    )
    op.create_table(
        "webhook_tries",
        link("delivery_id", "webhook_deliveries.id", key=True),
        column("number", number, key=True),
        *(column(name, time) for name in ("at", "duration_s")),
        column("status_code", number, null=True),
        column("error", text, null=True),
    )
    for name, table, columns in (
        ("webhook_endpoints_owner", "webhook_endpoints", ["owner", "id"]),
        ("webhook_endpoints_job", "webhook_endpoints", ["job_id"]),
        ("webhook_deliveries_due", "webhook_deliveries", ["status", "next_at"]),
        ("webhook_deliveries_log", "webhook_deliveries", ["endpoint_id", "id"]),
    ):
        op.create_index(name, table, columns)
