from __future__ import annotations

from kinema.serve.jobs.eta import Eta, Run, predict


def run(seconds: float, shape: str = "s", steps: int = 5, cost: float = 2.0) -> Run:
    return Run(seconds=seconds, shape=shape, steps=steps, cost=cost)


def eta(median_s: float, p90_s: float | None = None) -> Eta:
    return Eta(median_s=median_s, p90_s=median_s if p90_s is None else p90_s)


def test_runs_alike_are_taken_as_they_are() -> None:
    runs = [run(s) for s in (9, 1, 3, 5, 7, 11, 13, 15, 17, 100)] + [run(1000, shape="t"), run(1000, steps=6)]
    assert predict(runs, shape="s", steps=5, cost=77) == eta(10, 17)


def test_others_are_scaled_by_cost() -> None:
    runs = [run(4, cost=2), run(9, shape="t", cost=3)]
    assert predict(runs, shape="u", steps=5, cost=10) == eta(25, 30)


def test_nothing_is_made_up() -> None:
    assert predict([], shape="s", steps=5, cost=1) is None


def test_what_is_left() -> None:
    assert eta(4, 9).after(5) == eta(0, 4)
    assert eta(4, 10).scaled(0.5) == eta(2, 5)
