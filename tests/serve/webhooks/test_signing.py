from __future__ import annotations

import base64
import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from kinema.serve.webhooks.signing import headers, new_secret

BODY = json.dumps({"type": "video.completed", "data": {"id": "vid_é", "text": "雪"}}, ensure_ascii=False).encode()


def test_the_public_verifier_takes_it() -> None:
    secret = new_secret()
    fields = headers([secret], message_id="msg_1", at=time.time(), body=BODY)
    assert Webhook(secret).verify(BODY, fields) == json.loads(BODY)


def test_either_of_two_secrets_verifies() -> None:
    new, old, other = (new_secret() for _ in range(3))
    fields = headers([new, old], message_id="msg_1", at=time.time(), body=BODY)
    for secret in (new, old):
        Webhook(secret).verify(BODY, fields)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, fields)


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_nothing_can_be_changed(change: str) -> None:
    secret, body = new_secret(), BODY
    fields = headers([secret], message_id="msg_1", at=time.time(), body=body)
    if change == "body":
        body += b" "
    elif change == "webhook-timestamp":
        fields[change] = str(int(fields[change]) - 1)
    else:
        fields[change] = fields[change][:-5] + "AAAA="
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, fields)


def test_an_old_message_is_no_longer_good() -> None:
    secret = new_secret()
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(BODY, headers([secret], message_id="msg_1", at=time.time() - 301, body=BODY))


def test_secrets_differ_and_have_256_bits() -> None:
    secrets = {new_secret() for _ in range(5)}
    assert len(secrets) == 5
    assert all(len(base64.b64decode(s.removeprefix("whsec_"))) == 32 and s.startswith("whsec_") for s in secrets)
