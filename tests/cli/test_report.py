"""Reporters: a bar on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import json

import pytest

from kinema.cli.report import JsonReporter, PlainReporter, RichReporter, make_reporter
from kinema.core.progress import Progress


def step(number: int, phase: str = "denoise", eta_s: float | None = None, sample: int = 0) -> Progress:
    """Step ``number`` of five."""
    return Progress(phase=phase, step=number, steps=5, eta_s=eta_s, sample=sample)  # pyright: ignore[reportArgumentType]


def test_json_repeats_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonReporter() as reporter:
        for number in (1, 1, 2, 2):
            reporter.progress(step(number, eta_s=1.23456))
        reporter.note("一只小狗")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(e["event"], e.get("step")) for e in lines] == [("progress", 1), ("progress", 2), ("note", None)]
    assert lines[0]["eta_s"] == 1.23
    assert lines[2]["text"] == "一只小狗"


def test_plain_lines_mark_the_phases(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainReporter() as reporter:
        reporter.progress(step(0, "load"))
        for number in range(1, 6):
            reporter.progress(step(number, eta_s=100.0 - 20 * number))
        reporter.progress(step(1, sample=1, eta_s=7384.0))
        reporter.result("clip", {}, "a.mp4")
    out, err = capsys.readouterr()
    assert out == "a.mp4\n"
    assert err.splitlines() == [
        "load 0/5",
        "denoise 1/5, about 1 min 20 s left",
        "denoise 5/5, about 0 s left",
        "clip 2: denoise 1/5, about 2 h 03 min left",
    ]


def test_a_bar_is_gone_before_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    with RichReporter() as reporter:
        reporter.note("before")
        for sample in range(2):
            reporter.progress(step(2, sample=sample))
            reporter.result("clip", {}, f"{sample}.mp4")
        reporter.progress(Progress(phase="load", step=0, steps=0))
    out, err = capsys.readouterr()
    assert out == "0.mp4\n1.mp4\n"
    assert err.startswith("before\n")


def test_without_a_terminal_no_bar_is_drawn() -> None:
    assert type(make_reporter(as_json=False)) is PlainReporter
    assert type(make_reporter(as_json=True)) is JsonReporter
