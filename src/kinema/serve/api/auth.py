"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from kinema.core.errors import AccessError
from kinema.serve.keys import LOCAL_OWNER, SCOPES, Caller

# only so that the OpenAPI tells of it: the header is read by `Authenticate`
_bearer = HTTPBearer(auto_error=False, description="An API key. A server on a loopback address may do without.")
# the Authorization header -> the caller. Raises: AccessError
Authenticate = Callable[[str | None], Caller]


def local_caller(authorization: str | None) -> Caller:
    """Everybody is the one local user."""
    return Caller(owner=LOCAL_OWNER, scopes=frozenset(SCOPES))


def allowed(scope: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who may do what ``scope`` names."""

    async def caller(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
        service = request.app.state.service
        found: Caller = await service.quickly(service.authenticate, request.headers.get("authorization"))
        if scope not in found.scopes:
            may = ", ".join(sorted(found.scopes)) or "nothing"
            raise AccessError(f"this key may not {scope}; it may {may}", code="auth.scope")
        return found

    return caller
