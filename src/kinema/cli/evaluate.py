"""`kinema evaluate`: what a model can do, counted."""

from __future__ import annotations

from typing import Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter
from kinema.core.progress import CancelToken
from kinema.core.stopping import stops_on_signals


# typer reads a verb's flags from its parameters
def world(  # noqa: PLR0913
    model: Annotated[str, typer.Option(metavar="MODEL", help="A model's name or its folder.")] = "kinema-mini",
    out: Annotated[str, typer.Option(metavar="FOLDER", help="For scores.json and scores.html.")] = "scores",
    split: Annotated[str, typer.Option(metavar="NAME", help="train, validation or test.")] = "test",
    difficulty: Annotated[str, typer.Option(metavar="NAME", help="core, single or full.")] = "core",
    suites: Annotated[str, typer.Option(metavar="LIST", help="Any of plain,held_out,together,hand_written.")] = "plain",
    scenes: Annotated[int, typer.Option(help="Scenes of each suite, each asked for in both languages.")] = 64,
    seeds: Annotated[int, typer.Option(help="Clips of each prompt.")] = 1,
    buckets: Annotated[int, typer.Option(help="Scenes that are also asked for in every size and length; 0: none.")] = 0,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Width and height; the model's own by default.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strongly to keep to the words.")] = None,
    conditions: Annotated[
        bool, typer.Option("--conditions/--words", help="Also measure camera, motion score and first frame; or words alone.")
    ] = True,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Make clips of scenes that the model has never seen, read them with the judges, and count what is as it was asked for.

    Every share comes with its 95 % interval and the judges' floor, which is what they say of true clips of the same scenes.
    """
    from kinema.app.evaluate import evaluate_world
    from kinema.evaluation.model import Examination

    examination = Examination(
        split=split, difficulty=difficulty, suites=tuple(name.strip() for name in suites.split(",")), scenes=scenes, seeds=seeds,
        buckets=buckets, size=size, steps=steps, guidance=guidance,
    )  # fmt: skip
    with make_reporter(as_json=as_json) as reporter, stops_on_signals(CancelToken()) as cancel:
        result = evaluate_world(
            model, examination, out, with_conditions=conditions, observer=reporter.progress, cancel=cancel
        )
        floor = {name: f" (floor {row['share']:.0%})" for name, row in result["floor"]["attributes"].items()}
        for name, row in result["words"]["attributes"].items():
            low, high = row["interval_95"]
            reporter.note(f"{name:10s} {row['share']:6.1%}  {low:.0%} to {high:.0%}{floor.get(name, '')}")
        reporter.result("scores", result, f"{out}/scores.html")
