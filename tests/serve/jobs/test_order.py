from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kinema.serve.jobs.order import MAX_PASSED, Share, Waiting, choose, in_order, mates_of, served


def waiting(name: str, position: int = 0, **changes: object) -> Waiting:
    """Of the owner with the name's first letter."""
    fields = {"priority": 0, "model": "m", "plan_key": "p", "passed": 0, "is_fresh": True}
    return Waiting(id=name, owner=name[0], position=position, **{**fields, **changes})  # pyright: ignore[reportArgumentType]


def names(jobs: Sequence[Waiting], **shares: Share) -> str:
    return " ".join(j.id for j in in_order(jobs, shares))


def queue(text: str) -> list[Waiting]:
    return [waiting(name, i) for i, name in enumerate(text.split())]


def test_one_owner_is_served_in_order_of_submission() -> None:
    assert names([waiting("a3", 3), waiting("a1", 1), waiting("a2", 2)]) == "a1 a2 a3"


def test_owners_take_turns_however_many_jobs_each_has() -> None:
    assert names(queue("a1 a2 a3 a4 b1 c1 c2")) == "a1 b1 c1 a2 c2 a3 a4"


def test_who_runs_less_goes_first_and_then_who_was_served_longer_ago() -> None:
    jobs = queue("a1 a2 b1 b2 c1")
    assert names(jobs, a=Share(running=2), b=Share(running=1)) == "c1 b1 a1 b2 a2"
    assert names(jobs, a=Share(served_at=9), b=Share(served_at=5)) == "c1 b1 a1 b2 a2"


def test_priority_comes_before_fairness() -> None:
    jobs = [waiting("a1", 1), waiting("b1", 2, priority=-1), waiting("a2", 3, priority=5), waiting("a3", 4, priority=5)]
    assert names(jobs) == "a2 a3 a1 b1"


any_queue = st.lists(
    st.builds(
        lambda owner, position, priority, model: (owner, position, priority, model),
        st.sampled_from("abc"),
        st.integers(0, 50),
        st.integers(0, 1),
        st.sampled_from("mn"),
    ),
    max_size=15,
).map(lambda rows: [waiting(f"{o}{i}", p, priority=q, model=m) for i, (o, p, q, m) in enumerate(rows)])
any_shares = st.dictionaries(
    st.sampled_from("abc"), st.builds(Share, running=st.integers(0, 3), served_at=st.floats(0, 9))
)


@given(jobs=any_queue, shares=any_shares)
def test_the_order_is_that_of_claims_one_by_one(jobs: list[Waiting], shares: dict[str, Share]) -> None:
    """The whole order, against a slow claim of one job at a time by the rule's own words."""
    expected, left, now = [], list(jobs), 10.0
    after = dict(shares)
    while left:
        top = [j for j in left if j.priority == max(j.priority for j in left)]
        job = min(top, key=lambda j: (after.get(j.owner, Share()), j.position, j.id))
        mine = [j for j in top if j.owner == job.owner]
        job = min(mine, key=lambda j: (j.position, j.id))
        expected.append(job.id)
        left.remove(job)
        after = served(after, job.owner, now := now + 1)
    assert [j.id for j in in_order(jobs, shares)] == expected


def test_a_warm_model_goes_first_but_not_for_ever() -> None:
    cold, warm = waiting("a1", 1, model="cold"), waiting("b1", 2, model="warm")
    assert choose([cold, warm], {}, {"warm"}) == (warm, cold)
    tired = waiting("a1", 1, model="cold", passed=MAX_PASSED)
    assert choose([tired, warm], {}, {"warm"}) == (tired, None)
    assert choose([cold, warm], {}) == (cold, None)
    assert choose([cold], {}, {"warm"}) == (cold, None)
    assert choose([], {}, {"warm"}) == (None, None)


def test_a_warm_model_does_not_go_before_a_higher_priority() -> None:
    cold, warm = waiting("a1", 1, model="cold", priority=1), waiting("b1", 2, model="warm")
    assert choose([cold, warm], {}, {"warm"}) == (cold, None)


def test_mates_share_plan_and_priority_and_are_fresh() -> None:
    first = waiting("a1")
    others = [
        waiting("b1"),
        waiting("b2", plan_key="q"),
        waiting("b3", model="n"),
        waiting("b4", priority=1),
        waiting("b5", is_fresh=False),
    ]
    assert [j.id for j in mates_of(first, others)] == ["b1"]
    # what may have killed a worker, or has a checkpoint to be read, runs alone
    assert mates_of(waiting("a1", is_fresh=False), others) == []
    assert mates_of(waiting("a1", plan_key=""), [waiting("b1", plan_key="")]) == []
    assert mates_of(first, others, {(first.model, first.plan_key)}) == []
    assert [j.id for j in mates_of(first, others, {("n", first.plan_key), (first.model, "q")})] == ["b1"]
