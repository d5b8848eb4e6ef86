"""Which job is next: priority, then each owner's fair share, then the order of submission; warm models first, within bounds. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

# a job at the head lets so many jobs of a warm model go before it, and no more
MAX_PASSED = 4


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A queued job, as far as the order goes. ``is_fresh``: no worker died with it and no checkpoint has to be read."""

    id: str
    owner: str
    priority: int
    position: int
    model: str
    plan_key: str
    passed: int
    is_fresh: bool


@dataclass(frozen=True, kw_only=True, order=True)
class Share:
    """What an owner has had: jobs that run now, and when the last was taken (seconds since 1970; lately, or 0). Less goes first."""

    running: int = 0
    served_at: float = 0.0


def in_order(waiting: Sequence[Waiting], shares: Mapping[str, Share]) -> Iterator[Waiting]:
    """``waiting`` as it would be taken if nothing finished meanwhile."""
    lines: dict[tuple[int, str], list[Waiting]] = defaultdict(list)
    for job in sorted(waiting, key=lambda j: (j.position, j.id), reverse=True):
        lines[-job.priority, job.owner].append(job)
    shares, turn = dict(shares), max((s.served_at for s in shares.values()), default=0.0)
    for priority in sorted({p for p, _ in lines}):
        heads = [
            (shares.get(owner, Share()), line[-1].position, line[-1].id, owner)
            for (p, owner), line in lines.items()
            if p == priority
        ]
        heapq.heapify(heads)
        while heads:
            share, _, _, owner = heapq.heappop(heads)
            line = lines[priority, owner]
            yield line.pop()
            turn += 1.0
            shares[owner] = Share(running=share.running + 1, served_at=turn)
            if line:
                heapq.heappush(heads, (shares[owner], line[-1].position, line[-1].id, owner))


def choose(
    waiting: Sequence[Waiting], shares: Mapping[str, Share], warm: Collection[str] = ()
) -> tuple[Waiting | None, Waiting | None]:
    """The job to take next, and the head that it was taken before, if any.

    A job of a ``warm`` model goes before a head of the same priority that is not, until the head was passed `MAX_PASSED` times.
    """
    ordered = in_order(waiting, shares)
    head = next(ordered, None)
    if head is None or not warm or head.model in warm or head.passed >= MAX_PASSED:
        return head, None
    for job in ordered:
        if job.priority != head.priority:
            break
        if job.model in warm:
            return job, head
    return head, None


def mates_of(first: Waiting, waiting: Sequence[Waiting], apart: Collection[tuple[str, str]] = ()) -> list[Waiting]:
    """Those that may run in one batch with ``first``: same plan and priority, fresh all of them. What may kill a worker runs alone.

    Nor may they of a plan (model, its key) that is to be kept ``apart``.
    """
    if not first.plan_key or not first.is_fresh or (first.model, first.plan_key) in apart:
        return []
    same = (first.model, first.plan_key, first.priority)
    return [j for j in waiting if j.is_fresh and (j.model, j.plan_key, j.priority) == same]


def served(shares: Mapping[str, Share], owner: str, now: float) -> dict[str, Share]:
    """``shares`` after ``owner`` got one more job."""
    return {
        **shares,
        owner: replace(shares.get(owner, Share()), running=shares.get(owner, Share()).running + 1, served_at=now),
    }
