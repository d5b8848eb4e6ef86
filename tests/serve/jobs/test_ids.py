from __future__ import annotations

import re

import pytest

from kinema.serve.jobs import ids


def test_an_id_is_a_ulid_of_its_time() -> None:
    # the specification's example of a time
    assert ids.new_id(1469918176.385).startswith("vid_01ARYZ6S41")
    assert re.fullmatch(r"vid_[0-7][0-9A-HJKMNP-TV-Z]{25}", ids.new_id(1e9))


def test_ids_sort_by_time_and_never_repeat() -> None:
    made = [ids.new_id(1e9 + i // 50 * 0.001) for i in range(500)]
    assert made == sorted(set(made))


def test_within_a_millisecond_the_next_is_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.secrets, "randbits", lambda bits: 31)
    assert [ids.new_id(0.001)[-2:] for _ in range(2)] == ["0Z", "10"]
