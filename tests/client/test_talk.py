"""When a call is made again, and when not: the steps alone, without a server or a clock that runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from kinema.client import calls, talk
from kinema.client.errors import (
    ApiError,
    BadRequest,
    ClientError,
    Conflict,
    NotAllowed,
    NotFound,
    RateLimited,
    ServerError,
    Unreachable,
    WaitTimeout,
)
from kinema.client.talk import Done, Send, Sleep, Steps, advance
from kinema.core.errors import InvalidInput
from kinema.wire.answers import ModelList
from tests.client.told import JOB, problem, video

REQUEST = httpx.Request("GET", "http://server.example:8000/v1/models")
MODELS = httpx.Response(200, json={"object": "list", "data": []}, request=REQUEST)
REFUSED = httpx.ConnectError("refused", request=REQUEST)
CUT = httpx.RemoteProtocolError("cut", request=REQUEST)


class Clock:
    """Time that goes on by the sleeps alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        # theirs alone: the loop of a server that runs meanwhile has the real one
        monkeypatch.setattr(talk, "time", SimpleNamespace(monotonic=lambda: self.now))

    def play(self, steps: Steps[Any], *outcomes: Any) -> tuple[Any, list[float], list[Send]]:
        """What comes of ``steps`` (an error is given, not raised) if what is sent has these outcomes, the last for ever; the pauses; what
        was sent."""
        left, pauses, sent = list(outcomes), [], []
        try:
            step = advance(steps)
            while not isinstance(step, Done):
                outcome = None
                if isinstance(step, Sleep):
                    pauses.append(step.seconds)
                    self.now += step.seconds
                elif isinstance(step, Send):
                    sent.append(step)
                    outcome = left.pop(0) if len(left) > 1 else left[0]
                step = advance(steps, outcome)
            return step.value, pauses, sent
        except ClientError as e:
            return e, pauses, sent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def models(retries: int = 4, until: float | None = None) -> Steps[ModelList]:
    return talk.ask(calls.models(), ModelList, retries=retries, until=until)


@pytest.mark.parametrize(
    "outcome",
    [
        REFUSED,
        CUT,
        httpx.ReadTimeout("slow", request=REQUEST),
        httpx.ReadError("", request=REQUEST),
        problem(429, "rate.requests"),
        problem(502, "http.502"),
        problem(503, "storage.unavailable"),
        problem(504, "http.504"),
        problem(409, "idempotency.in_flight"),
    ],
    ids=repr,
)
def test_made_again_with_longer_and_longer_pauses(clock: Clock, outcome: Any):
    found, pauses, sent = clock.play(models(), outcome, outcome, outcome, MODELS)
    assert found.data == []
    assert len(sent) == 4
    assert all(0.125 * 2**i <= pause <= 0.25 * 2**i for i, pause in enumerate(pauses))


@pytest.mark.parametrize(
    "outcome,kind",
    [
        (problem(400, "input.invalid"), BadRequest),
        (problem(400, "input.image.timeout", retryable=True), BadRequest),
        (problem(401, "auth.invalid"), NotAllowed),
        (problem(403, "auth.scope"), NotAllowed),
        (problem(404, "not_found"), NotFound),
        (problem(410, "output.expired"), NotFound),
        (problem(409, "job.not_finished", retry_after_s=1), Conflict),
        (problem(422, "idempotency.conflict"), BadRequest),
        (problem(500, "internal", retryable=True), ServerError),
        (problem(429, "quota.jobs", retry_after_s=7200), RateLimited),
        (httpx.UnsupportedProtocol("no", request=REQUEST), Unreachable),
        (httpx.DecodingError("no", request=REQUEST), Unreachable),
        (httpx.Response(302, headers={"location": "https://else.example/"}, request=REQUEST), ApiError),
        (httpx.Response(200, text="<html>", request=REQUEST), ApiError),
    ],
    ids=str,
)
def test_told_at_once(clock: Clock, outcome: Any, kind: type[ClientError]):
    found, pauses, sent = clock.play(models(), outcome)
    assert type(found) is kind
    assert (pauses, len(sent)) == ([], 1)


def test_no_more_often_than_said(clock: Clock):
    found, pauses, sent = clock.play(models(retries=3), CUT)
    assert isinstance(found, Unreachable)
    assert isinstance(found.__cause__, httpx.RemoteProtocolError)
    assert (len(pauses), len(sent), found.tries) == (3, 4, 4)
    assert clock.play(models(retries=0), CUT)[1:] == ([], [Send(calls.models())])


@pytest.mark.parametrize("retry_after_s", [0.5, 7.0, 60.0])
def test_the_server_says_when_to_come_again(clock: Clock, retry_after_s: float):
    _, (pause,), _ = clock.play(models(), problem(429, "capacity.queue_full", retry_after_s=retry_after_s), MODELS)
    assert retry_after_s <= pause <= retry_after_s + 0.25


def test_retry_after_without_a_problem_is_a_number_or_a_date(clock: Clock):
    at = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    for text, least, most in (("11", 11, 11.25), (at, 28, 30.25), ("nonsense", 0.1, 0.25), ("", 0.1, 0.25)):
        busy = httpx.Response(503, text="<html>", headers={"retry-after": text}, request=REQUEST)
        found, (pause,), _ = clock.play(models(), busy, MODELS)
        assert found.data == []
        assert least <= pause <= most, text


def test_until_a_moment_instead_of_so_often(clock: Clock):
    found, pauses, sent = clock.play(models(retries=0, until=clock.now + 40), REFUSED)
    assert isinstance(found, Unreachable)
    assert len(sent) > 6
    assert 30 < sum(pauses) < 40


def test_a_request_that_is_in_flight_is_waited_for_longer_than_a_server_may_hold_it(clock: Clock):
    busy = problem(409, "idempotency.in_flight", retry_after_s=2)
    found, pauses, _ = clock.play(models(retries=0), *[busy] * 32, MODELS)
    assert found.data == []
    assert sum(pauses) > 60
    assert isinstance(clock.play(models(), busy)[0], Conflict)


def test_a_job_has_one_key_however_often_it_is_asked_for(clock: Clock):
    steps = talk.exchange(calls.submit("a cube", {}, None), retries=2)
    keys = [step.call.headers["idempotency-key"] for step in clock.play(steps, CUT)[2]]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert calls.submit("a cube", {}, None).headers["idempotency-key"] != keys[0]


def test_gone_is_gone(clock: Clock):
    gone = problem(404, "not_found")
    assert isinstance(clock.play(talk.delete(JOB, retries=4), gone)[0], NotFound)
    assert clock.play(talk.delete(JOB, retries=4), CUT, gone)[0] is None


def test_a_job_is_asked_for_when_the_server_says_so(clock: Clock):
    found, pauses, _ = clock.play(
        talk.wait(JOB, None),
        video("queued", poll_ms=400),
        video("running"),
        video("running", poll_ms=10**6),
        video("failed"),
    )
    assert found.status == "failed"
    assert pauses == [0.4, talk.POLL_S, 10.0]


def test_a_wait_that_is_over_before_the_job(clock: Clock):
    found, pauses, sent = clock.play(talk.wait(JOB, 2.5), video("running", poll_ms=1000))
    assert isinstance(found, WaitTimeout)
    assert isinstance(found, TimeoutError)
    assert sum(pauses) == 2.5
    assert [step.call.timeout.read for step in sent] == [2.5, 1.5, 0.5, 0.5]  # pyright: ignore[reportOptionalMemberAccess]
    assert len(clock.play(talk.wait(JOB, 0), video("running"))[2]) == 1


def test_who_waits_lets_a_server_be_away_for_a_minute(clock: Clock):
    away = [REFUSED] * 9
    found, pauses, _ = clock.play(talk.wait(JOB, None), video("running"), *away, video("succeeded"))
    assert found.status == "succeeded"
    assert sum(pauses) > 15
    found, pauses, _ = clock.play(talk.wait(JOB, None), video("running"), REFUSED)
    assert isinstance(found, Unreachable)
    assert talk.PATIENCE_S - 10 < sum(pauses) <= talk.PATIENCE_S + 1
    assert isinstance(clock.play(talk.wait(JOB, 5), REFUSED)[0], WaitTimeout)
    # what time doesn't mend is told at once, and as what it is
    no_way = httpx.ProxyError("407 Proxy Authentication Required", request=REQUEST)
    found, pauses, _ = clock.play(talk.wait(JOB, 5), no_way)
    assert isinstance(found, Unreachable)
    assert not pauses


@pytest.mark.parametrize(
    "call", [calls.look, lambda id: calls.act(id, "cancel"), calls.delete, lambda id: calls.remix(id, "a", None)]
)
@pytest.mark.parametrize("id", ["", "vid_1", "../keys", f"{JOB}/x", None, 7])
def test_what_is_no_id_is_never_sent(call: Callable[[Any], Any], id: Any):
    with pytest.raises(InvalidInput, match="^id: "):
        call(id)


@pytest.mark.parametrize("key", ["", "é", "a\nb", "a" * 201])
def test_keys_that_no_header_can_hold(key: str):
    with pytest.raises(InvalidInput, match="^idempotency_key: "):
        calls.submit("a cube", {}, key)
