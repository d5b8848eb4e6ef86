"""How a long call is told: rich progress on a terminal, plain lines elsewhere, one JSON object a line with ``--json``.

Results go to stdout, everything else to stderr; with ``--json`` all of it goes to stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from kinema.core.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

# a line for each step of a fast phase would bury the rest
_PLAIN_EVERY_S = 2.0


class Reporter(Protocol):
    """Where the events of a verb go; a context manager, so that a progress bar is taken down on errors too."""

    def progress(self, event: Progress) -> None:
        """Tells of a step."""
        ...

    def note(self, text: str) -> None:
        """Tells what is worth knowing besides."""
        ...

    def result(self, kind: str, data: Mapping[str, Any], text: str) -> None:
        """Tells a result: ``data`` to a program, ``text`` to a person."""
        ...

    def __enter__(self) -> Reporter: ...

    def __exit__(self, *error: object) -> None: ...


def make_reporter(*, as_json: bool) -> Reporter:
    """The reporter for this process's terminal, or its absence."""
    if as_json:
        return JsonReporter()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return RichReporter()
    return PlainReporter()


class JsonReporter:
    """One JSON object a line, on stdout."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def progress(self, event: Progress) -> None:
        """Writes a ``progress`` object, unless it says what the one before said."""
        eta = None if event.eta_s is None else round(event.eta_s, 2)
        data = {"phase": event.phase, "step": event.step, "steps": event.steps, "eta_s": eta, "sample": event.sample}
        if data != self._last:
            self._last = data
            self._write("progress", data)

    def note(self, text: str) -> None:
        """Writes a ``note`` object."""
        self._write("note", {"text": text})

    def result(self, kind: str, data: Mapping[str, Any], text: str) -> None:
        """Writes ``data`` as an object of kind ``kind``."""
        self._write(kind, data)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @staticmethod
    def _write(kind: str, data: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps({"event": kind, **data}, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class PlainReporter:
    """A line now and then on stderr, results on stdout."""

    def __init__(self) -> None:
        self._phase, self._last = "", 0.0

    def progress(self, event: Progress) -> None:
        """Writes a line when a phase begins or ends, and every few seconds between."""
        now, phase = time.monotonic(), f"{event.phase}{event.sample}"
        is_last = event.step == event.steps and event.steps > 1
        if phase == self._phase and not is_last and now - self._last < _PLAIN_EVERY_S:
            return
        self._phase, self._last = phase, now
        sys.stderr.write(f"{_counted(event)}{_eta(event, ', about ')}\n")
        sys.stderr.flush()

    def note(self, text: str) -> None:
        """Writes ``text`` to stderr."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def result(self, kind: str, data: Mapping[str, Any], text: str) -> None:
        """Writes ``text`` to stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class RichReporter(PlainReporter):
    """A bar for the phase at hand, drawn from the first step on and gone before a result is written."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: Bars | None = None

    def progress(self, event: Progress) -> None:
        """Moves the bar."""
        bars = self._bars or self._start()
        text, eta = _counted(event), _eta(event, "")
        bars.update(bars.task_ids[0], description=text, completed=event.step, total=event.steps or None, eta=eta)

    def note(self, text: str) -> None:
        """Writes ``text`` above the bar."""
        self._stop()
        super().note(text)

    def result(self, kind: str, data: Mapping[str, Any], text: str) -> None:
        """Takes the bar down and writes ``text`` to stdout."""
        self._stop()
        super().result(kind, data, text)

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _start(self) -> Bars:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[eta]}"))
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
        self._bars.add_task("", total=None, eta="")
        self._bars.start()
        return self._bars

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _counted(event: Progress) -> str:
    clip = f"clip {event.sample + 1}: " if event.sample else ""
    return f"{clip}{event.phase}" + (f" {event.step}/{event.steps}" if event.steps else "")


def _eta(event: Progress, before: str) -> str:
    if event.eta_s is None:
        return ""
    seconds = max(0, round(event.eta_s))
    if seconds < 60:
        return f"{before}{seconds} s left"
    if seconds < 3600:
        return f"{before}{seconds // 60} min {seconds % 60:02d} s left"
    return f"{before}{seconds // 3600} h {seconds % 3600 // 60:02d} min left"
