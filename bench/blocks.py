"""Blocks of HunyuanVideo and Wan 14B, full width and random weights, at published sizes, beside diffusers' own in one process: for a GPU.

python bench/blocks.py [--rounds N] [--only NAME,...] [--modes eager,compiled] [--out FOLDER]
python bench/blocks.py --device cpu --grid 2x16x16 --rounds 1    # a rehearsal; nothing is recorded

HunyuanVideo: one dual block, two single ones; Wan 14B: two blocks; bf16. One forward of a step as each pipeline asks for it at 480p
and 720p: a prompt of 60 tokens is 256 with a mask for diffusers, and 60 for us. Work is 2 a weight and row of the linear layers and
of attention what it computes; fractions are of the best matrix product measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from published import BF16, compared, in_turns, pair
from record import RESULTS, record
from torch import Tensor

TEXT_TOKENS, REAL_TOKENS, WAN_TEXT_TOKENS = 256, 60, 512
Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """A network of a few blocks, and its latents' sizes (t h w) by name. ``sides`` calls both with the same latents."""

    build: Callable[[], Any]
    sizes: dict[str, Grid]
    sides: Callable[[Any, Any, Tensor], dict[str, Callable[[], Tensor]]]
    attention: Callable[[int], float]


def hunyuan() -> Any:
    """The reference's transformer, three blocks deep."""
    from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTransformer3DModel

    return HunyuanVideoTransformer3DModel(num_layers=1, num_single_layers=2)


def wan() -> Any:
    """The same of Wan 14B, two deep."""
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    return WanTransformer3DModel(num_layers=2)


def hunyuan_sides(theirs: Any, ours: Any, latents: Tensor) -> dict[str, Callable[[], Tensor]]:
    """A step of each, as the pipelines call it."""
    device = latents.device
    text = torch.randn(1, TEXT_TOKENS, 4096, dtype=BF16, device=device)
    pooled = torch.randn(1, 768, dtype=BF16, device=device)
    mask = (torch.arange(TEXT_TOKENS, device=device) < REAL_TOKENS)[None]
    sigma, guidance = torch.tensor([0.7], device=device), torch.tensor([6.0], device=device)
    return {
        "diffusers": lambda: theirs(
            latents, sigma * 1000, text, mask, pooled, guidance * 1000, return_dict=False
        )[0],
        "kinema": lambda: ours(latents, sigma, text[:, :REAL_TOKENS], None, pooled, guidance=guidance),
    }  # fmt: skip


def wan_sides(theirs: Any, ours: Any, latents: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The same of Wan."""
    text = torch.randn(1, WAN_TEXT_TOKENS, 4096, dtype=BF16, device=latents.device)
    sigma = torch.tensor([0.7], device=latents.device)
    return {
        "diffusers": lambda: theirs(latents, sigma * 1000, text, return_dict=False)[0],
        "kinema": lambda: ours(latents, sigma, text),
    }


CASES = {
    "hunyuan-video": Case(
        hunyuan,
        {"544x960, 129 frames": (33, 68, 120), "720x1280, 129 frames": (33, 90, 160)},
        hunyuan_sides,
        lambda n: 3 * 4 * (n + REAL_TOKENS) ** 2 * 3072,
    ),
    "wan-14b": Case(
        wan,
        {"480x832, 81 frames": (21, 60, 104), "720x1280, 81 frames": (21, 90, 160)},
        wan_sides,
        lambda n: 2 * 4 * n * (n + WAN_TEXT_TOKENS) * 5120,
    ),
}


def rows(name: str, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One for every size and mode."""
    case, device = CASES[name], torch.device(args.device)
    theirs, ours = pair(case.build, "transformer")
    theirs, ours = theirs.to(device), ours.to(device)
    rate = best_rate(device)
    for mode in args.modes.split(","):
        if mode == "compiled":
            theirs, ours = torch.compile(theirs), torch.compile(ours)
        for size, grid in ({"rehearsal": args.grid} if args.grid else case.sizes).items():
            generator = torch.Generator().manual_seed(1)
            latents = torch.randn(1, 16, *grid, generator=generator).to(device, BF16)
            tokens = grid[0] * grid[1] * grid[2] // 4
            sides = case.sides(theirs, ours, latents)
            expected, actual = (sides[side]().float() for side in ("diffusers", "kinema"))
            work = work_of(ours, sides["kinema"]) + case.attention(tokens)
            times = in_turns({side: waited(run, device) for side, run in sides.items()}, args.rounds)
            yield {
                "what": name, "mode": mode, "size": size, "tokens": tokens, **times,
                "times_faster": compared(times, ("diffusers", "kinema")),
                "relative_difference": float((actual - expected).norm() / expected.norm()),
                "tflop": round(work / 1e12, 3), "best_product_tflops": round(rate / 1e12, 1),
                "fraction_of_best": {side: round(work / t["median_s"] / rate, 3) for side, t in times.items()},
                "peak_mb_over_weights": {side: peak_mb(run, device) for side, run in sides.items()},
            }  # fmt: skip


def waited(run: Callable[[], Tensor], device: torch.device) -> Callable[[], None]:
    """``run``, to its end."""

    def whole() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return whole


def work_of(network: Any, run: Callable[[], Tensor]) -> float:
    """Operations of its linear layers in a forward; compiled ones are run uncompiled for it."""
    done: list[int] = []

    def listen(layer: Any, given: tuple[Tensor, ...], _: Tensor) -> None:
        done.append(2 * given[0].shape[:-1].numel() * layer.weight.shape[0] * layer.weight.shape[1])

    plain = getattr(network, "_orig_mod", network)
    layers = [
        layer for layer in plain.modules() if layer is not plain and hasattr(layer, "weight") and hasattr(layer, "bias")
    ]
    hooks = [
        layer.register_forward_hook(listen) for layer in layers if layer.weight is not None and layer.weight.ndim == 2
    ]
    try:
        with torch.compiler.set_stance("force_eager"):
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return float(sum(done))


def best_rate(device: torch.device) -> float:
    """Operations a second of the best bf16 matrix product of a few sizes."""
    best = 0.0
    for n in (4096, 8192) if device.type == "cuda" else (512, 1024):
        a, b = (torch.randn(n, n, device=device).to(BF16) for _ in range(2))
        product = waited(lambda a=a, b=b: a @ b, device)
        product()
        for _ in range(10):
            started = time.perf_counter()
            product()
            best = max(best, 2 * n**3 / (time.perf_counter() - started))
    return best


def peak_mb(run: Callable[[], Tensor], device: torch.device) -> float | None:
    """What the device holds at most beyond what it held before."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)


def grid_of(text: str) -> Grid:
    """Three even sizes, "2x16x16"."""
    t, h, w = map(int, text.split("x"))
    return t, h, w


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--modes", default="eager,compiled")
    parser.add_argument("--grid", type=grid_of, help="latents of this size instead (a rehearsal)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device; `--device cpu --grid 2x16x16` rehearses")
    if args.device == "cpu" and not args.grid:
        parser.error("--device cpu needs a --grid, such as 2x16x16: published sizes take hours")
    found: list[dict[str, Any]] = []
    with torch.inference_mode():
        for name in args.only.split(","):
            for row in rows(name, args):
                found.append(row)
                print(row, flush=True)
                if not args.grid:
                    record("blocks", {"rows": found}, folder=args.out, device={"name": torch.cuda.get_device_name()})


if __name__ == "__main__":
    main()
