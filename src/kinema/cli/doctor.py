"""`kinema doctor`: is this machine fit?"""

from __future__ import annotations

from pathlib import Path

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter


def doctor(as_json: JsonOption = False) -> None:
    """Check Python, torch, processor, memory, video writing, disk and models, and measure matrix products."""
    from kinema.app.doctor import examine

    is_well = True
    with make_reporter(as_json=as_json) as reporter:
        for finding in examine(Path()):
            is_well &= finding.is_well
            hint = f" -> {finding.hint}" if finding.hint else ""
            mark = "ok " if finding.is_well else "BAD"
            reporter.result("check", finding.to_dict(), f"{mark} {finding.name:<16} {finding.value}{hint}")
    raise typer.Exit(0 if is_well else 1)
