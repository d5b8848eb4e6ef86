"""`kinema models`: what can be used, and what each can do."""

from __future__ import annotations

from typing import Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model's name or folder; without it, all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the models, or show one: sizes, lengths, languages, words that it knows, costs."""
    import json

    from kinema.app import models as known

    with make_reporter(as_json=as_json) as reporter:
        if name is None:
            entries = known.list_models()
            for entry in entries:
                card = entry.card
                sizes = ", ".join(f"{w}x{h}" for w, h in card.sizes)
                text = f"{entry.name} {card.version}: {entry.num_parameters / 1e6:.1f} M parameters; {sizes}; "
                text += f"up to {entry.max_seconds:.3g} s at {card.fps[0]:g} fps; {', '.join(card.languages)}"
                reporter.result("model", entry.to_dict(), text)
            if not entries:
                reporter.note("no models yet: `kinema train mini` makes one")
            return
        entry = known.find_model(name)
        card = json.loads(entry.card.to_json())
        text = json.dumps({"path": str(entry.path), **card}, ensure_ascii=False, indent=2)
        reporter.result("model", {**entry.to_dict(), "card": card}, text)
