"""`kinema models list|inspect|get`: what can be used, what each can do, and how more come here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter

if TYPE_CHECKING:
    from kinema.app.models import Inspection, ModelEntry


def list_(as_json: JsonOption = False) -> None:
    """List the models that are here: shipped ones, and those that were downloaded from the hub."""
    from kinema.app import models as known

    with make_reporter(as_json=as_json) as reporter:
        downloaded, problems = known.list_downloaded()
        entries = [*known.list_models(), *downloaded]
        for entry in entries:
            reporter.result("model", entry.to_dict(), _line(entry))
        for problem in problems:
            reporter.note(problem)
        if not entries:
            reporter.note("no models yet: `kinema train mini` makes one, `kinema models get ID` downloads one")


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's name, folder or hub id, or a file of weights.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show what a model is: family, licence, parameters and memory by component, sizes, lengths, conditions, words."""
    import json

    from kinema.app import models as known

    with make_reporter(as_json=as_json) as reporter:
        if Path(model).is_file():
            found = known.inspect_file(model)
            data = {
                "path": model,
                "family": found.naming.family,
                "component": found.naming.component,
                "class": found.naming.class_name,
                "naming": found.naming.description,
                "parameters": found.num_parameters,
                "stored_as": sorted({piece.info.dtype for piece in found.pieces.values()}),
                "bytes": Path(model).stat().st_size,
            }
            text = f"{model}: {data['naming']}, {_millions(found.num_parameters)} as {', '.join(data['stored_as'])}"
            reporter.result("weights", data, text)
            return
        inspection = known.inspect_model(model)
        data = {**inspection.to_dict(), "card": json.loads(inspection.entry.card.to_json())}
        reporter.result("model", data, "\n".join(_lines(inspection, known.free_bytes(inspection.entry.path))))


def get(
    model: Annotated[str, typer.Argument(metavar="ID", help="OWNER/NAME on the hub; in the diffusers layout.")],
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="A branch, tag or commit.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a model from the hub, or go on where a download was broken off; `--model ID` then finds it."""
    from kinema.app import models as known

    with make_reporter(as_json=as_json) as reporter:
        offer = known.look_up(model, revision)
        reporter.note(
            f"{offer.model} at {offer.commit[:12]}: {offer.total_bytes / 1e9:.1f} GB; licence: {offer.license}"
        )
        is_terminal = sys.stderr.isatty() and not as_json  # there the hub's client draws bars of its own
        progress = {} if is_terminal else {"observer": reporter.progress}
        entry = known.get_model(offer, shows_bars=is_terminal, **progress)
        reporter.result("model", {**entry.to_dict(), "commit": offer.commit}, f"{_line(entry)}\n{entry.path}")


def _line(entry: ModelEntry) -> str:
    card = entry.card
    sizes = ", ".join(f"{w}x{h}" for w, h in card.sizes)
    text = f"{entry.name} {card.version}: {_millions(entry.num_parameters)}; {sizes}; "
    return text + f"up to {entry.max_seconds:.3g} s at {card.fps[0]:g} fps; {', '.join(card.languages)}"


def _lines(inspection: Inspection, free: int) -> Iterator[str]:
    """The text of an inspection."""
    entry, card = inspection.entry, inspection.entry.card
    yield f"{entry.name}: {card.family} {card.version}"
    yield f"licence: {card.license}"
    yield f"path: {entry.path} ({card.weights_bytes / 1e9:.3g} GB of weights; {free / 1e9:.3g} GB free there)"
    yield "components:"
    for part in inspection.components:
        line = f"  {part.name}: {part.class_name}"
        if part.parameters:
            memory = part.parameters * 2 / 1e9
            line += f", {_millions(part.parameters)} as {', '.join(part.dtypes)}, {memory:.3g} GB in bfloat16"
        yield line
    memory = ", ".join(f"{size / 1e9:.3g} GB in {dtype}" for dtype, size in inspection.memory_bytes.items())
    yield f"memory: {memory}, all weights at once"
    room = inspection.memory_room_bytes
    there = "" if room is None else f"; {room / 1e9:.3g} GB are there"
    yield f"plans for {inspection.shape} in bfloat16{there}:"
    for way in inspection.placements:
        fits = "" if room is None or way.fits(room) else ", too much here"
        yield f"  {way}{fits}"
    sizes = ", ".join(f"{w}x{h}" for w, h in card.sizes)
    yield f"sizes: {sizes}" + (f", or any multiple of {card.compression.align_px}" if card.any_size else "")
    yield f"length: {card.default_seconds:.3g} s, up to {card.max_frames} frames at {', '.join(f'{f:g}' for f in card.fps)} fps"
    yield f"steps: {card.default_steps}, guidance {card.default_guidance:g}"
    yield f"conditions: {', '.join(card.conditions) or 'none'}" + (
        f" (needs {', '.join(card.needs)})" if card.needs else ""
    )
    if card.cameras:
        yield f"cameras: {', '.join(card.cameras)}"
    yield f"languages: {', '.join(card.languages)}"
    if inspection.settings:
        yield "settings: " + ", ".join(f"{name} {value}" for name, value in inspection.settings.items())
    if card.vocabulary:
        yield "words:"
        yield from (f"  {attribute}: {', '.join(values)}" for attribute, values in card.vocabulary.items())


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:,.1f} M parameters"
