"""`kinema serve`: the HTTP service on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter


# typer reads a verb's flags from its parameters
def serve(  # noqa: PLR0913
    host: Annotated[str, typer.Option(help="Address to listen to; others than this machine's own need an API key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any that is free.")] = 8000,
    data: Annotated[str | None, typer.Option(metavar="FOLDER", help="Where jobs and files are kept.")] = None,
    database: Annotated[str, typer.Option(metavar="URL", help="postgresql://USER@HOST/NAME instead of SQLite in the folder.")] = "",
    models: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A model to serve; may be repeated, first the default.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:NUMBER.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Worker processes: one for each GPU, or shares of the cores.")] = 1,
    batch: Annotated[int, typer.Option(help="Jobs of one plan that are denoised together; more clips an hour, each of them later.")] = 1,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="The API alone; a server on the same database and folder works.")] = False,
    allow: Annotated[list[str] | None, typer.Option(metavar="HOST", help="A private host that may be fetched from; repeatable.")] = None,
    public_url: Annotated[str, typer.Option(metavar="URL", help="How clients reach it, behind a proxy.")] = "",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Serve a video API over HTTP: submit, poll, stream, cancel, download. SIGTERM and Ctrl-C lose no job."""
    from kinema.app.server import serve as run
    from kinema.serve.settings import Settings

    given = {
        "data": None if data is None else Path(data),
        "models": models and tuple(models),
        "fetch_allow": allow and tuple(allow),
    }
    settings = Settings(
        host=host,
        port=port,
        database=database,
        device=device,
        workers=workers,
        batch=batch,
        public_url=public_url,
        **{name: value for name, value in given.items() if value},  # pyright: ignore[reportArgumentType]
    )
    with make_reporter(as_json=as_json) as reporter:
        run(
            settings,
            has_workers=not no_worker,
            log=reporter.note,
            on_listening=lambda url: reporter.result("listening", {"url": url}, f"listening on {url}; Ctrl-C stops"),
        )
