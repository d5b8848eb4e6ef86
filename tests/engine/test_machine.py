"""What the computer tells of itself, and joules where it tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinema.engine import machine
from kinema.engine.machine import EnergyMeter, bf16_instructions, cpu_model, num_cores, peak_rss_bytes
from kinema.engine.meter import Meter

_CPUINFO = """processor\t: 0
model name\t: Thing 3000
cpu family\t: 26
model\t\t: 2
stepping\t: 1
flags\t\t: fpu avx512f avx512_bf16 amx_bf16 sse

processor\t: 1
model name\t: Other
"""


@pytest.fixture(autouse=True)
def _forget() -> None:
    for function in (cpu_model, bf16_instructions, num_cores):
        function.cache_clear()


def test_the_first_processor_names_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(_CPUINFO, encoding="utf-8")
    monkeypatch.setattr(machine, "_CPUINFO", path)
    assert cpu_model() == "Thing 3000 26/2/1"
    assert bf16_instructions() == "amx_bf16"
    cpu_model.cache_clear()
    bf16_instructions.cache_clear()
    path.unlink()
    assert cpu_model()
    assert bf16_instructions() == ""


def test_two_threads_of_a_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        (tmp_path / str(cpu)).write_text(siblings, encoding="ascii")
    monkeypatch.setattr(machine, "_TOPOLOGY", str(tmp_path / "{}"))
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert num_cores() == 2
    num_cores.cache_clear()
    monkeypatch.setattr(machine, "_TOPOLOGY", str(tmp_path / "none{}"))
    assert num_cores() == 4


def test_memory_is_told_in_bytes() -> None:
    peak = peak_rss_bytes()
    assert peak is None or peak > 10e6


def _counter(root: Path, name: str, microjoules: int, limit: int = 1_000_000) -> None:
    (root / name).mkdir(exist_ok=True)
    (root / name / "energy_uj").write_text(f"{microjoules}\n", encoding="ascii")
    (root / name / "max_energy_range_uj").write_text(f"{limit}\n", encoding="ascii")


def test_joules_of_packages_are_summed_and_parts_are_not(tmp_path: Path) -> None:
    _counter(tmp_path, "intel-rapl:0", 100_000)
    _counter(tmp_path, "intel-rapl:1", 900_000)
    _counter(tmp_path, "intel-rapl:0:0", 0)
    meter = EnergyMeter(tmp_path)
    _counter(tmp_path, "intel-rapl:0", 400_000)
    _counter(tmp_path, "intel-rapl:1", 100_000)  # wrapped at a joule
    _counter(tmp_path, "intel-rapl:0:0", 70_000)
    assert meter.joules() == pytest.approx(0.3 + 0.2)


def test_joules_are_unknown_without_a_readable_counter(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path / "none").joules() is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert EnergyMeter(tmp_path).joules() is None
    metrics = Meter().metrics(flops=3.0)
    assert metrics.to_dict()["joules"] == "unknown" or metrics.joules is not None


def test_phases_add_up_and_are_shared() -> None:
    meter = Meter()
    for _ in range(2):
        with meter.phase("decode"):
            sum(range(20_000))
    whole, half = meter.metrics(flops=6.0), meter.metrics(flops=6.0, share=2)
    assert half.seconds["decode"] == pytest.approx(whole.seconds["decode"] / 2)
    assert whole.total_seconds == whole.seconds["decode"] > 0
