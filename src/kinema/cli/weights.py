"""Flags about a model's weights and where it runs, most of which several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="cpu or cuda.")]
DtypeOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="What networks compute in: float32, bfloat16; auto: the faster, measured once."),
]
OffloadOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="Where weights lie: none, component, layers, disk; auto: what fits in memory."),
]
MemoryOption = Annotated[
    float | None, typer.Option(metavar="GB", help="Plan as if there were no more memory; refuse what needs more.")
]
LoraOption = Annotated[
    list[str] | None, typer.Option(metavar="FILE[=SCALE]", help="A LoRA for the transformer; may be repeated.")
]
Lora2Option = Annotated[
    list[str] | None,
    typer.Option("--lora-2", metavar="FILE[=SCALE]", help="The same for the second network, of models that have two."),
]
LoraModeOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="LoRAs: merged into the weights, or attached beside them; auto: attached to what is quantised.",
    ),
]
TransformerOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The transformer's weights from one file: safetensors (fp8, too) or GGUF."),
]
Transformer2Option = Annotated[
    str | None, typer.Option("--transformer-2", metavar="FILE", help="The same for the second network.")
]
