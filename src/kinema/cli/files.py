"""`kinema inspect` and `kinema reproduce`: what is inside a file, and whether it can be made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from kinema.cli.report import make_reporter
from kinema.cli.weights import (
    Lora2Option,
    LoraOption,
    MemoryOption,
    Transformer2Option,
    TransformerOption,
)
from kinema.core.progress import CancelToken
from kinema.core.stopping import stops_on_signals

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A video or picture.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


def inspect(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show what a video or picture is, and the recipe that it was made by."""
    from kinema.app import files

    found = files.inspect(file).to_dict()
    with make_reporter(as_json=as_json) as reporter:
        lines = [found["path"], *_lines(found["media"], "  ")]
        lines += ["recipe:", *_lines(found["recipe"], "  ")] if found["recipe"] else ["recipe: none"]
        reporter.result("file", found, "\n".join(lines))


def reproduce(  # noqa: PLR0913 - typer reads a verb's flags from its parameters
    file: FileArgument,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's folder, where the recipe's isn't a shipped one.")
    ] = None,
    offload: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where weights lie this time, which changes no pixel; see generate."),
    ] = None,
    memory_limit: MemoryOption = None,
    lora: LoraOption = None,
    lora_2: Lora2Option = None,
    transformer: TransformerOption = None,
    transformer_2: Transformer2Option = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Keep the clip that was made again.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a clip again from the recipe inside FILE, and say whether every pixel is the same (exit code 0) or not (1).

    LoRAs and a transformer's file are found where the recipe says, unless they are named here; they must hold the same.
    """
    from kinema.app import local
    from kinema.app import reproduce as again

    job = again.read_job(
        file,
        model=model,
        out=out,
        overwrite=force,
        offload=offload,
        memory_limit_gb=memory_limit,
        files=local.files_of(transformer, transformer_2),
        loras=local.loras_of(lora or (), lora_2 or ()),
    )
    with make_reporter(as_json=as_json) as reporter, stops_on_signals(CancelToken()) as cancel:
        outcome = again.run_job(job, observer=reporter.progress, cancel=cancel)
        verdict = "the same frames" if outcome.is_same else "different frames"
        lines = [f"{file}: {verdict}", *(f"  {note}" for note in outcome.differences)]
        reporter.result("reproduction", outcome.to_dict(), "\n".join(lines))
    raise typer.Exit(0 if outcome.is_same else 1)


def _lines(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        elif value is not None:
            yield f"{indent}{key}: {value}"
