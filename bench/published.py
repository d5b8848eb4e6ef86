"""Published networks at their published widths, random weights, beside diffusers' own: time taken in turns, and memory, a process each.

python bench/published.py [--rounds N] [--only NAME,...] [--small]

- HunyuanVideo's and Wan 2.1's autoencoder decode 17 frames of 128x128 in bf16: HunyuanVideo's in the reference's blended tiles of
  time (its default) and exactly, ours also with what waits in a file ("frugal"). Peak memory is that of the process over what it
  holds before the decode: 17, 65 and 129 frames; of Wan also for 9 frames of 480x832, by strips and by tiles.
- HunyuanVideo's transformer: 8 heads of 128, 2 dual and 4 single blocks, 1,280 video and 64 text tokens, bf16, eager (ours
  packed, as the engine runs it on a CPU) and compiled.

Both sides have the same weights, threads and tiles, and give nearly the same: the largest difference is recorded too.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from parity_rows.measure import randomise
from record import record, summary
from torch import Tensor, nn

NAME = "published"
BF16 = torch.bfloat16
LENGTHS = (17, 65, 129)
PAGE = resource.getpagesize()
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 8,
    "attention_head_dim": 128,
    "num_layers": 2,
    "num_single_layers": 4,
    "num_refiner_layers": 1,
    "text_embed_dim": 512,
    "pooled_projection_dim": 128,
}
LATENT_FRAMES, LATENT_EDGE, TEXT_TOKENS = 5, 32, 64  # 5 x 32 x 32 latents are 1,280 tokens of 1 x 2 x 2

# What gives a clip's pixels: whole, or chunk after chunk.
Decode = Callable[[Tensor], Tensor]
DecodeStream = Callable[[Tensor], Iterator[Tensor]]


def hunyuan_vae() -> Any:
    """The reference's autoencoder as it is published."""
    from diffusers.models.autoencoders.autoencoder_kl_hunyuan_video import AutoencoderKLHunyuanVideo

    return AutoencoderKLHunyuanVideo()


def wan_vae() -> Any:
    """The same of Wan 2.1."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    return AutoencoderKLWan()


def hunyuan_transformer() -> Any:
    """The reference's transformer, narrow and shallow."""
    from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTransformer3DModel

    return HunyuanVideoTransformer3DModel(**TRANSFORMER)


def pair(build: Callable[[], Any], component: str, sides: str = "both") -> tuple[Any, Any]:
    """(theirs, ours) with the same random weights in bf16; None for one that isn't wanted."""
    from kinema.weights.build import load_component
    from kinema.weights.folder import ModelFolder

    torch.manual_seed(0)
    theirs = randomise(build(), 0).to(BF16)
    if sides == "theirs":
        return theirs, None
    with tempfile.TemporaryDirectory() as root:
        theirs.save_pretrained(Path(root) / component)
        name = type(theirs).__name__
        if sides == "ours":
            theirs = None
        folder = ModelFolder(path=Path(root), name="bench", components={component: ("diffusers", name)})
        ours = load_component(folder, component, dtype=BF16)
    return theirs, ours


def latents(channels: int, frames: int, width_px: int, height_px: int) -> Tensor:
    """Of a video of ``frames`` frames."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, channels, 1 + (frames - 1) // 4, height_px // 8, width_px // 8, generator=generator).to(BF16)


def hunyuan_decoders(theirs: Any, ours: Any, mode: str) -> tuple[Decode, DecodeStream]:
    """How each side decodes in ``mode``; a side that isn't there can't be asked. The reference knows "tiled", and "exact"."""
    from kinema.engine.families.hunyuan_video import frugal_shelf
    from kinema.models.autoencoders.chunked import MemoryShelf
    from kinema.models.autoencoders.tiling import decode_tiled

    if hasattr(theirs, "use_framewise_decoding"):
        theirs.use_framewise_encoding = theirs.use_framewise_decoding = mode == "tiled"

    def decode(x: Tensor) -> Iterator[Tensor]:
        if mode == "tiled":
            return decode_tiled(ours, x)
        return ours.decode_stream(x, make_shelf=frugal_shelf if mode == "frugal" else MemoryShelf)

    return (lambda x: theirs.decode(x).sample), decode


def wan_decoders(theirs: Any, ours: Any, mode: str) -> tuple[Decode, DecodeStream]:
    """The same of Wan, whose decoders are exact but for "tiled"; ours goes by strips where it is "frugal"."""
    from kinema.models.autoencoders.tiling import decode_wan_tiled
    from kinema.models.autoencoders.wan_strips import decode_strips

    if hasattr(theirs, "use_tiling"):
        theirs.use_tiling = mode == "tiled"

    def decode(x: Tensor) -> Iterator[Tensor]:
        if mode == "tiled":
            return decode_wan_tiled(ours, x)
        return decode_strips(ours, x) if mode == "frugal" else ours.decode_stream(x)

    return (lambda x: theirs.decode(x).sample), decode


VAES: dict[str, tuple[Callable[[], Any], Callable[..., Any], tuple[str, ...]]] = {
    "hunyuan-vae": (hunyuan_vae, hunyuan_decoders, ("tiled", "exact", "frugal")),
    "wan-vae": (wan_vae, wan_decoders, ("exact",)),
}


def in_turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each side, one after the other, ``rounds`` times after a first that doesn't count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: summary(values) for name, values in seconds.items()}


def compared(times: dict[str, dict[str, float]], rounds_of: tuple[str, str]) -> float:
    """How many times faster the second is than the first, by medians."""
    first, second = rounds_of
    return round(times[first]["median_s"] / times[second]["median_s"], 2)


def vae_times(name: str, rounds: int, size: int) -> Iterator[dict[str, Any]]:
    """A row for every mode."""
    build, decoders, modes = VAES[name]
    theirs, ours = pair(build, "vae")
    x = latents(16, 17, size, size)
    for mode in modes:
        their_decode, our_stream = decoders(theirs, ours, mode)
        our_decode = lambda x, stream=our_stream: torch.cat(list(stream(x)), dim=2)  # noqa: E731
        expected, actual = their_decode(x).float(), our_decode(x).float()
        times = in_turns({"diffusers": lambda d=their_decode: d(x), "kinema": lambda d=our_decode: d(x)}, rounds)
        yield {
            "what": name, "mode": mode, "frames": 17, "size": f"{size}x{size}", **times,
            "times_faster": compared(times, ("diffusers", "kinema")),
            "relative_difference": float(((actual - expected).norm() / expected.norm()).item()),
        }  # fmt: skip


def vae_memory(name: str, mode: str, side: str, frames: int, width_px: int, height_px: int) -> int:
    """Bytes over those held before, in this process: run it in one of its own."""
    build, decoders, _ = VAES[name]
    theirs, ours = pair(build, "vae", sides=side)
    for weight in (theirs or ours).parameters():
        weight.flatten()[:: PAGE // weight.element_size()].max()  # a mapped file's pages are weights, not work
    their_decode, our_stream = decoders(theirs, ours, mode)
    x = latents(16, frames, width_px, height_px)
    with peak_of() as peak:
        if side == "theirs":
            their_decode(x)
        else:  # as the engine does: chunk after chunk, none kept
            for _ in our_stream(x):
                pass
    return peak[0]


@contextmanager
def peak_of() -> Iterator[list[int]]:
    """A list that has the bytes by which the process grew at most while it ran."""
    found: list[int] = []
    # what building and loading freed would be taken for the decode's
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    yield found
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    found.append(peak - before)


def memory_rows(name: str, size: int, lengths: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Peaks of both sides in every mode, at all lengths that end in time."""
    for mode in VAES[name][2]:
        row: dict[str, Any] = {"what": name, "mode": mode, "size": f"{size}x{size}"}
        for side in ("theirs", "ours"):
            if mode == "frugal" and side == "theirs":  # its exact way is above
                continue
            label = {"theirs": "diffusers", "ours": "kinema"}[side]
            row[label] = {}
            for frames in lengths:
                row[label][str(frames)] = memory_mb(name, mode, side, frames, size, size)
        yield row


def tall_row(frames: int, width_px: int, height_px: int) -> dict[str, Any]:
    """Peaks of Wan's decoders by mode, where a frame is taller than a strip and a tile."""
    sides = {"diffusers": ("theirs", ("exact", "tiled")), "kinema": ("ours", ("exact", "frugal", "tiled"))}
    found = {
        label: {mode: memory_mb("wan-vae", mode, side, frames, width_px, height_px) for mode in modes}
        for label, (side, modes) in sides.items()
    }
    work = strip_work(frames, width_px, height_px)
    return {"what": "wan-vae", "frames": frames, "size": f"{width_px}x{height_px}", **found, "times_the_work": work}


def strip_work(frames: int, width_px: int, height_px: int) -> dict[str, float]:
    """Rows of latents in a strip -> FLOPs of Wan's decode in such strips over those of its decode as a whole, counted on no data."""
    from torch.utils.flop_counter import FlopCounterMode

    from kinema.models.autoencoders.wan import WanAutoencoder
    from kinema.models.autoencoders.wan_config import WAN_2_1_VAE
    from kinema.models.autoencoders.wan_strips import decode_strips

    def flops(chunks: Iterator[Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            for _ in chunks:
                pass
        return counter.get_total_flops()

    x = latents(16, frames, width_px, height_px).to("meta")
    with torch.device("meta"):
        ours = WanAutoencoder(WAN_2_1_VAE).to(BF16)
    whole = flops(ours.decode_stream(x))
    return {str(rows): round(flops(decode_strips(ours, x, rows=rows)) / whole, 2) for rows in (8, 16, 32)}


def memory_mb(*what: Any) -> float:
    """`vae_memory` of ``what`` in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", json.dumps(what)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(int(done.stdout.split()[-1]) / 1e6, 1)


def transformer_rows(rounds: int, edge: int) -> Iterator[dict[str, Any]]:
    """A row eager, a row compiled."""
    from kinema.accel.pack import apply_pack

    theirs, plain = pair(hunyuan_transformer, "transformer")
    ours = apply_pack(copy.deepcopy(plain))
    given = {
        "latents": torch.randn(1, 16, LATENT_FRAMES, edge, edge).to(BF16),
        "sigma": torch.tensor([0.7]),
        "text": torch.randn(1, TEXT_TOKENS, TRANSFORMER["text_embed_dim"]).to(BF16),
        "text_mask": torch.ones(1, TEXT_TOKENS, dtype=torch.bool),
        "pooled": torch.randn(1, TRANSFORMER["pooled_projection_dim"]).to(BF16),
        "guidance": torch.tensor([6.0]),
    }

    def of_theirs() -> Tensor:
        time, guidance = (given[name] * 1000 for name in ("sigma", "guidance"))
        text, mask, pooled = (given[name] for name in ("text", "text_mask", "pooled"))
        # in fp32, as ours: in bf16 a guidance of 6 times 1,000 would be 6,016
        return theirs(given["latents"], time, text, mask, pooled, guidance, return_dict=False)[0]

    def rate_of_linears() -> float:
        x, w = torch.randn(1344, 1024).to(BF16), torch.randn(4096, 1024).to(BF16)
        linear = in_turns({"linear": lambda: nn.functional.linear(x, w)}, 50)["linear"]["median_s"]
        return round(2 * 1344 * 1024 * 4096 / linear / 1e12, 2)

    def of_ours() -> Tensor:
        return ours(**given)

    with torch.no_grad():
        expected, actual = of_theirs(), of_ours()
        for mode in ("eager", "compiled"):
            if mode == "compiled":
                theirs, ours = torch.compile(theirs), torch.compile(plain)
            times = in_turns({"diffusers": of_theirs, "kinema": of_ours}, 3 * rounds)
            yield {
                "what": "hunyuan-transformer", "mode": mode, **times,
                "times_faster": compared(times, ("diffusers", "kinema")),
                "relative_difference": float((actual.float() - expected.float()).norm() / expected.float().norm()),
                "linears_tflops": rate_of_linears(),
            }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="hunyuan-vae,wan-vae,transformer,memory,strips")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs; nothing is recorded")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    with torch.no_grad():
        if args.memory_of:
            print(vae_memory(*json.loads(args.memory_of)))
            return
        size, edge, lengths = (32, 8, (17, 33)) if args.small else (128, LATENT_EDGE, LENGTHS)
        only = args.only.split(",")
        rows: list[dict[str, Any]] = []
        for name in VAES:
            if name in only:
                rows += vae_times(name, args.rounds, size)
        if "transformer" in only:
            rows += transformer_rows(args.rounds, edge)
        keep(NAME, "rows", rows, is_small=args.small)
        if "memory" in only:
            memory: list[dict[str, Any]] = []
            for name in VAES:
                for row in memory_rows(name, size, lengths):
                    memory.append(row)
                    keep(f"{NAME}_memory", "peak_mb_over_weights", memory, is_small=args.small)
        if "strips" in only:
            tall = tall_row(5, 64, 160) if args.small else tall_row(9, 480, 832)
            keep(f"{NAME}_strips", "peak_mb_over_weights", [tall], is_small=args.small)


def keep(name: str, what: str, found: list[dict[str, Any]], *, is_small: bool) -> None:
    """Records what was ``found``, if anything was; of small sizes it is shown alone."""
    if is_small:
        print(json.dumps(found, indent=1))
    elif found:
        record(name, {"threads": torch.get_num_threads(), "dtype": "bfloat16", what: found})


if __name__ == "__main__":
    main()
