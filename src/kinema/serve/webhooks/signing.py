"""Secrets and signatures of Standard Webhooks, version 1. Source: https://www.standardwebhooks.com"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh secret, ``whsec_`` and base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(live: Sequence[str], *, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """The headers that let a receiver check ``body``: a signature by each of the secrets ``live``; ``at`` is seconds since 1970."""
    timestamp = str(int(at))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = [hmac.new(base64.b64decode(s.removeprefix(_PREFIX)), signed, hashlib.sha256).digest() for s in live]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }
