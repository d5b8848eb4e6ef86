"""`kinema train`: models from nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter
from kinema.core.progress import CancelToken
from kinema.core.stopping import stops_on_signals


def mini(
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where everything goes; the same command goes on after a stop.")
    ] = "runs/mini",
    budget: Annotated[float, typer.Option(metavar="MINUTES", help="For the whole recipe, on two cores.")] = 60.0,
    start: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Go on from a Kinema model, by name or folder, not from nothing."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that render and encode.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the shipped model anew: render its world, train the autoencoder, then the transformer.

    Ctrl-C and SIGTERM stop after the step at hand, with a checkpoint; the same command goes on from there.
    """
    from kinema.app import train

    with make_reporter(as_json=as_json) as reporter, stops_on_signals(CancelToken()) as cancel:
        model, facts = train.train_mini(
            out, budget_minutes=budget, start=start, device=device, workers=workers, observer=reporter.progress,
            cancel=cancel,
        )  # fmt: skip
        reporter.note(f'try it: kinema generate "a puppy plays in the park" --model {model}')
        reporter.result("training", {"model": str(model), "phases": dict(facts)}, str(model))


def judges(
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where everything goes; the same command goes on after a stop.")
    ] = "runs/judges",
    budget: Annotated[float, typer.Option(metavar="MINUTES", help="For the training, on two cores.")] = 60.0,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the judges of the world anew: what reads from a clip's pixels what it shows.

    Ctrl-C and SIGTERM stop after the step at hand, with a checkpoint; the same command goes on from there.
    """
    from kinema.app import train

    with make_reporter(as_json=as_json) as reporter, stops_on_signals(CancelToken()) as cancel:
        folder, card = train.train_judges(
            out, budget_minutes=budget, device=device, workers=workers, observer=reporter.progress, cancel=cancel
        )
        reporter.result("training", {"judges": str(folder), "card": card}, str(folder))
