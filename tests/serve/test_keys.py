from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from kinema.core.errors import AccessError, InvalidInput
from kinema.serve.jobs.commands import Edit, Refusal
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.reading import list_jobs
from kinema.serve.jobs.schema import api_keys
from kinema.serve.jobs.store import JobStore
from kinema.serve.keys import (
    SCOPES,
    Authenticator,
    Caller,
    KeyLimits,
    NewKey,
    Usage,
    charge,
    check_bind,
    create_key,
    list_keys,
    recharge,
    revoke_key,
    usage,
)
from tests.serve.shared import BOTH, Clock, order

pytestmark = BOTH


@pytest.fixture
def ask(store: JobStore, clock: Clock) -> Authenticator:
    return Authenticator(store.database, is_loopback=True, clock=clock)


def enter(ask: Authenticator, key: NewKey) -> Caller:
    return ask(f"Bearer {key.token}")


def refused(ask: Authenticator, header: str | None) -> AccessError:
    with pytest.raises(AccessError) as error:
        ask(header)
    return error.value


def test_without_any_key_loopback_is_the_local_user(store: JobStore, ask: Authenticator) -> None:
    for header in (None, "", "Bearer sk-anything", "Basic abc", f"Bearer kin_{'0' * 12}_{'0' * 64}"):
        assert ask(header) == Caller(owner="local", scopes=frozenset(SCOPES))
    public = Authenticator(store.database, is_loopback=False)
    assert refused(public, None).code == "auth.missing"
    assert refused(public, "Bearer sk-anything").code == "auth.invalid"


def test_a_key_opens_with_its_secret_alone(store: JobStore, ask: Authenticator) -> None:
    limits = KeyLimits(jobs_per_day=3, requests_per_s=None)
    new = create_key(store.database, owner="ann", name="laptop", scopes=["read", "submit"], limits=limits)
    other = create_key(store.database, owner="bob")
    caller = enter(ask, new)
    assert (caller.owner, caller.scopes, caller.key_id) == ("ann", {"submit", "read"}, new.key.id)
    assert caller.limits == limits
    assert ask(f"bearer  {new.token} ") == caller
    for_both = f"kin_{new.key.id}_{other.token[-64:]}"
    wrong = [
        for_both,
        new.token[:-1],
        new.token + "0",
        new.token.upper(),
        new.token[:-1] + "g",
        "kin__",
        "kin_" + "0" * 12,
    ]
    for token in wrong:
        assert refused(ask, f"Bearer {token}").code == "auth.invalid"
    for header in (new.token, f"Basic {new.token}", f"Bearer{new.token}", "Bearer \u00e9", "Bearer " + "a" * 10**5):
        assert refused(ask, header).code == "auth.invalid"
    for header in (None, ""):
        assert refused(ask, header).code == "auth.missing"


def test_no_secret_is_stored(store: JobStore) -> None:
    new = create_key(store.database, owner="ann")
    with store.database.read() as (connection, _):
        row = connection.execute(sa.select(api_keys)).one()
    secret = new.token[-64:]
    assert len(set(new.token)) > 10
    assert not any(secret in str(value) or secret[:16] in str(value) for value in row)
    assert secret not in repr(list_keys(store.database))
    assert list_keys(store.database) == [new.key]
    assert list_keys(store.database, owner="bob") == []


def test_revoked_at_once_and_for_good(store: JobStore, ask: Authenticator, clock: Clock) -> None:
    new = create_key(store.database, owner="ann")
    enter(ask, new)
    revoked = revoke_key(store.database, new.key.id)
    assert revoked.revoked_at == clock.now
    assert "revoked" in str(refused(ask, f"Bearer {new.token}"))
    # another server, which doesn't fall open for lack of live keys
    again = Authenticator(store.database, is_loopback=True)
    assert refused(again, f"Bearer {new.token}").code == "auth.invalid"
    assert refused(again, None).code == "auth.missing"
    clock.forward(9)
    assert revoke_key(store.database, new.key.id) == revoked
    with pytest.raises(InvalidInput, match="^key: "):
        revoke_key(store.database, "nobody")


def test_an_expired_key_opens_nothing(store: JobStore, ask: Authenticator, clock: Clock) -> None:
    new = create_key(store.database, owner="ann", valid_s=60)
    clock.forward(59.9)
    enter(ask, new)
    clock.forward(0.2)
    assert "expired" in str(refused(ask, f"Bearer {new.token}"))


def test_requests_pass_at_their_rate(store: JobStore, ask: Authenticator, clock: Clock) -> None:
    limits = KeyLimits(requests_per_s=2, burst=3)
    new, other = (create_key(store.database, owner="ann", limits=limits) for _ in range(2))
    for _ in range(3):
        enter(ask, new)
    error = refused(ask, f"Bearer {new.token}")
    assert (error.code, error.retry_after_s) == ("rate.requests", 0.5)
    enter(ask, other)
    clock.forward(0.25)
    # asking in vain costs nothing
    assert refused(ask, f"Bearer {new.token}").retry_after_s == pytest.approx(0.25)
    clock.forward(0.25)
    enter(ask, new)
    refused(ask, f"Bearer {new.token}")
    clock.forward(1000)
    for _ in range(3):
        enter(ask, new)
    refused(ask, f"Bearer {new.token}")


def submit(store: JobStore, caller: Caller, seconds: float = 2.0) -> Job:
    job = store.submit(order(caller.owner), within=[charge(caller, seconds=seconds)])
    assert not isinstance(job, Refusal)
    return job


def test_jobs_and_seconds_of_a_day(store: JobStore, ask: Authenticator, clock: Clock) -> None:
    clock.now = 100 * 86400.0 + 80_000
    limits = KeyLimits(jobs_per_day=3, seconds_per_day=5)
    new = create_key(store.database, owner="ann", limits=limits)
    caller = enter(ask, new)
    submit(store, caller)
    submit(store, caller)
    with pytest.raises(AccessError, match="4 of its 5 seconds") as error:
        submit(store, caller)
    assert (error.value.code, error.value.retry_after_s) == ("quota.seconds", 6400)
    submit(store, caller, seconds=1)
    with pytest.raises(AccessError) as error:
        submit(store, caller, seconds=0)
    assert error.value.code == "quota.jobs"
    # what was refused made no job and counts for nothing
    assert len(list_jobs(store.database)) == 3
    assert usage(store.database) == {new.key.id: Usage(jobs=3, seconds=5)}
    submit(store, enter(ask, create_key(store.database, owner="ann")))
    clock.forward(6400)
    submit(store, caller)
    assert usage(store.database)[new.key.id] == Usage(jobs=1, seconds=2)


def test_jobs_that_wait(store: JobStore, ask: Authenticator) -> None:
    caller = enter(ask, create_key(store.database, owner="ann", limits=KeyLimits(queued=2)))
    submit(store, caller)
    submit(store, caller)
    submit(store, Caller(owner="bob", scopes=frozenset(SCOPES)))
    with pytest.raises(AccessError, match="2 jobs") as error:
        submit(store, caller)
    assert error.value.code == "quota.queued"
    assert error.value.retry_after_s == 30
    store.claim("w", lease_s=5)
    submit(store, caller)


def test_others_are_let_in_only_with_a_live_key(store: JobStore, clock: Clock) -> None:
    check_bind(store.database, None)
    for make_none in (lambda: None, lambda: revoke_key(store.database, create_key(store.database, owner="a").key.id)):
        make_none()
        with pytest.raises(InvalidInput, match="^host: '0.0.0.0': .*kinema keys create"):
            check_bind(store.database, ("host", "0.0.0.0"))
    create_key(store.database, owner="a", valid_s=5)
    check_bind(store.database, ("host", "0.0.0.0"))
    clock.forward(6)
    with pytest.raises(InvalidInput, match="^host: "):
        check_bind(store.database, ("host", "::"))


@pytest.mark.parametrize(
    "field,fields",
    [
        ("owner", {"owner": ""}),
        ("owner", {"owner": "a" * 201}),
        ("owner", {"owner": "a\nb"}),
        ("name", {"name": "\x00"}),
        ("scopes", {"scopes": ["root"]}),
        ("scopes", {"scopes": []}),
        ("valid_s", {"valid_s": 0}),
        ("valid_s", {"valid_s": float("nan")}),
    ],
)
def test_bad_keys(store: JobStore, field: str, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        create_key(store.database, **{"owner": "ann", **fields})  # pyright: ignore[reportArgumentType]
    assert list_keys(store.database) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"burst": 0}, {"burst": 1.5}, {"jobs_per_day": -1}, {"jobs_per_day": "3"}, {"queued": True}, {"requests_per_s": 0},
        {"max_priority": 101}, {"requests_per_s": float("inf")}, {"seconds_per_day": -0.1}, {"seconds_per_day": "x"},
    ],
)  # fmt: skip
def test_bad_limits(url: str, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=f"^{next(iter(fields))}: "):
        KeyLimits(**fields)  # pyright: ignore[reportArgumentType]


def test_a_changed_job_counts_by_the_difference(store: JobStore, ask: Authenticator, clock: Clock) -> None:
    caller = enter(ask, create_key(store.database, owner="ann", limits=KeyLimits(seconds_per_day=5, jobs_per_day=1)))
    assert caller.key_id is not None
    made = store.submit(order("ann", cost=2.0), within=[charge(caller, seconds=2)])
    assert isinstance(made, Job)

    def change(seconds: float) -> None:
        new = replace(made.order, cost=seconds)
        store.apply(made.id, Edit(order=new), owner="ann", within=recharge(caller, lambda job: job.order.cost))

    for seconds in (5, 1, 4):
        change(seconds)
        assert usage(store.database) == {caller.key_id: Usage(jobs=1, seconds=seconds)}
    with pytest.raises(AccessError) as error:
        change(6)
    assert error.value.code == "quota.seconds"
    after = store.get(made.id)
    assert after is not None
    assert after.order.cost == 4
    clock.forward(86400)
    change(1)
    assert usage(store.database) == {caller.key_id: Usage(jobs=0, seconds=0)}
