"""bench/record.py: a result says what it holds for, and appears whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from kinema.core.version import VERSION

PATH = Path(__file__).resolve().parents[2] / "bench" / "record.py"
spec = importlib.util.spec_from_file_location("bench_record", PATH)
assert spec is not None
assert spec.loader is not None
record = importlib.util.module_from_spec(spec)
sys.modules["bench_record"] = record
spec.loader.exec_module(record)


def test_a_result_carries_machine_versions_and_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record.record("question", {"answer_s": 0.42}, folder=tmp_path / "results")
    assert path == tmp_path / "results" / "question.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["result"] == {"answer_s": 0.42}
    assert result["versions"]["kinema"] == VERSION
    assert {"cpu", "cores", "memory_gb", "system"} <= set(result["hardware"])
    assert {"commit", "is_modified"} == set(result["git"])
    assert json.loads(capsys.readouterr().out) == {"benchmark": "question", "answer_s": 0.42}


def test_a_result_that_is_no_json_leaves_the_old_one(tmp_path: Path) -> None:
    record.record("question", {"answer": 1}, folder=tmp_path)
    with pytest.raises(TypeError):
        record.record("question", {"answer": object()}, folder=tmp_path)
    assert json.loads((tmp_path / "question.json").read_text(encoding="utf-8"))["result"] == {"answer": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["question.json"]


def test_the_summary_is_the_median() -> None:
    assert record.summary([3.0, 1.0, 7.0, 2.0, 5.0]) == {"median_s": 3.0, "least_s": 1.0, "most_s": 7.0, "runs": 5}
