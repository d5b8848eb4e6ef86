"""The dtype is measured, kept, and read back; a machine's plan stays the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinema.core.errors import InvalidInput
from kinema.core.request import GenerationRequest
from kinema.engine import choose
from kinema.engine.choose import DtypeChoice, choose_dtypes, current_isa, isa_name, known_choice, measure_dtypes
from kinema.engine.engine import Engine


def test_a_choice_is_what_was_faster_by_the_margin() -> None:
    choice = measure_dtypes(1)
    seconds = choice.seconds
    for dtype, what in ((choice.dtype, "matmul"), (choice.vae_dtype, "conv")):
        wins = seconds[f"{what}_bfloat16"] < 0.9 * seconds[f"{what}_float32"]
        assert dtype == ("bfloat16" if wins else "float32")
    assert min(seconds.values()) > 0
    assert choice.isa == current_isa("cpu")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that were measured for; measuring takes no time."""
    made: list[int] = []

    def measure(threads: int, *, device: str) -> DtypeChoice:
        made.append(threads)
        return DtypeChoice(dtype="bfloat16", vae_dtype="float32", isa="AVX2", seconds={"matmul_float32": 1.0})

    monkeypatch.setattr(choose, "measure_dtypes", measure)
    return made


def test_a_choice_is_made_once(tmp_path: Path, made: list[int]) -> None:
    cache = tmp_path / "deep" / "machine.json"
    assert known_choice(cache) is None
    first = choose_dtypes(3, cache=cache)
    assert choose_dtypes(3, cache=cache) == first == known_choice(cache)
    assert made == [3]
    choose_dtypes(5, cache=cache)
    assert made == [3, 5], "more threads are another machine"
    assert [p.name for p in cache.parent.iterdir()] == ["machine.json"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_file_is_measured_over(tmp_path: Path, made: list[int], text: str) -> None:
    cache = tmp_path / "machine.json"
    cache.write_text(text, encoding="utf-8")
    assert known_choice(cache) is None
    choice = choose_dtypes(1, cache=cache)
    assert made == [1]
    assert known_choice(cache) == choice


def test_a_damaged_entry_is_measured_over(tmp_path: Path, made: list[int]) -> None:
    cache = tmp_path / "machine.json"
    choose_dtypes(1, cache=cache)
    data = json.loads(cache.read_text(encoding="utf-8"))
    key = next(k for k in data if k != "format")
    cache.write_text(json.dumps({**data, key: {**data[key], "dtype": "float8"}}), encoding="utf-8")
    assert known_choice(cache) is None
    assert choose_dtypes(1, cache=cache).dtype == "bfloat16"
    assert made == [1, 1]


def test_a_place_that_can_not_be_written_is_no_error(tmp_path: Path, made: list[int]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert choose_dtypes(1, cache=tmp_path / "file" / "machine.json").isa
    assert made == [1]


def test_a_plan_takes_the_choice_and_keeps_it(tiny: Path, tmp_path: Path, request_: GenerationRequest) -> None:
    cache = tmp_path / "machine.json"
    plan = Engine(tiny, threads=1, cache=cache).plan(request_)
    choice = known_choice(cache)
    assert choice is not None
    assert (plan.dtype, plan.vae_dtype, plan.isa) == (choice.dtype, choice.vae_dtype, choice.isa)
    assert Engine(tiny, threads=1, cache=cache).plan(request_) == plan
    other = {"float32": "bfloat16", "bfloat16": "float32"}[plan.dtype]
    asked = Engine(tiny, threads=1, cache=cache, dtype=other).plan(request_)
    assert (asked.dtype, asked.vae_dtype) == (other, other)


def test_a_capped_vector_set_names_no_wider_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "bf16_instructions", lambda: "amx_bf16")
    assert isa_name("AVX512") == "AVX512+amx_bf16"
    assert isa_name("AVX2") == "AVX2"
    monkeypatch.setattr(choose, "bf16_instructions", lambda: "")
    assert isa_name("AVX512") == "AVX512"


def test_a_choice_names_known_dtypes() -> None:
    with pytest.raises(InvalidInput, match="^vae_dtype: "):
        DtypeChoice(dtype="float32", vae_dtype="int8", isa="AVX2")
