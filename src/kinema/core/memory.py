"""What a run holds in memory at the peak of each phase, by where its weights lie. Pure arithmetic, standard library only.

Placements (`RunPlan.offload`), from the fastest to the smallest:

- none: all networks stay in the device's memory.
- component: a network is there only during its phase: the encoders together, the autoencoder, each of the transformers.
- layers: of a network with repeated blocks (a transformer, some text encoders) only what stands around them, the block that runs
  and the next one.
- disk: the same without the next one; blocks are read from the file when they run.

Quantising (`RunPlan.quantise`) keeps the matrices of repeated blocks as int8 or fp8, a byte a number.
LoRAs that are attached stay beside their networks, wherever the weights lie; those that are merged stay where weights are read anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from kinema.core.card import ModelCard
from kinema.core.geometry import VideoShape

if TYPE_CHECKING:
    from kinema.core.plan import RunPlan

OFFLOADS = ("none", "component", "layers", "disk")
QUANTISATIONS = ("none", "int8", "fp8")
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}

# Python, torch and Kinema: what a run takes beside its weights and activations, and what freed memory stays with the process. CPU:
# 284 to 395 MB by the peaks of resident memory of kinema-mini and of models of 216 and 346 MB, with torch 2.13 on Linux, Python 3.11.
# CUDA: what the driver's context and the libraries' workspaces take of the device; an estimate, not measured.
RUNTIME_BYTES = {"cpu": 400_000_000, "cuda": 700_000_000}
# The video's writer: its libraries, and frames on their way, by pixels of one. Measured at 128x80 and 832x480: 29 and 72 MB.
WRITER_BYTES, WRITER_BYTES_PER_PIXEL = 30_000_000, 110
# What a frugal decode keeps in memory of a norm's input; it has two at a time.
FRUGAL_BYTES = 2**26
# Of a file that holds the rest: few files, which go soon once they are read.
SCRATCH_FILE_BYTES = 2**30
# The edge of a spatial tile in a decode in blended tiles.
TILE_PX = 256
# what importing transformers adds to the host's, likewise
TRANSFORMERS_BYTES = 115_000_000
# what importing torchao adds to the host's, measured likewise
TORCHAO_BYTES = 90_000_000


def memory_by_phase(
    card: ModelCard, video: VideoShape, plan: RunPlan, *, is_guided: bool, num_keyframes: int = 0
) -> dict[str, int]:
    """Phase -> peak bytes of the plan's device: runtime, weights that are there, and the largest activations.

    Loading needs no more than the weights that it leaves, besides one block that is being quantised. On a GPU the weights that
    aren't on the device (`component`, `layers`) lie in the host's memory: see `host_bytes`.
    """
    texts, transformers = _groups(card)
    area = video.height_px * video.width_px
    frame = area * card.cost.activation_bytes_per_pixel * DTYPE_BYTES[plan.vae_dtype] / 4
    writer = WRITER_BYTES + area * WRITER_BYTES_PER_PIXEL if plan.device == "cpu" else 0
    held = {
        # networks that come and go wait for their phase, but for the encoders, whose phase is next
        "load": _held(card, plan, texts) + (_unquantised(card, plan, transformers) if plan.offload == "none" else 0),
        "encode": _held(card, plan, texts, ["vae"] if num_keyframes else []) + (frame if num_keyframes else 0),
        "denoise": _held(card, plan, *([name] for name in transformers))
        + max(
            _denoise_bytes(card, video, plan, is_guided=is_guided),
            # a network that comes for its phase is quantised anew, block by block, before it runs
            _unquantised(card, plan, transformers) if plan.offload == "component" else 0,
        ),
        # the decoder streams; the finished frames stay, and the writer takes them meanwhile
        "decode": _held(card, plan, ["vae"]) + _decode_bytes(card, video, plan) + 3 * video.pixels + writer,
    }
    runtime = runtime_bytes(card, plan) if plan.device == "cpu" else RUNTIME_BYTES[plan.device]
    return {phase: int(runtime + size) for phase, size in held.items()}


def runtime_bytes(card: ModelCard, plan: RunPlan) -> int:
    """Bytes of the host's memory that a process takes before any weight is there."""
    total = RUNTIME_BYTES["cpu"] + (TORCHAO_BYTES if plan.quantise != "none" else 0)
    # others' models are those that read words as they are typed, by encoders of transformers
    return total if card.one_spelling else total + TRANSFORMERS_BYTES


def host_bytes(card: ModelCard, plan: RunPlan) -> int:
    """Peak bytes of the host's memory beside a GPU: weights that wait there for their turn; 0 where the host's is the device's."""
    if plan.device == "cpu":
        return 0
    texts, _ = _groups(card)
    at_home = replace(plan, offload="none")
    sizes = [_weights(card, at_home, name) for name in card.parameters]
    # encoders and what is quantised are made on the host, one after another
    passing = [_weights(card, at_home, n) for n in card.parameters if n in texts or plan.quantise != "none"]
    waiting = sum(sizes) if plan.offload in ("component", "layers") else max(passing, default=0)
    return int(runtime_bytes(card, plan) + waiting)


def traffic_by_phase(card: ModelCard, plan: RunPlan, *, calls: int, num_keyframes: int = 0) -> dict[str, float]:
    """Phase -> bytes of weights that come to where they are used, for one batch; ``calls``: of a transformer in all steps."""
    texts, transformers = _groups(card)
    if plan.offload == "none":
        return dict.fromkeys(("encode", "denoise", "decode"), 0.0)
    at_home = replace(plan, offload="none")
    whole = {name: _weights(card, at_home, name) for name in card.parameters}
    denoise = 0.0
    for name in transformers:
        blocks = card.blocks.get(name)
        again = 0.0
        if blocks is not None and plan.offload != "component":
            again = blocks.parameters / max(1, card.parameters[name]) * whole[name]
        # two experts share the calls
        denoise += whole[name] - again + again * calls / len(transformers)
    encode = sum(whole[name] for name in texts) + (whole.get("vae", 0) if num_keyframes else 0)
    return {"encode": encode, "denoise": denoise, "decode": whole.get("vae", 0.0)}


def _groups(card: ModelCard) -> tuple[list[str], list[str]]:
    """(what encodes words and pictures, what denoises). Encoders are in memory together, transformers one after another."""
    transformers = [name for name in card.parameters if name.startswith("transformer")]
    return [name for name in card.parameters if name not in transformers and name != "vae"], transformers


def _held(card: ModelCard, plan: RunPlan, *groups: Iterable[str]) -> float:
    """Bytes of weights in memory while those of ``groups`` are needed: all networks, or the largest group where they take turns."""
    beside = _adapters(card, plan)
    if plan.offload == "none":
        return beside + sum(_weights(card, plan, name) for name in card.parameters)
    largest = max((sum(_weights(card, plan, n) for n in group if n in card.parameters) for group in groups), default=0)
    return beside + largest


def _decode_bytes(card: ModelCard, video: VideoShape, plan: RunPlan) -> float:
    """Bytes of a decode's activations: those of a latent frame, and what waits for statistics over the clip."""
    size, cost = DTYPE_BYTES[plan.vae_dtype], card.cost
    height, width = video.height_px, video.width_px
    if plan.decode == "tiles":
        height, width = min(height, TILE_PX), min(width, TILE_PX)
    frame = card.compression.time * height * width * cost.activation_bytes_per_pixel * size / 4
    waiting = _waiting(card, video, plan)
    if plan.decode == "exact":
        return frame + waiting
    # what goes by strips or tiles through the whole clip has its pixels before it gives any; tiles overlap by a quarter both ways
    if plan.decode == "frugal" and cost.strip_px:
        return frame * min(1.0, cost.strip_px / video.height_px) + 3 * video.pixels * size
    if plan.decode == "tiles" and cost.strip_px:
        return frame + 3 * video.pixels * size * 16 / 9
    return frame + (min(waiting, 2 * FRUGAL_BYTES) if plan.decode == "frugal" else 0.0)


def scratch_bytes(card: ModelCard, video: VideoShape, plan: RunPlan) -> int:
    """Bytes of temporary files, at the most: what waits for statistics in a frugal decode, and doesn't in memory."""
    if plan.decode != "frugal" or card.cost.strip_px:
        return 0
    waiting = _waiting(card, video, plan)
    if waiting <= FRUGAL_BYTES:
        return 0
    # one file is read until its end, another grows by a frame beyond its size; both are no more than all, twice
    return int(min(2 * waiting, waiting + 2 * (SCRATCH_FILE_BYTES + waiting / video.frames)))


def _waiting(card: ModelCard, video: VideoShape, plan: RunPlan) -> float:
    """Bytes that wait for statistics over the clip in an exact decode."""
    return card.made(video).pixels * card.cost.kept_bytes_per_pixel * DTYPE_BYTES[plan.vae_dtype] / 4


def _adapters(card: ModelCard, plan: RunPlan) -> float:
    """Bytes of the LoRAs that stay in the device's memory, taken to be of the plan's dtype."""
    is_read_anew = plan.offload == "disk" or (plan.offload != "none" and plan.device == "cpu")
    stay = plan.lora_mode == "attached" or is_read_anew
    return sum(card.adapters.values()) * DTYPE_BYTES[plan.dtype] if stay else 0


def _unquantised(card: ModelCard, plan: RunPlan, names: Iterable[str]) -> float:
    """Bytes of a block that is about to be quantised, which the host does."""
    if plan.quantise == "none" or plan.device != "cpu":
        return 0
    return max((card.blocks[n].largest * DTYPE_BYTES[plan.dtype] for n in names if n in card.blocks), default=0)


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
    return card.compression.latent(card.made(video)).num_tokens(card.patch) + (
        card.text_tokens if card.joint_text else 0
    )
