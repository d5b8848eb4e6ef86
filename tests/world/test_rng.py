from __future__ import annotations

from kinema.world.rng import Random


def test_the_stream_is_the_published_one() -> None:
    # SplitMix64's reference output for state 1234567 (Vigna, splitmix64.c).
    random = Random(0)
    random._state = 1234567
    assert [random.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_seed_and_name_choose_the_stream() -> None:
    firsts = {Random(seed, name).bits() for seed in range(20) for name in ("", "a", "b")}
    assert len(firsts) == 60
    assert Random(3, "a").bits() == Random(3, "a").bits()


def test_numbers_fill_their_ranges_evenly() -> None:
    random = Random(5)
    drawn = [random.uniform(-2.0, 3.0) for _ in range(4000)]
    assert -2.0 <= min(drawn) < -1.98
    assert 2.98 < max(drawn) < 3.0
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.1
    assert abs(sum(random.chance(0.3) for _ in range(4000)) / 4000 - 0.3) < 0.03
    picks = [random.choice("abc") for _ in range(3000)]
    assert all(900 < picks.count(c) < 1100 for c in "abc")
    heavy = [random.weighted({"x": 3.0, "y": 1.0}) for _ in range(4000)]
    assert abs(heavy.count("x") / 4000 - 0.75) < 0.03
