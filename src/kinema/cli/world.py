"""`kinema world`: clips of the procedural world, their truth, edits of them, and how fast they are drawn."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter
from kinema.core.errors import InvalidInput
from kinema.core.progress import CancelToken
from kinema.core.stopping import stops_on_signals

SeedOption = Annotated[int, typer.Option(help="Which scene.")]
SplitOption = Annotated[str, typer.Option(metavar="NAME", help="train, validation or test.")]
DifficultyOption = Annotated[
    str, typer.Option(metavar="NAME", help="core, single or full: which words scenes are drawn from.")
]
SceneOption = Annotated[
    str | None, typer.Option("--scene", metavar="FILE", help="A scene's JSON (or a truth file), instead of a seed.")
]
FramesOption = Annotated[int, typer.Option(help="Frames of a clip.")]
FpsOption = Annotated[float, typer.Option(help="Frames a second.")]
SizeOption = Annotated[str, typer.Option(metavar="WxH", help="Width and height in pixels.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
# words that replace the scene's own
KindOption = Annotated[str | None, typer.Option(metavar="WORD", help="Who acts: puppy, car, tower ...")]
ColourOption = Annotated[str | None, typer.Option(metavar="WORD", help="Its colour.")]
ActionOption = Annotated[str | None, typer.Option(metavar="WORD", help="What it does: walk, jump, chase ...")]
PlaceOption = Annotated[str | None, typer.Option(metavar="WORD", help="Where: park, beach, room ...")]
TimeOption = Annotated[str | None, typer.Option(metavar="WORD", help="dawn, day, sunset or night.")]
WeatherOption = Annotated[str | None, typer.Option(metavar="WORD", help="clear, cloudy, rain, snow or fog.")]
CameraOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The camera's movement: static, zoom_in, truck_left ...")
]
StyleOption = Annotated[str | None, typer.Option(metavar="WORD", help="toy or cartoon.")]


# typer reads a verb's flags from its parameters
def sample(  # noqa: PLR0913
    out: Annotated[str, typer.Option(metavar="FILE", help="The clip; its truth goes beside it as .json.")],
    seed: SeedOption = 0,
    scene: SceneOption = None,
    split: SplitOption = "train",
    difficulty: DifficultyOption = "full",
    kind: KindOption = None,
    colour: ColourOption = None,
    action: ActionOption = None,
    place: PlaceOption = None,
    time: TimeOption = None,
    weather: WeatherOption = None,
    camera: CameraOption = None,
    style: StyleOption = None,
    outputs: Annotated[str, typer.Option(metavar="LIST", help="Any of rgb,depth,masks,flow,sketch,pose: files beside the clip.")] = "rgb",
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "256x256",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Render the scene of a seed or of a file to a clip, and write everything that is true of it beside it."""
    from kinema.app import scenes, world

    words = {"kind": kind, "colour": colour, "action": action, "place": place, "time": time}
    words |= {"weather": weather, "camera": camera, "style": style}
    choice = scenes.SceneChoice(split=split, difficulty=difficulty, file=scene, words=words)
    shape, wanted = world.world_shape(size=size, frames=frames, fps=fps), world.parse_outputs(outputs)
    made = world.write_sample(choice, seed, out, shape=shape, outputs=wanted, overwrite=force)
    with make_reporter(as_json=as_json) as reporter:
        for text in made.captions.values():
            reporter.note(text)
        reporter.result("sample", made.to_dict(), "\n".join(str(path) for path in made.paths))


def sheet(  # noqa: PLR0913
    out: Annotated[str, typer.Option(metavar="FILE", help="The picture to write.")],
    first: Annotated[int, typer.Option(help="The seed of the first row.")] = 0,
    count: Annotated[int, typer.Option(help="Rows, one a seed.")] = 8,
    columns: Annotated[int, typer.Option(help="Frames in a row.")] = 6,
    scene: SceneOption = None,
    split: SplitOption = "train",
    difficulty: DifficultyOption = "full",
    kind: KindOption = None,
    colour: ColourOption = None,
    action: ActionOption = None,
    place: PlaceOption = None,
    time: TimeOption = None,
    weather: WeatherOption = None,
    camera: CameraOption = None,
    style: StyleOption = None,
    kinds: Annotated[bool, typer.Option("--kinds", help="A row for every kind instead of one a seed.")] = False,
    places: Annotated[bool, typer.Option("--places", help="A row for every place.")] = False,
    weathers: Annotated[bool, typer.Option("--weathers", help="A row for every weather.")] = False,
    cameras: Annotated[bool, typer.Option("--cameras", help="A row for every camera movement.")] = False,
    actions: Annotated[bool, typer.Option("--actions", help="A row for every action.")] = False,
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "96x96",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Render a contact sheet: a row a scene, frames side by side."""
    from kinema.app import scenes, world

    words = {"kind": kind, "colour": colour, "action": action, "place": place, "time": time}
    words |= {"weather": weather, "camera": camera, "style": style}
    choice = scenes.SceneChoice(split=split, difficulty=difficulty, file=scene, words=words)
    shape = world.world_shape(size=size, frames=frames, fps=fps)
    galleries = {"kind": kinds, "place": places, "weather": weathers, "camera": cameras, "action": actions}
    asked = [word for word, is_asked in galleries.items() if is_asked]
    if len(asked) > 1:
        raise InvalidInput("sheet", f"--{asked[0]}s --{asked[1]}s", "shows one gallery at a time")
    named = world.gallery(asked[0], choice) if asked else []
    rows = [(one, first) for _, one in named] or world.rows_of(choice, first=first, count=count)
    with make_reporter(as_json=as_json) as reporter, stops_on_signals(CancelToken()) as cancel:
        captions = world.write_sheet(
            rows, out, shape=shape, columns=columns, overwrite=force, observer=reporter.progress, cancel=cancel
        )
        labels = [f"{word}: " for word, _ in named] or [""] * len(rows)
        lines = [f"{label}{text}" for label, text in zip(labels, captions, strict=True)]
        data = {"path": out, "captions": captions, "words": [word for word, _ in named]}
        reporter.result("sheet", data, "\n".join([*lines, out]))


def truth(  # noqa: PLR0913
    seed: SeedOption = 0,
    scene: SceneOption = None,
    split: SplitOption = "train",
    difficulty: DifficultyOption = "full",
    kind: KindOption = None,
    colour: ColourOption = None,
    action: ActionOption = None,
    place: PlaceOption = None,
    time: TimeOption = None,
    weather: WeatherOption = None,
    camera: CameraOption = None,
    style: StyleOption = None,
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "256x256",
    as_json: JsonOption = False,
) -> None:
    """Print everything that is true of a scene's clip as JSON, without drawing it."""
    from kinema.app import scenes, world

    words = {"kind": kind, "colour": colour, "action": action, "place": place, "time": time}
    words |= {"weather": weather, "camera": camera, "style": style}
    choice = scenes.SceneChoice(split=split, difficulty=difficulty, file=scene, words=words)
    shape = world.world_shape(size=size, frames=frames, fps=fps)
    facts = {**choice.facts(seed), **world.truth_of(choice.scene(seed), shape)}
    with make_reporter(as_json=as_json) as reporter:
        reporter.result("truth", facts, json.dumps(facts, ensure_ascii=False, indent=1))


def edit(  # noqa: PLR0913
    out: Annotated[str, typer.Option(metavar="FOLDER", help="A folder for clips, mask and words.")],
    seed: SeedOption = 0,
    kind: Annotated[str | None, typer.Option(metavar="NAME", help="recolour, replace, add, remove, time, weather ...")] = None,
    scene: SceneOption = None,
    split: SplitOption = "train",
    difficulty: DifficultyOption = "full",
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "256x256",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Change one thing in the scene of a seed: the clip before, the clip after, where they differ, and the words that ask for it."""
    from kinema.app import edits, scenes, world

    choice = scenes.SceneChoice(split=split, difficulty=difficulty, file=scene)
    shape = world.world_shape(size=size, frames=frames, fps=fps)
    made = edits.write_edit(choice, seed, out, shape=shape, kind=kind, overwrite=force)
    with make_reporter(as_json=as_json) as reporter:
        for text in made.facts["instructions"].values():
            reporter.note(text)
        reporter.result("edit", made.to_dict(), str(made.folder))


def judge(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A clip or picture, of any size, length and frame rate.")],
    scene: Annotated[
        str | None, typer.Option("--scene", metavar="FILE", help="A scene's JSON (or a truth file) to compare it with.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a clip shows, from its pixels alone: subjects, what they do, place, time, weather, camera, motion."""
    from kinema.app.judge import judge_clip

    judged = judge_clip(file, scene=scene)
    with make_reporter(as_json=as_json) as reporter:
        reporter.result("verdict", judged.to_dict(), "\n".join(judged.lines()))


def bench(
    difficulty: DifficultyOption = "full",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or mps.")] = "cpu",
    frames: FramesOption = 17,
    fps: FpsOption = 8.0,
    size: SizeOption = "128x128",
    as_json: JsonOption = False,
) -> None:
    """Measure how fast this machine draws the world, in finished megapixels a second; prints one line of JSON."""
    from kinema.app import world

    shape = world.world_shape(size=size, frames=frames, fps=fps)
    found = world.measure(shape=shape, difficulty=difficulty, device=device)
    with make_reporter(as_json=as_json) as reporter:
        reporter.result("bench", found, json.dumps(found))
