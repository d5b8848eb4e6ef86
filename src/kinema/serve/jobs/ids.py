"""Names of jobs: ULIDs, which sort by the time they were made at."""

from __future__ import annotations

import secrets
import threading

PREFIX = "vid_"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_lock = threading.Lock()
_last = 0


def new_id(now: float, prefix: str = PREFIX) -> str:
    """``prefix`` and a ULID of ``now`` (seconds since 1970); within a process each sorts after those before it in the same millisecond.

    Source: https://github.com/ulid/spec
    """
    global _last
    value = int(now * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    with _lock:
        if value >> _RANDOM_BITS == _last >> _RANDOM_BITS:
            value = _last + 1
        _last = value
    return prefix + "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
