"""What goes wrong, in one line that names field, value and what would work."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from kinema.cli.interrupts import INTERRUPTED, was_interrupted
from kinema.core.errors import InvalidInput, KinemaError

# module -> the extra that brings it
EXTRAS = {
    "transformers": "text",
    "sentencepiece": "text",
    "tokenizers": "text",
    "ftfy": "text",
    "huggingface_hub": "hub",
    "torchao": "quantise",
    "scenedetect": "curate",
    "cv2": "curate",
    "fastapi": "serve",
    "uvicorn": "serve",
    "sqlalchemy": "serve",
    "alembic": "serve",
    "anyio": "client",
    "httpx": "client",
    "psycopg": "postgres",
    "ray": "cluster",
    "tensorboard": "dev",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error as a user sees it."""

    exit_code: int
    message: str
    field: str | None = None
    value: str | None = None
    rule: str | None = None


def problem_of(error: BaseException) -> Problem:
    """What to tell a user about ``error``."""
    if isinstance(error, KeyboardInterrupt) or (was_interrupted() and not isinstance(error, KinemaError)):
        return Problem(exit_code=INTERRUPTED, message="interrupted")
    if isinstance(error, InvalidInput):
        value = str(error.value) if isinstance(error.value, (str, os.PathLike)) else repr(error.value)
        return Problem(exit_code=error.exit_code, message=str(error), field=error.field, value=value, rule=error.rule)
    if isinstance(error, KinemaError):
        # what a server refuses has a field too
        return Problem(exit_code=error.exit_code, message=str(error), field=getattr(error, "field", None))
    if type(error).__module__.partition(".")[0] in ("typer", "click"):
        return _usage_problem(error)
    module = error.name.partition(".")[0] if isinstance(error, ImportError) and error.name else "kinema"
    if module != "kinema":
        extra = f"[{EXTRAS[module]}]" if module in EXTRAS else ""
        return _problem(2, "install", module, f"is missing; pip install 'kinema{extra}'")
    if isinstance(error, MemoryError):
        return Problem(exit_code=1, message="out of memory; close other programs or ask for less")
    if isinstance(error, OSError) and error.strerror:
        return _problem(2, "file", str(error.filename or "output"), error.strerror)
    return Problem(
        exit_code=1,
        message=f"internal: {type(error).__name__}: {error} (a bug; KINEMA_TRACEBACK=1 shows where)",
    )


def report(problem: Problem, *, as_json: bool) -> None:
    """Writes ``problem`` as one line to stderr and, for a program that reads along, as a JSON object to stdout."""
    try:
        if as_json:
            sys.stdout.write(json.dumps({"event": "error", **asdict(problem)}, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    except OSError:  # what can't be written there still goes to stderr
        abandon_stdout()
    sys.stderr.write(f"error: {' '.join(problem.message.split())}\n")
    sys.stderr.flush()


def abandon_stdout() -> None:
    """Sends what is left for stdout nowhere, so that the interpreter doesn't fail over it when it leaves."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _problem(exit_code: int, field: str, value: str, rule: str) -> Problem:
    return Problem(exit_code=exit_code, message=f"{field}: {value}: {rule}", field=field, value=value, rule=rule)


def _usage_problem(error: BaseException) -> Problem:
    """The parser's errors, told apart by what they carry: their classes are private to typer."""
    kind, message = type(error).__name__, str(getattr(error, "message", error))
    if kind == "Abort":
        return Problem(exit_code=INTERRUPTED, message="interrupted")
    if kind == "NoArgsIsHelpError":
        return _problem(2, "command", "none", f"must be named; {_command(error)} --help lists them")
    if kind == "NoSuchOption":
        similar = sorted(getattr(error, "possibilities", None) or ())
        hint = f"did you mean {' or '.join(similar)}?" if similar else f"{_command(error)} --help lists them"
        return _problem(2, "option", getattr(error, "option_name", ""), f"unknown; {hint}")
    if kind == "MissingParameter":
        return _problem(2, _parameter(error), "none", f"is required; {_command(error)} --help shows how")
    if (value := _refused_value(error)) is not None:
        rule = re.sub(r"^Input should ", "must ", message.partition(",")[0])
        return _problem(2, _parameter(error), value, rule)
    if match := re.match(r"Option '(.*?)' requires an argument", message):
        return _problem(2, match[1], "none", "needs a value")
    if match := re.match(r"Got unexpected extra argument\S* \((.*)\)", message, re.DOTALL):
        return _problem(2, "argument", match[1], "unexpected; a prompt of several words goes in quotes")
    if match := re.match(r"No such command '(.*?)'", message, re.DOTALL):
        return _problem(2, "command", match[1], f"unknown; {_command(error)} --help lists them")
    return Problem(exit_code=getattr(error, "exit_code", 2), message=message)


def _parameter(error: BaseException) -> str:
    """The flag or argument that ``error`` is about."""
    parameter = getattr(error, "param", None)
    flags = [name for name in getattr(parameter, "opts", ()) if name.startswith("-")]
    return flags[0] if flags else getattr(parameter, "name", None) or "argument"


def _refused_value(error: BaseException) -> str | None:
    """What was given for a parameter of another type; typer leaves it to pydantic to say."""
    list_errors: Callable[[], list[dict[str, object]]] | None = getattr(error.__cause__, "errors", None)
    return str(list_errors()[0].get("input")) if callable(list_errors) else None


def _command(error: BaseException) -> str:
    return getattr(getattr(error, "ctx", None), "command_path", None) or "kinema"
