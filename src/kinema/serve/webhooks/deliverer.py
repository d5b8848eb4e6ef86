"""Sends webhooks. Every replica may run one: what is due is in the database, and is claimed before it is sent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from kinema.core.errors import FetchError
from kinema.core.version import VERSION
from kinema.serve.fetch import Guard
from kinema.serve.jobs.database import Database
from kinema.serve.webhooks.deliveries import DELAYS_S, Claimed, Outcome, claim, derive, finish, forget
from kinema.serve.webhooks.signing import headers

_log = logging.getLogger("kinema.serve")
_FORGET_EVERY_S = 3600.0


class Deliverer:
    """Turns events into deliveries and sends them through ``guard``, ``threads`` at a time, at most half of them to endpoints that fail.

    A receiver has ``timeout_s`` to answer. ``base_url``: where clients find the API, for links. ``delays_s``: after each failed try.
    """

    def __init__(
        self,
        database: Database,
        guard: Guard,
        *,
        base_url: str = "",
        threads: int = 8,
        timeout_s: float = 15.0,
        poll_s: float = 0.25,
        delays_s: Sequence[float] = DELAYS_S,
    ) -> None:
        self._database, self._guard, self._base_url = database, guard, base_url
        self._threads, self._timeout_s, self._poll_s, self._delays_s = threads, timeout_s, poll_s, tuple(delays_s)
        # who is slow to answer must not be sent the same again by another
        self._lease_s = 2 * timeout_s + 30

    def run(self, stop: threading.Event) -> None:
        """Sends until ``stop`` is set, then ends what is under way. Errors are logged; a database that can't be used is waited for."""
        forget_at = 0.0
        flying: dict[Future[None], Claimed] = {}
        with ThreadPoolExecutor(self._threads, thread_name_prefix="webhook") as pool:
            while not stop.is_set():
                try:
                    derive(self._database, base_url=self._base_url)
                    new = self._claim(flying)
                    if time.monotonic() >= forget_at:
                        forget(self._database)
                        forget_at = time.monotonic() + _FORGET_EVERY_S
                # whatever it was, others' webhooks shall not end with it
                except Exception:
                    _log.exception("webhooks go on in a moment")
                    stop.wait(max(1.0, self._poll_s))
                    continue
                flying |= {pool.submit(self._send, c): c for c in new}
                if flying and len(flying) >= self._threads:
                    wait(flying, timeout=self._poll_s, return_when=FIRST_COMPLETED)
                elif not new:
                    stop.wait(self._poll_s)
                flying = {future: c for future, c in flying.items() if not future.done()}

    def _claim(self, flying: dict[Future[None], Claimed]) -> list[Claimed]:
        failing = sum(c.is_failing for c in flying.values())
        return claim(
            self._database,
            lease_s=self._lease_s,
            most=self._threads - len(flying),
            most_failing=max(1, self._threads // 2) - failing,
        )

    def _send(self, claimed: Claimed) -> None:
        try:
            finish(self._database, claimed, self._try(claimed), delays_s=self._delays_s)
        except Exception:
            # it comes again when its lease is over
            _log.exception("webhook %s: its result could not be noted", claimed.id)

    def _try(self, claimed: Claimed) -> Outcome:
        body, begin = claimed.payload.encode(), time.monotonic()
        fields = headers(claimed.secrets, message_id=claimed.id, at=claimed.at, body=body)
        fields |= {"Content-Type": "application/json", "User-Agent": f"kinema-webhooks/{VERSION}"}
        try:
            answer = self._guard.post(claimed.url, content=body, headers=fields, timeout_s=self._timeout_s)
        except FetchError as e:
            return Outcome(duration_s=time.monotonic() - begin, error=e.rule)
        after = answer.headers.get("retry-after", "")
        return Outcome(
            duration_s=time.monotonic() - begin,
            status_code=answer.status,
            error=None if 200 <= answer.status < 300 else f"the receiver answered {answer.status}",
            retry_after_s=float(after) if after.isdecimal() and len(after) < 9 else None,
        )
