"""What a run holds in memory at the peak of each phase, by where its weights lie. Pure arithmetic, standard library only.

Placements (`RunPlan.offload`), from the fastest to the smallest:

- none: all networks stay in the device's memory.
- component: a network is there only during its phase.
- layers: of a network with repeated blocks (the transformer) only what stands around them, the block that runs and the next one.
- disk: the same without the next one; blocks are read from the file when they run.

Quantising (`RunPlan.quantise`) keeps the matrices of repeated blocks as int8 or fp8, a byte a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kinema.core.card import ModelCard
from kinema.core.geometry import VideoShape

if TYPE_CHECKING:
    from kinema.core.plan import RunPlan

OFFLOADS = ("none", "component", "layers", "disk")
QUANTISATIONS = ("none", "int8", "fp8")
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}

# Python, torch and Kinema with nothing loaded. CPU: 249 MB of resident memory measured with torch 2.13 on Linux, Python 3.11.
# CUDA: what the driver's context and the libraries' workspaces take of the device; an estimate, not measured.
RUNTIME_BYTES = {"cpu": 250_000_000, "cuda": 700_000_000}
# what importing torchao adds to the host's, measured likewise
TORCHAO_BYTES = 90_000_000


def memory_by_phase(
    card: ModelCard, video: VideoShape, plan: RunPlan, *, is_guided: bool, num_keyframes: int = 0
) -> dict[str, int]:
    """Phase -> peak bytes of the plan's device: runtime, weights that are there, and the largest activations.

    Loading needs no more than the weights that it leaves, besides one block that is being quantised. On a GPU the weights that
    aren't on the device (`component`, `layers`) lie in the host's memory, which isn't counted here.
    """
    denoise = [name for name in card.parameters if name.startswith("transformer")]
    encode = [name for name in card.parameters if name not in denoise and name != "vae"]
    if num_keyframes:
        encode.append("vae")
    frame = video.height_px * video.width_px * card.cost.activation_bytes_per_pixel * DTYPE_BYTES[plan.vae_dtype] / 4
    held = {
        "load": _held(card, plan, card.parameters, loading=True),
        "encode": _held(card, plan, encode) + (frame if num_keyframes else 0),
        "denoise": _held(card, plan, denoise) + _denoise_bytes(card, video, plan, is_guided=is_guided),
        # the decoder streams: one latent frame's pixels are alive at a time, and the finished frames
        "decode": _held(card, plan, ["vae"]) + card.compression.time * frame + 3 * video.pixels,
    }
    runtime = RUNTIME_BYTES[plan.device]
    if plan.quantise != "none" and plan.device == "cpu":
        runtime += TORCHAO_BYTES
    return {phase: int(runtime + size) for phase, size in held.items()}


def _held(card: ModelCard, plan: RunPlan, names: Iterable[str], *, loading: bool = False) -> float:
    """Bytes of weights in memory while those of ``names`` are needed: all networks, or the largest of them where they take turns."""
    if plan.offload == "none":
        extra = max((_unquantised_block(card, plan, name) for name in card.parameters), default=0) if loading else 0
        return sum(_weights(card, plan, name) for name in card.parameters) + extra
    sizes = (
        _weights(card, plan, name) + (_unquantised_block(card, plan, name) if loading else 0)
        for name in names
        if name in card.parameters
    )
    return max(sizes, default=0)


def _unquantised_block(card: ModelCard, plan: RunPlan, name: str) -> float:
    """Bytes of a block that is about to be quantised on the device; blocks that are streamed to it were quantised before."""
    is_done_there = plan.quantise != "none" and plan.offload in ("none", "component") and name in card.blocks
    return card.blocks[name].largest * DTYPE_BYTES[plan.dtype] if is_done_there else 0


def _weights(card: ModelCard, plan: RunPlan, name: str) -> float:
    """Bytes of one network while it runs."""
    width = DTYPE_BYTES[plan.vae_dtype if name == "vae" else plan.dtype]
    blocks = card.blocks.get(name)
    if blocks is None:
        return card.parameters[name] * width
    saved = width - 1 if plan.quantise != "none" else 0
    around = (card.parameters[name] - blocks.parameters) * width
    if plan.offload in ("none", "component"):
        return around + blocks.parameters * width - blocks.quantised * saved
    at_once = min(2 * blocks.largest, blocks.parameters) if plan.offload == "layers" else blocks.largest
    return around + at_once * width - blocks.largest_quantised * at_once / max(1, blocks.largest) * saved


def _denoise_bytes(card: ModelCard, video: VideoShape, plan: RunPlan, *, is_guided: bool) -> float:
    tokens = num_tokens(card, video)
    rows = plan.batch * (2 if is_guided and plan.guidance_mode == "batched" else 1)
    return rows * tokens * card.cost.activation_bytes_per_token * DTYPE_BYTES[plan.dtype] / 4


def num_tokens(card: ModelCard, video: VideoShape) -> int:
    """Tokens of one sequence of the transformer."""
    return card.compression.latent(video).num_tokens(card.patch) + (card.text_tokens if card.joint_text else 0)
