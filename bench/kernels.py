"""How near to this machine's limit do the networks run? Transformer step and decode, fp32 and bf16, eager and compiled.

The same again with the vector set of a laptop (AVX2), and the layouts a 3D convolution can take. Fractions are of the best
matrix product, and of the best 2D convolution, that were measured in the same dtype under the same vector set.

python bench/kernels.py [--model NAME] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import torch
from einops import rearrange
from record import RESULTS, ROOT, record
from torch import nn
from torch.nn import functional as F

from kinema.accel.compile import apply_compile
from kinema.core.geometry import VideoShape
from kinema.core.request import GenerationRequest
from kinema.engine.choose import current_isa, measure_dtypes
from kinema.engine.machine import num_cores
from kinema.engine.scope import run_scope
from kinema.models.autoencoders.flops import flops as autoencoder_flops
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.transformers.flops import flops as transformer_flops
from kinema.models.transformers.video import VideoTransformer
from kinema.training.speed import median_seconds
from kinema.weights.build import load_component
from kinema.weights.folder import ModelFolder, open_model

DTYPES: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
# the last one for matrix products in fp32, which on Intel's processors come from MKL
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
CPU = torch.device("cpu")
RUNS, FEWEST_RUNS = 7, 5
# bf16 under AVX2 is emulated, hundreds of times slower: what takes this long is measured with the fewest runs, and peaks aren't
# looked for at larger sizes
SLOW_S = 0.5
# a middle layer of a small decoder: channels, frames, height and width
_CONV = (96, 5, 48, 48)
_MATRICES = (256, 512, 1024, 2048)
_CONV_CHANNELS = (32, 64, 128, 256)

# FLOP/s by kind: matmul, conv
Peaks = Mapping[str, float]


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """The median seconds of ``work``, and of how many runs; the runs for warm-up aren't counted."""
    start = time.perf_counter()
    work()
    is_slow = time.perf_counter() - start > SLOW_S
    # a first run that compiles is slow as well, so one more tells
    if is_slow:
        start = time.perf_counter()
        work()
        is_slow = time.perf_counter() - start > SLOW_S
    runs = FEWEST_RUNS if is_slow else RUNS
    return median_seconds(work, CPU, repeats=runs, warmups=0 if is_slow else 1), runs


def timed(work: Callable[[], object], flop: float, peaks: Peaks) -> dict[str, float]:
    """Median seconds, TFLOP/s, and the fractions of ``peaks``."""
    seconds, runs = measured(work)
    rate = flop / seconds
    fractions = {f"of_{kind}_peak": round(rate / peak, 3) for kind, peak in peaks.items()}
    return {"median_s": round(seconds, 5), "runs": runs, "tflops": round(rate / 1e12, 4), **fractions}


def timed_compiled(work: Callable[[], object], flop: float, peaks: Peaks) -> dict[str, Any]:
    """The same of compiled ``work``, or why it can't be compiled, say without a C++ compiler."""
    try:
        return timed(work, flop, peaks)
    except Exception as e:  # the compiler's own errors have no common type
        return {"failed": str(e).splitlines()[0][:200]}


def find_peaks(dtype: str) -> Peaks:
    """The best FLOP/s of matrix products and of 2D convolutions over growing sizes."""
    kinds = {"matmul": (_product(n, dtype) for n in _MATRICES), "conv": (_plane(n, dtype) for n in _CONV_CHANNELS)}
    return {kind: _best_rate(works) for kind, works in kinds.items()}


def no_less_than_float32(peaks: Mapping[str, Peaks]) -> dict[str, Peaks]:
    """``peaks``, those of a dtype that this processor emulates being float32's: its own are no limit of anything."""
    return {dtype: {kind: max(p, peaks["float32"][kind]) for kind, p in of.items()} for dtype, of in peaks.items()}


def transformer_step(folder: ModelFolder, shape: VideoShape, peaks: Mapping[str, Peaks]) -> dict[str, Any]:
    """A guided denoising step: both prompts in one batch."""
    results: dict[str, Any] = {}
    latent = folder.card.compression.latent(shape)
    for dtype in DTYPES:
        torch_dtype = getattr(torch, dtype)
        model = cast(VideoTransformer, load_component(folder, "transformer", dtype=torch_dtype))
        config, text_tokens = model.config, folder.card.text_tokens
        flop = transformer_flops(config, latent.num_tokens(config.patch), text_tokens, batch=2)
        inputs = (
            torch.randn(2, *latent.as_tuple()).to(torch_dtype),
            torch.full((2,), 0.5),
            torch.randn(2, text_tokens, config.text_embed_dim).to(torch_dtype),
            None,
            torch.randn(2, config.pooled_projection_dim).to(torch_dtype),
        )
        results[f"{dtype} eager"] = timed(lambda m=model, i=inputs: m(*i), flop, peaks[dtype])
        apply_compile(model)
        results[f"{dtype} compiled"] = timed_compiled(lambda m=model, i=inputs: m(*i), flop, peaks[dtype])
    return {"gflop": round(flop / 1e9, 3), "tokens": latent.num_tokens(config.patch) + text_tokens, **results}


def vae_decode(folder: ModelFolder, shape: VideoShape, peaks: Mapping[str, Peaks]) -> dict[str, Any]:
    """The decode of a whole clip: as the engine streams it, in one piece, and in one piece compiled."""
    results: dict[str, Any] = {}
    latent = folder.card.compression.latent(shape)
    for dtype in DTYPES:
        vae = cast(VideoAutoencoder, load_component(folder, "vae", dtype=getattr(torch, dtype)))
        flop = autoencoder_flops(vae.config, shape)[1]
        z = torch.randn(1, *latent.as_tuple()).to(getattr(torch, dtype))
        if vae.config.can_stream:
            stream = timed(lambda v=vae, z=z: list(v.decode_stream(z)), flop, peaks[dtype])
            results[f"{dtype} eager, streamed"] = stream
        results[f"{dtype} eager, whole"] = timed(lambda v=vae, z=z: v.decode(z), flop, peaks[dtype])
        vae.decoder.compile(dynamic=False)
        results[f"{dtype} compiled, whole"] = timed_compiled(lambda v=vae, z=z: v.decode(z), flop, peaks[dtype])
    return {"gflop": round(flop / 1e9, 3), **results}


def conv_layouts(peaks: Mapping[str, Peaks]) -> dict[str, Any]:
    """One causal 3 x 3 x 3 convolution in the layouts that it can take, and the factorised one that replaces it."""
    results: dict[str, Any] = {}
    channels, frames, height, width = _CONV
    per_tap = 2 * channels**2 * frames * height * width
    for dtype in DTYPES:
        full = nn.Conv3d(channels, channels, 3, padding=(0, 1, 1)).to(getattr(torch, dtype))
        flat = nn.Conv3d(channels, channels, 3, padding=0).to(getattr(torch, dtype))
        plane = nn.Conv2d(channels, channels, 3, padding=1).to(getattr(torch, dtype))
        time = nn.Conv2d(channels, channels, (3, 1)).to(getattr(torch, dtype))
        x = torch.randn(1, channels, frames + 2, height, width).to(getattr(torch, dtype))
        last = x.contiguous(memory_format=torch.channels_last_3d)
        padded = F.pad(last, (1, 1, 1, 1)).contiguous(memory_format=torch.channels_last_3d)
        pictures = torch.randn(frames, channels, height, width).to(getattr(torch, dtype))
        pictures_last = pictures.contiguous(memory_format=torch.channels_last)
        columns = torch.randn(1, channels, frames + 2, height * width).to(getattr(torch, dtype))
        columns_last = columns.contiguous(memory_format=torch.channels_last)
        ways: dict[str, tuple[Callable[[], object], int]] = {
            "3D": (lambda f=full, x=x: f(x), 27),
            "3D channels-last": (lambda f=full, x=last: f(x), 27),
            "frames folded, a 2D convolution per time tap": (lambda f=flat, x=padded: _by_frames(x, f), 27),
            "2D": (lambda f=plane, x=pictures: f(x), 9),
            "2D channels-last": (lambda f=plane, x=pictures_last: f(x), 9),
            "time alone, as 2D": (lambda f=time, x=columns: f(x), 3),
            "time alone, as 2D channels-last": (lambda f=time, x=columns_last: f(x), 3),
        }
        results[dtype] = {name: timed(work, taps * per_tap, peaks[dtype]) for name, (work, taps) in ways.items()}
    return results


def section(model: str) -> dict[str, Any]:
    """All figures under this process's vector set."""
    folder = open_model(model)
    shape = folder.card.shape(GenerationRequest(prompt="any"))
    threads = num_cores()
    with run_scope(threads):
        peaks = no_less_than_float32({dtype: find_peaks(dtype) for dtype in DTYPES})
        return {
            "isa": current_isa("cpu"),
            "threads": threads,
            "model": {"name": folder.card.name, "hash": folder.content_hash()},
            "shape": str(shape),
            "peak_tflops": {d: {kind: round(p / 1e12, 4) for kind, p in of.items()} for d, of in peaks.items()},
            "chosen": asdict(measure_dtypes(threads)),
            "transformer_step": transformer_step(folder, shape, peaks),
            "vae_decode": vae_decode(folder, shape, peaks),
            "conv_layouts": conv_layouts(peaks),
        }


def section_under(model: str, variables: dict[str, str]) -> dict[str, Any]:
    """`section` in a process with ``variables`` of `AVX2` or none, which torch and its libraries read when they start."""
    inherited = {name: value for name, value in os.environ.items() if name not in AVX2}
    environment = {**inherited, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'bench'}", **variables}
    command = [sys.executable, __file__, "--model", model, "--section"]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def _product(size: int, dtype: str) -> tuple[Callable[[], object], float]:
    """A square matrix product, and its FLOP."""
    a = torch.ones(size, size, dtype=getattr(torch, dtype))
    return lambda: a @ a, 2 * size**3


def _plane(channels: int, dtype: str) -> tuple[Callable[[], object], float]:
    """A 3 x 3 convolution of a few channels-last pictures, and its FLOP."""
    torch_dtype, last = getattr(torch, dtype), torch.channels_last
    pictures = torch.ones(4, channels, 48, 48, dtype=torch_dtype).contiguous(memory_format=last)
    kernel = torch.ones(channels, channels, 3, 3, dtype=torch_dtype).contiguous(memory_format=last)
    return lambda: F.conv2d(pictures, kernel, padding=1), 2 * 9 * channels**2 * pictures[:, 0].numel()


def _best_rate(works: Iterable[tuple[Callable[[], object], float]]) -> float:
    best = 0.0
    for work, flop in works:
        seconds, _ = measured(work)
        best = max(best, flop / seconds)
        if seconds > SLOW_S:
            break
    return best


def _by_frames(x: torch.Tensor, conv: nn.Conv3d) -> torch.Tensor:
    """What ``conv`` gives, as a sum over its time taps of 2D convolutions with the frames in the batch."""
    taps, frames = conv.kernel_size[0], x.shape[2] - conv.kernel_size[0] + 1
    parts = [
        F.conv2d(rearrange(x[:, :, k : k + frames], "b c t h w -> (b t) c h w"), conv.weight[:, :, k])
        for k in range(taps)
    ]
    return rearrange(sum(parts[1:], parts[0]), "(b t) c h w -> b c t h w", t=frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="kinema-mini")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the result goes")
    parser.add_argument(
        "--section", action="store_true", help="print the figures under this process's vector set alone"
    )
    arguments = parser.parse_args()
    if arguments.section:
        print(json.dumps(section(arguments.model)))
        return
    sections = {name: section_under(arguments.model, v) for name, v in (("native", {}), ("avx2", AVX2))}
    record("kernels", sections, folder=arguments.out)


if __name__ == "__main__":
    main()
