"""`kinema world`: clips of the procedural world, and their truth."""

from __future__ import annotations

from typing import Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter
from kinema.core.progress import CancelToken
from kinema.core.stopping import stops_on_signals

SplitOption = Annotated[str, typer.Option(metavar="NAME", help="train, validation or test.")]
FramesOption = Annotated[int, typer.Option(help="Frames of a clip.")]
FpsOption = Annotated[float, typer.Option(help="Frames a second.")]
SizeOption = Annotated[str, typer.Option(metavar="WxH", help="Width and height in pixels.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def sample(
    out: Annotated[str, typer.Option(metavar="FILE", help="The clip; its truth goes beside it as .json.")],
    seed: Annotated[int, typer.Option(help="Which scene.")] = 0,
    split: SplitOption = "train",
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "256x256",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render the scene of a seed to a clip, and write everything that is true of it beside it."""
    from kinema.app import world

    shape = world.world_shape(size=size, frames=frames, fps=fps)
    made = world.write_sample(seed, out, split=split, shape=shape, overwrite=force)
    with make_reporter(as_json=as_json) as reporter:
        for text in made.captions.values():
            reporter.note(text)
        reporter.result("sample", made.to_dict(), f"{made.path}\n{made.truth_path}")


# typer reads a verb's flags from its parameters
def sheet(  # noqa: PLR0913
    out: Annotated[str, typer.Option(metavar="FILE", help="The picture to write.")],
    first: Annotated[int, typer.Option(help="The seed of the first row.")] = 0,
    count: Annotated[int, typer.Option(help="Rows, one a seed.")] = 8,
    split: SplitOption = "train",
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "96x96",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render a contact sheet: a row a scene, frames side by side."""
    from kinema.app import world

    shape = world.world_shape(size=size, frames=frames, fps=fps)
    with make_reporter(as_json=as_json) as reporter, stops_on_signals(CancelToken()) as cancel:
        captions = world.write_sheet(
            range(first, first + count),
            out,
            split=split,
            shape=shape,
            overwrite=force,
            observer=reporter.progress,
            cancel=cancel,
        )
        reporter.result("sheet", {"path": out, "captions": captions}, "\n".join([*captions, out]))
