"""The table of words, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from kinema.cli import doctor, errors, evaluate, files, generate, jobs, keys, models, serve, train, world
from kinema.cli.interrupts import INTERRUPTED
from kinema.core.version import VERSION

VERBS: dict[str, Callable[..., object]] = {
    "generate": generate.generate,
    "inspect": files.inspect,
    "reproduce": files.reproduce,
    "doctor": doctor.doctor,
    "serve": serve.serve,
    "submit": jobs.submit,
    "jobs": jobs.jobs,
    "watch": jobs.watch,
    "cancel": jobs.cancel,
    "download": jobs.download,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., object]]]] = {
    "models": (
        "The models that are here, and how more are downloaded.",
        {"list": models.list_, "inspect": models.inspect, "get": models.get},
    ),
    "keys": (
        "API keys of the service: who may use it.",
        {"create": keys.create, "list": keys.list_, "revoke": keys.revoke},
    ),
    "train": (
        "Train models: `kinema train mini` makes the shipped one anew.",
        {"mini": train.mini, "judges": train.judges},
    ),
    "evaluate": ("Scores of a model: clips made, judged and counted.", {"world": evaluate.world}),
    "world": (
        "The procedural world: scenes with known truth, from a seed.",
        {
            "sample": world.sample,
            "sheet": world.sheet,
            "truth": world.truth,
            "edit": world.edit,
            "judge": world.judge,
            "bench": world.bench,
        },
    ),
}


def run(arguments: Sequence[str]) -> int:
    """The exit code of ``kinema ARGUMENTS``. Whatever goes wrong becomes one line on stderr, and a JSON object with ``--json``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that can't show Chinese still gets its text
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        code = _app()(args=list(arguments), prog_name="kinema", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # the reader of our output left, as `head` does
        errors.abandon_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, typer.Exit):
            return error.exit_code
        problem = errors.problem_of(error)
        errors.report(problem, as_json="--json" in arguments)
        if os.environ.get("KINEMA_TRACEBACK"):
            raise
        return problem.exit_code


def _app() -> typer.Typer:
    app = typer.Typer(
        help="Words, pictures, sound and footage into video, on your own machine.", no_args_is_help=True, **_STYLE
    )
    app.callback()(_options)
    for word, function in VERBS.items():
        app.command(word)(function)
    for word, (summary, functions) in GROUPS.items():
        group = typer.Typer(help=summary, no_args_is_help=True, **_STYLE)
        for verb, function in functions.items():
            group.command(verb)(function)
        app.add_typer(group, name=word)
    return app


# rich would double the time that `kinema --help` takes
_STYLE = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        sys.stdout.write(f"kinema {VERSION}\n")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Words, pictures, sound and footage into video, on your own machine."""
