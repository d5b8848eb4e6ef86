"""What servers say."""

from __future__ import annotations

from typing import Any

import httpx

JOB = "vid_01ARZ3NDEKTSV4RRFFQ69G5FAV"
_REQUEST = httpx.Request("GET", "http://server.example:8000/v1/videos")


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    """A problem."""
    error = {"code": code, "message": "no", "param": None, "type": "server_error"}
    body = {"title": "no", "status": status, "detail": "no", "code": code, "retryable": False, "error": error, **more}
    return httpx.Response(status, json=body, request=_REQUEST)


def video(status: str, *, poll_ms: int | None = None, **more: Any) -> httpx.Response:
    """A job."""
    none = (
        "started_at",
        "finished_at",
        "expires_at",
        "queue_position",
        "eta_seconds",
        "eta_p90_seconds",
        "phase",
        "error",
        "metrics",
    )
    body: dict[str, Any] = {
        "id": JOB,
        "status": status,
        "kind": "generate",
        "dialect": "native",
        "model": "mini",
        "priority": 0,
        "paused": False,
        "created_at": 1.0,
        "progress": 0,
        "step": 0,
        "steps": 5,
        "attempts": 1,
        "parents": [],
        "request": {"prompt": "a cube"},
        "resolved": {},
        "warnings": [],
        "outputs": {},
        "last_event": 3,
        "urls": {"self": "", "events": "", "cancel": "", "content": ""},
        **dict.fromkeys(none),
        **more,
    }
    headers = {} if poll_ms is None else {"openai-poll-after-ms": str(poll_ms)}
    return httpx.Response(200, json=body, headers=headers, request=_REQUEST)
