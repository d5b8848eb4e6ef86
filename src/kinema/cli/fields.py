"""Flags that say what to make, here and on a server."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from kinema.core.errors import InvalidInput
from kinema.core.request import MAX_PROMPT_BYTES

# far more than a prompt may have, so that most of what is too long is told its length
_MAX_STDIN_BYTES = 1 << 20

Prompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="What to show, in English or Chinese; - reads it from standard input.")
]
Image = Annotated[
    list[str] | None, typer.Option(metavar="FILE[@SECONDS]", help="A picture to show, at 0 s; may be repeated.")
]
Seconds = Annotated[float | None, typer.Option(help="Length; the nearest that the model makes.")]
Frames = Annotated[int | None, typer.Option(help="Length in frames, instead of --seconds. 1 makes a picture.")]
Aspect = Annotated[str | None, typer.Option(metavar="W:H", help="Shape, such as 16:9; the model's nearest size.")]
Size = Annotated[str | None, typer.Option(metavar="WxH", help="Width and height in pixels, instead of --aspect.")]
Fps = Annotated[float | None, typer.Option(help="Frames a second.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps: more is slower and often better.")]
Guidance = Annotated[float | None, typer.Option(help="How closely the prompt is followed; 1 is off.")]
Guidance2 = Annotated[float | None, typer.Option(help="The same for the second network, of models that have two.")]
Seed = Annotated[
    int | None, typer.Option(help="The same seed gives the same clip; without it a fresh one is drawn and shown.")
]
Motion = Annotated[int | None, typer.Option(help="How much moves, 1 to 255.")]
Camera = Annotated[
    str | None, typer.Option(metavar="NAME", help="Camera motion; `kinema models inspect NAME` lists them.")
]
Negative = Annotated[str, typer.Option(metavar="TEXT", help="What to keep away from.")]
Style = Annotated[str | None, typer.Option(metavar="NAME", help="A preset: toy, cartoon, cinematic, watercolour ...")]
NoRewrite = Annotated[bool, typer.Option("--no-rewrite", help="Keep the prompt's words as they are.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and show the plan, but make nothing.")]


def read_prompt(prompt: str) -> str:
    """``prompt``, or what standard input has if it is ``-``, without the newline at its end. Raises: InvalidInput."""
    if prompt != "-":
        return prompt
    data = sys.stdin.buffer.read(_MAX_STDIN_BYTES + 1)
    if len(data) > _MAX_STDIN_BYTES:
        rule = f"is longer than {_MAX_STDIN_BYTES} bytes; at most {MAX_PROMPT_BYTES} are read"
        raise InvalidInput("prompt", "standard input", rule)
    try:
        # published models read every character, and `echo` ends with one that nobody typed
        return re.sub(r"\r?\n\Z", "", data.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise InvalidInput("prompt", "standard input", "is not UTF-8 text") from e
