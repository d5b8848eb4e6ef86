"""What is asked and answered about webhooks and API keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kinema.wire.fields import MAX_URL, Told, Wire

WebhookEvent = Literal["started", "progress", "completed", "failed", "canceled"]
Scope = Literal["submit", "read", "cancel", "admin"]
_Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=5)]
_Url = Annotated[str, Field(min_length=8, max_length=MAX_URL)]
_Text = Annotated[str, Field(max_length=200)]


class WebhookCreate(Wire):
    """`POST /v1/webhooks`."""

    url: _Url = Field(description="An http(s) URL of the public internet, or one that this server's operator allows.")
    events: _Events = Field(default=["started", "completed", "failed", "canceled"], description="What to tell of.")
    description: _Text = ""


class WebhookChange(Wire):
    """`PATCH /v1/webhooks/{id}`; what isn't given stays."""

    url: _Url | None = None
    events: _Events | None = None
    description: _Text | None = None
    enabled: bool | None = Field(
        default=None, description="Off: nothing is sent, and what happens meanwhile is not told."
    )


class SecretRotate(Wire):
    """A new secret; the one before signs too for a while."""

    keep_old_seconds: float = Field(default=86400, ge=0, le=30 * 86400, description="How long both secrets sign.")


class KeyLimitsIn(Wire):
    """What a key may use; null: as much as the server has."""

    requests_per_s: float | None = Field(default=50, gt=0, le=1e6, description="On average, for each server process.")
    burst: int = Field(default=100, ge=1, le=10**6, description="Requests at once.")
    jobs_per_day: int | None = Field(default=None, ge=0, le=10**9, description="Days are UTC's.")
    seconds_per_day: float | None = Field(default=None, ge=0, le=1e9, description="Seconds of video.")
    queued: int | None = Field(default=None, ge=0, le=10**9, description="Jobs of the key's owner that wait.")
    max_priority: int = Field(default=0, ge=-100, le=100, description="The highest `priority` that jobs may be given.")


class KeyCreate(Wire):
    """`POST /v1/keys`."""

    owner: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Whose jobs the key makes and sees.")
    name: _Text = Field(default="", description="To tell keys apart.")
    scopes: list[Scope] = Field(default=["submit", "read", "cancel"], min_length=1, max_length=4)
    limits: KeyLimitsIn = KeyLimitsIn()
    valid_seconds: float | None = Field(default=None, gt=0, le=1e10, description="The key expires after so long.")


class Webhook(Told):
    """An endpoint that hears of its owner's jobs."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    description: str
    events: list[WebhookEvent]
    enabled: bool
    disabled_reason: str | None = Field(description="Why it is off, if it is; 410 from the receiver switches it off.")
    failures: int = Field(description="Tries in a row that failed.")
    created_at: float
    secret: str | None = Field(default=None, description="When it was made, and never again here.")


class WebhookList(Told):
    """Endpoints, oldest first."""

    object: Literal["list"] = "list"
    data: list[Webhook]


class WebhookSecret(Told):
    """What messages are signed with (`whsec_`, HMAC of Standard Webhooks)."""

    object: Literal["webhook.secret"] = "webhook.secret"
    secret: str
    old_secret: str | None = Field(description="Signs too until `old_until`.")
    old_until: float | None


class DeliveryTry(Told):
    """One try to deliver."""

    number: int
    at: float
    duration_s: float
    status_code: int | None
    error: str | None


class Delivery(Told):
    """A message to an endpoint; `id` is its `webhook-id`."""

    id: str
    object: Literal["webhook.delivery"] = "webhook.delivery"
    webhook: str
    video: str | None
    event: int | None
    kind: str
    status: Literal["waiting", "delivered", "failed", "dropped"]
    tries: int
    next_at: float | None
    created_at: float
    finished_at: float | None
    payload: str = Field(description="The body, as it is signed and sent.")
    log: list[DeliveryTry] | None = Field(default=None, description="Every try; in the answer about one delivery only.")


class DeliveryPage(Told):
    """Deliveries, newest first."""

    object: Literal["list"] = "list"
    data: list[Delivery]
    has_more: bool


class WebhookDeleted(Told):
    """An endpoint is gone, with its secrets and deliveries."""

    id: str
    object: Literal["webhook.deleted"] = "webhook.deleted"
    deleted: Literal[True] = True


class KeyUsage(Told):
    """What counts against the limits of a day."""

    jobs: int
    seconds: float = Field(description="Of video.")


class Key(Told):
    """An API key, without its secret."""

    id: str
    object: Literal["key"] = "key"
    owner: str
    name: str
    scopes: list[Scope]
    limits: KeyLimitsIn
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    today: KeyUsage | None = Field(
        default=None, description="What it had since midnight (UTC); in the list of keys only."
    )
    token: str | None = Field(default=None, description="What its holder sends; told once, when the key is made.")


class KeyList(Told):
    """Keys, oldest first, those that are over too."""

    object: Literal["list"] = "list"
    data: list[Key]
