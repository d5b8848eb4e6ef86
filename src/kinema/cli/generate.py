"""`kinema generate`: a sentence becomes a clip."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinema.cli import fields
from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter
from kinema.cli.weights import (
    DeviceOption,
    DtypeOption,
    Lora2Option,
    LoraModeOption,
    LoraOption,
    MemoryOption,
    OffloadOption,
    Transformer2Option,
    TransformerOption,
)
from kinema.core.media_ref import Keyframe
from kinema.core.progress import CancelToken
from kinema.core.request import GenerationRequest
from kinema.core.stopping import stops_on_signals

if TYPE_CHECKING:
    from kinema.app.clips import Order
    from kinema.app.rewriter import ChatRewriter


# typer reads a verb's flags from its parameters
def generate(  # noqa: PLR0913
    prompt: fields.Prompt,
    image: fields.Image = None,
    seconds: fields.Seconds = None,
    frames: fields.Frames = None,
    aspect: fields.Aspect = None,
    size: fields.Size = None,
    fps: fields.Fps = None,
    steps: fields.Steps = None,
    guidance: fields.Guidance = None,
    guidance_2: fields.Guidance2 = None,
    seed: fields.Seed = None,
    motion: fields.Motion = None,
    camera: fields.Camera = None,
    negative: fields.Negative = "",
    style: fields.Style = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="A model's name or folder; `kinema models list` shows them.")] = "kinema-mini",
    count: Annotated[int, typer.Option(help="How many clips, with seeds from --seed upwards: NAME-1, NAME-2 ...")] = 1,
    best_of: Annotated[int, typer.Option(metavar="N", help="Make N for each clip; keep the one that the judges like best.")] = 1,
    cache_level: Annotated[int, typer.Option(metavar="N", help="Leave out denoising steps: 1 (half) or 2 (two of three).")] = 0,
    decode: Annotated[str, typer.Option(metavar="NAME", help="Of other makers' models: exact, frugal (less memory), tiles.")] = "default",
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "auto",
    offload: OffloadOption = "auto",
    quantise: Annotated[str, typer.Option(metavar="NAME", help="Keep the transformer as int8 or fp8; not quite the same.")] = "none",
    memory_limit: MemoryOption = None,
    lora: LoraOption = None,
    lora_2: Lora2Option = None,
    lora_mode: LoraModeOption = "auto",
    transformer: TransformerOption = None,
    transformer_2: Transformer2Option = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="Keep the run in FILE; go on from it where it is there.")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help=".mp4 .mov .gif .webp .png .jpg or a folder of pictures.")] = None,
    quality: Annotated[str | None, typer.Option(metavar="NAME", help="draft, standard, high or master.")] = None,
    no_rewrite: fields.NoRewrite = False,
    rewriter: Annotated[str | None, typer.Option(metavar="URL", help="Let an OpenAI-compatible chat endpoint rewrite the prompt.")] = None,
    rewriter_model: Annotated[str, typer.Option(metavar="NAME", help="What to ask there; a key: KINEMA_REWRITER_KEY.")] = "default",
    no_check: Annotated[bool, typer.Option("--no-check", help="Switch the content checks of the prompt off.")] = False,
    force: fields.Force = False,
    dry_run: fields.DryRun = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Turn a sentence into a clip.

    An existing file is never replaced without --force. Ctrl-C stops at the next step and leaves no half-written file. With
    --checkpoint a run that ended early, however it did, goes on where it was; the file goes when the clip is there.
    """
    from kinema.app import clips, local, plans
    from kinema.app.prompts import PromptPolicy
    from kinema.app.resumable import Resumable, resumed_request

    request = GenerationRequest(
        prompt=fields.read_prompt(prompt),
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
        device=device,
        dtype=dtype,
        cache_level=cache_level,
        decode=decode,
        quantise=quantise,
        offload=offload,
        memory_limit_gb=memory_limit,
        lora_mode=lora_mode,
        files=local.files_of(transformer, transformer_2),
        loras=local.loras_of(lora or (), lora_2 or ()),
    )
    engine = local.engine_for(model, setup)
    kept = None
    if checkpoint is not None:
        request = resumed_request(request, Path(checkpoint), count=count, best_of=best_of)
        kept = Resumable(engine, Path(checkpoint), dtype=setup.dtype)
    maker = kept or local.chosen_from(best_of, engine, step=count)
    order = clips.place_order(request, count=count, out=out, overwrite=force, policy=policy, card=engine.folder.card)
    if checkpoint is not None:
        local.check_checkpoint(checkpoint, order.paths)
    with make_reporter(as_json=as_json) as reporter:
        for note in order.notes:
            reporter.note(f"note: {note}")
        if dry_run:
            plan = plans.plan_of(order, maker)
            reporter.result("plan", plan, _plan_text(order, plan))
            return
        with stops_on_signals(CancelToken()) as cancel:
            for clip in clips.fill_order(order, maker, quality=quality, observer=reporter.progress, cancel=cancel):
                for note in clip.notes:
                    reporter.note(f"note: {note}")
                reporter.note(f"{clip.shape}, seed {clip.seed}, {clip.seconds:.1f} s")
                reporter.result("clip", clip.to_dict(), str(clip.path))
        if kept is not None:
            kept.forget()


def _rewriter(url: str | None, model: str) -> ChatRewriter | None:
    if url is None:
        return None
    from kinema.app.rewriter import ChatRewriter

    return ChatRewriter(url=url, model=model, key=os.environ.get("KINEMA_REWRITER_KEY"))


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
    if cost["scratch_bytes"]:
        lines.append(f"disk: {cost['scratch_bytes'] / 1e9:.2g} GB of temporary files in the decode")
    if "seconds" in cost:
        lines.append("time, at least: " + ", ".join(f"{phase} {s:.2g} s" for phase, s in cost["seconds"].items()))
    chosen = plan["plan"]
    others = [w for w in plan["placements"] if any(w[name] != chosen[name] for name in ("offload", "quantise"))]
    lines += ["other ways:", *(f"  {_way_text(way)}" for way in others)] if others else []
    lines += [f"{clip['path']}: seed {clip['seed']}" for clip in plan["clips"]]
    return "\n".join(lines)
