"""The routes of webhooks: endpoints, their secrets, what was delivered."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from kinema.serve.api.parts import JsonIn, Parts, ToRead, ToSubmit, parse, problems, takes
from kinema.serve.api.problems import ApiError, not_found
from kinema.serve.fetch import Guard
from kinema.serve.jobs.database import Database
from kinema.serve.webhooks import deliveries as sent
from kinema.serve.webhooks import endpoints as kept
from kinema.wire import access
from kinema.wire.fields import JOB_ID

T = TypeVar("T")
_ULID = "[0-9A-HJKMNP-TV-Z]{26}"
WebhookId = Annotated[str, Path(description="The endpoint's id, `whe_` and 26 letters and digits.")]
DeliveryId = Annotated[str, Path(description="The delivery's id, `msg_` and 26 letters and digits.")]


def webhook_routes(guard: Guard) -> APIRouter:
    """The routes; URLs are checked by ``guard``."""
    router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

    @router.post(
        "",
        summary="Hear of your jobs",
        status_code=201,
        responses={201: {"model": access.Webhook}, **problems(400, 415)},
        openapi_extra=takes(access.WebhookCreate),
        response_model=None,
    )
    def create_webhook(service: Parts, caller: ToSubmit, body: JsonIn) -> Response:
        """Events of all your jobs, those under way included, are sent there from now on. The answer has the secret that signs them."""
        form, database = parse(access.WebhookCreate, body), service.store.database
        fields = {"url": form.url, "events": form.events, "description": form.description}
        made = kept.create_endpoint(database, guard, owner=caller.owner, **fields)
        secrets = _there(kept.secrets_of(database, owner=caller.owner, endpoint_id=made.id))
        return JSONResponse({**_webhook(made), "secret": secrets.current}, 201, {"location": f"/v1/webhooks/{made.id}"})

    @router.get(
        "", summary="Your endpoints", responses={200: {"model": access.WebhookList}, **problems()}, response_model=None
    )
    def list_webhooks(service: Parts, caller: ToRead) -> Response:
        """Oldest first; those of single jobs (`webhook_url`) are not among them."""
        found = kept.list_endpoints(service.store.database, owner=caller.owner)
        return JSONResponse({"object": "list", "data": [_webhook(endpoint) for endpoint in found]})

    @router.get(
        "/secret",
        summary="The secret that signs for `webhook_url`",
        responses={200: {"model": access.WebhookSecret}, **problems()},
        response_model=None,
    )
    def get_own_secret(service: Parts, caller: ToSubmit) -> Response:
        """One for all your jobs that name a webhook of their own."""
        return _secrets(kept.secrets_of(service.store.database, owner=caller.owner))

    @router.post(
        "/secret/rotate",
        summary="Another secret for `webhook_url`",
        responses={200: {"model": access.WebhookSecret}, **problems(400, 409, 415)},
        openapi_extra=takes(access.SecretRotate),
        response_model=None,
    )
    def rotate_own_secret(service: Parts, caller: ToSubmit, body: JsonIn) -> Response:
        """The one before signs too for a while, in which there is no other, unless `keep_old_seconds` is 0."""
        form = parse(access.SecretRotate, body)
        keep = form.keep_old_seconds
        return _rotated(service.store.database, owner=caller.owner, keep_old_s=keep)

    @router.get(
        "/deliveries",
        summary="What was sent",
        responses={200: {"model": access.DeliveryPage}, **problems(400, 404)},
        response_model=None,
    )
    def list_deliveries(
        service: Parts,
        caller: ToRead,
        webhook: Annotated[str | None, Query(description="Only to this endpoint.", pattern=f"^whe_{_ULID}$")] = None,
        video: Annotated[str | None, Query(description="Only of this job.", pattern=JOB_ID)] = None,
        status: Literal["waiting", "delivered", "failed", "dropped"] | None = None,
        after: Annotated[str | None, Query(description="Goes on after this one.", pattern=f"^msg_{_ULID}$")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """Newest first, without their logs."""
        which = {"endpoint_id": webhook, "job_id": video, "status": status, "after": after}
        found = sent.list_deliveries(service.store.database, owner=caller.owner, limit=limit + 1, **which)
        page = [_delivery(d) for d in found[:limit]]
        return JSONResponse({"object": "list", "data": page, "has_more": len(found) > limit})

    @router.get(
        "/deliveries/{id}",
        summary="A delivery and its tries",
        responses={200: {"model": access.Delivery}, **problems(404)},
        response_model=None,
    )
    def get_delivery(service: Parts, caller: ToRead, id: DeliveryId) -> Response:
        """Status and error of every try; of the receiver's answers nothing else is kept."""
        _check(id, "msg_")
        found = _there(sent.get_delivery(service.store.database, id, owner=caller.owner))
        return JSONResponse(_delivery(found, with_log=True))

    @router.post(
        "/deliveries/{id}/redeliver",
        summary="Send it again",
        responses={200: {"model": access.Delivery}, **problems(400, 404)},
        response_model=None,
    )
    def redeliver(service: Parts, caller: ToSubmit, id: DeliveryId) -> Response:
        """At once, with all tries anew and under the same `webhook-id`, delivered or not."""
        _check(id, "msg_")
        found = _there(sent.redeliver(service.store.database, id, owner=caller.owner))
        return JSONResponse(_delivery(found, with_log=True))

    @router.get(
        "/{id}", summary="An endpoint", responses={200: {"model": access.Webhook}, **problems(404)}, response_model=None
    )
    def get_webhook(service: Parts, caller: ToRead, id: WebhookId) -> Response:
        """As it stands."""
        _check(id, "whe_")
        return JSONResponse(_webhook(_there(kept.get_endpoint(service.store.database, id, owner=caller.owner))))

    @router.patch(
        "/{id}",
        summary="Change an endpoint",
        responses={200: {"model": access.Webhook}, **problems(400, 404, 415)},
        openapi_extra=takes(access.WebhookChange),
        response_model=None,
    )
    def change_webhook(service: Parts, caller: ToSubmit, id: WebhookId, body: JsonIn) -> Response:
        """What isn't given stays. Switched on again, it begins without failures."""
        _check(id, "whe_")
        form = parse(access.WebhookChange, body)
        changed = kept.change_endpoint(service.store.database, guard, id, owner=caller.owner, **form.model_dump())
        return JSONResponse(_webhook(_there(changed)))

    @router.delete(
        "/{id}",
        summary="Delete an endpoint",
        responses={200: {"model": access.WebhookDeleted}, **problems(404)},
        response_model=None,
    )
    def delete_webhook(service: Parts, caller: ToSubmit, id: WebhookId) -> Response:
        """With its secrets, and its deliveries, waiting or not."""
        _check(id, "whe_")
        if not kept.delete_endpoint(service.store.database, id, owner=caller.owner):
            raise _none()
        return JSONResponse({"id": id, "object": "webhook.deleted", "deleted": True})

    @router.get(
        "/{id}/secret",
        summary="An endpoint's secret",
        responses={200: {"model": access.WebhookSecret}, **problems(404)},
        response_model=None,
    )
    def get_secret(service: Parts, caller: ToSubmit, id: WebhookId) -> Response:
        """Two while a rotation lasts."""
        _check(id, "whe_")
        return _secrets(kept.secrets_of(service.store.database, owner=caller.owner, endpoint_id=id))

    @router.post(
        "/{id}/rotate",
        summary="Another secret",
        responses={200: {"model": access.WebhookSecret}, **problems(400, 404, 409, 415)},
        openapi_extra=takes(access.SecretRotate),
        response_model=None,
    )
    def rotate_secret(service: Parts, caller: ToSubmit, id: WebhookId, body: JsonIn) -> Response:
        """The one before signs too for a while, so that a receiver can change over; no other meanwhile, unless `keep_old_seconds` is 0."""
        _check(id, "whe_")
        keep = parse(access.SecretRotate, body).keep_old_seconds
        database, owner = service.store.database, caller.owner
        return _rotated(database, owner=owner, endpoint_id=id, keep_old_s=keep)

    @router.post(
        "/{id}/test",
        summary="Send a test",
        responses={200: {"model": access.Delivery}, **problems(400, 404)},
        response_model=None,
    )
    def test_webhook(service: Parts, caller: ToSubmit, id: WebhookId) -> Response:
        """A message of type `webhook.test`, sent as all others are; ask for the delivery to see how it went."""
        _check(id, "whe_")
        return JSONResponse(_delivery(_there(sent.send_test(service.store.database, id, owner=caller.owner))))

    return router


def _check(id: str, prefix: str) -> None:
    if not re.fullmatch(prefix + _ULID, id):
        raise _none()


def _none() -> ApiError:
    error = not_found()
    return ApiError(error.status, error.code, "there is no such webhook or delivery", field="id")


def _there(found: T | None) -> T:
    if found is None:
        raise _none()
    return found


def _webhook(endpoint: kept.Endpoint) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(endpoint).items() if name != "owner"}
    return {**fields, "object": "webhook"}


def _rotated(database: Database, **which: Any) -> Response:
    try:
        return _secrets(kept.rotate_secret(database, **which))
    except kept.OldSecretLive as e:
        raise ApiError(409, "webhook.old_secret_live", str(e), retry_after_s=e.retry_after_s) from e


def _secrets(secrets: kept.Secrets | None) -> Response:
    found = _there(secrets)
    told = {"secret": found.current, "old_secret": found.old, "old_until": found.old_until}
    return JSONResponse({"object": "webhook.secret", **told}, headers={"cache-control": "no-store"})


def _delivery(delivery: sent.Delivery, *, with_log: bool = False) -> dict[str, Any]:
    fields = delivery.to_dict()
    log, told = fields.pop("log"), {"webhook": "endpoint_id", "video": "job_id", "event": "number"}
    renamed = {new: fields.pop(old) for new, old in told.items()}
    return {**fields, **renamed, "object": "webhook.delivery", **({"log": log} if with_log else {})}
