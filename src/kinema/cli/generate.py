"""`kinema generate`: a sentence becomes a clip."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter
from kinema.cli.weights import (
    Lora2Option,
    LoraOption,
    MemoryOption,
    OffloadOption,
    Transformer2Option,
    TransformerOption,
)
from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe
from kinema.core.progress import CancelToken
from kinema.core.request import MAX_PROMPT_BYTES, GenerationRequest
from kinema.core.stopping import stops_on_signals

if TYPE_CHECKING:
    from kinema.app.clips import Order
    from kinema.app.rewriter import ChatRewriter

# far more than a prompt may have, so that most of what is too long is told its length
_MAX_STDIN_BYTES = 1 << 20


# typer reads a verb's flags from its parameters
def generate(  # noqa: PLR0913
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to show, in English or Chinese; - reads it from standard input.")],
    image: Annotated[list[str] | None, typer.Option(metavar="FILE[@SECONDS]", help="A picture to show, at 0 s; may be repeated.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length; the nearest that the model makes.")] = None,
    frames: Annotated[int | None, typer.Option(help="Length in frames, instead of --seconds. 1 makes a picture.")] = None,
    aspect: Annotated[str | None, typer.Option(metavar="W:H", help="Shape, such as 16:9; the model's nearest size.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Width and height in pixels, instead of --aspect.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps: more is slower and often better.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How closely the prompt is followed; 1 is off.")] = None,
    guidance_2: Annotated[float | None, typer.Option(help="The same for the second network, of models that have two.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same clip; without it a fresh one is drawn and shown.")] = None,
    motion: Annotated[int | None, typer.Option(help="How much moves, 1 to 255.")] = None,
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="Camera motion; `kinema models NAME` lists them.")] = None,
    negative: Annotated[str, typer.Option(metavar="TEXT", help="What to keep away from.")] = "",
    style: Annotated[str | None, typer.Option(metavar="NAME", help="A preset: toy, cartoon, cinematic, watercolour ...")] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="A model's name or folder; `kinema models` lists them.")] = "kinema-mini",
    count: Annotated[int, typer.Option(help="How many clips, with seeds from --seed upwards: NAME-1, NAME-2 ...")] = 1,
    best_of: Annotated[int, typer.Option(metavar="N", help="Make N for each clip; keep the one that the judges like best.")] = 1,
    cache_level: Annotated[int, typer.Option(metavar="N", help="Leave out denoising steps: 1 (half) or 2 (two of three).")] = 0,
    offload: OffloadOption = "auto",
    quantise: Annotated[str, typer.Option(metavar="NAME", help="Keep the transformer as int8 or fp8; not quite the same.")] = "none",
    memory_limit: MemoryOption = None,
    lora: LoraOption = None,
    lora_2: Lora2Option = None,
    transformer: TransformerOption = None,
    transformer_2: Transformer2Option = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help=".mp4 .mov .gif .webp .png .jpg or a folder of pictures.")] = None,
    quality: Annotated[str | None, typer.Option(metavar="NAME", help="draft, standard, high or master.")] = None,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Keep the prompt's words as they are.")] = False,
    rewriter: Annotated[str | None, typer.Option(metavar="URL", help="Let an OpenAI-compatible chat endpoint rewrite the prompt.")] = None,
    rewriter_model: Annotated[str, typer.Option(metavar="NAME", help="What to ask there; a key: KINEMA_REWRITER_KEY.")] = "default",
    no_check: Annotated[bool, typer.Option("--no-check", help="Switch the content checks of the prompt off.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and show the plan, but make nothing.")] = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Turn a sentence into a clip.

    An existing file is never replaced without --force. Ctrl-C stops at the next step and leaves no half-written file.
    """
    from kinema.app import clips, local, plans
    from kinema.app.prompts import PromptPolicy

    request = GenerationRequest(
        prompt=_read_prompt(prompt),
        negative_prompt=negative,
        seconds=seconds,
        frames=frames,
        size=size,
        aspect_ratio=aspect,
        fps=fps,
        seed=seed,
        steps=steps,
        guidance=guidance,
        guidance_2=guidance_2,
        model=model,
        keyframes=tuple(Keyframe.parse(text) for text in image or ()),
        camera=camera,
        motion=motion,
        style=style,
    )
    policy = PromptPolicy(
        rewrites=not no_rewrite, rewriter=_rewriter(rewriter, rewriter_model), checks="off" if no_check else "block"
    )
    setup = local.Setup(
        cache_level=cache_level,
        quantise=quantise,
        offload=offload,
        memory_limit_gb=memory_limit,
        files=local.files_of(transformer, transformer_2),
        loras=local.loras_of(lora or (), lora_2 or ()),
    )
    card = setup.open(model).card if setup.files or setup.loras else None
    order = clips.place_order(request, count=count, out=out, overwrite=force, policy=policy, card=card)
    with make_reporter(as_json=as_json) as reporter:
        for note in order.notes:
            reporter.note(f"note: {note}")
        engine = local.chosen_from(best_of, local.engine_for(model, setup), step=count)
        if dry_run:
            plan = plans.plan_of(order, engine)
            reporter.result("plan", plan, _plan_text(order, plan))
            return
        with stops_on_signals(CancelToken()) as cancel:
            for clip in clips.fill_order(order, engine, quality=quality, observer=reporter.progress, cancel=cancel):
                for note in clip.notes:
                    reporter.note(f"note: {note}")
                reporter.note(f"{clip.shape}, seed {clip.seed}, {clip.seconds:.1f} s")
                reporter.result("clip", clip.to_dict(), str(clip.path))


def _rewriter(url: str | None, model: str) -> ChatRewriter | None:
    if url is None:
        return None
    from kinema.app.rewriter import ChatRewriter

    return ChatRewriter(url=url, model=model, key=os.environ.get("KINEMA_REWRITER_KEY"))


def _read_prompt(prompt: str) -> str:
    if prompt != "-":
        return prompt
    data = sys.stdin.buffer.read(_MAX_STDIN_BYTES + 1)
    if len(data) > _MAX_STDIN_BYTES:
        rule = f"is longer than {_MAX_STDIN_BYTES} bytes; at most {MAX_PROMPT_BYTES} are read"
        raise InvalidInput("prompt", "standard input", rule)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise InvalidInput("prompt", "standard input", "is not UTF-8 text") from e


def _way_text(way: Mapping[str, Any]) -> str:
    text = f"--offload {way['offload']} --quantise {way['quantise']}: {way['peak_bytes'] / 1e9:.2g} GB"
    if way["host_bytes"]:
        text += f", {way['host_bytes'] / 1e9:.2g} GB of the host's"
    return text if way["seconds"] is None else f"{text}, {way['seconds']:.2g} s"


def _plan_text(order: Order, plan: Mapping[str, Any]) -> str:
    cost = plan["estimate"]
    lines = [f"{order.card.name} {order.card.version}: {order.shape}", f"prompt: {order.requests[0].prompt}"]
    lines += [f"{name}: {value}" for name, value in plan["plan"].items()]
    lines.append(f"a clip costs {cost['total_flops'] / 1e12:.3g} TFLOP and {cost['peak_bytes'] / 1e9:.2g} GB")
    lines.append("memory: " + ", ".join(f"{phase} {size / 1e9:.2g} GB" for phase, size in cost["memory_bytes"].items()))
    if "seconds" in cost:
        lines.append("time, at least: " + ", ".join(f"{phase} {s:.2g} s" for phase, s in cost["seconds"].items()))
    chosen = plan["plan"]
    others = [w for w in plan["placements"] if any(w[name] != chosen[name] for name in ("offload", "quantise"))]
    lines += ["other ways:", *(f"  {_way_text(way)}" for way in others)] if others else []
    lines += [f"{clip['path']}: seed {clip['seed']}" for clip in plan["clips"]]
    return "\n".join(lines)
