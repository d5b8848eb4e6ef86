"""How long does loading take, and how much memory? A sharded random HunyuanVideo transformer, ours beside diffusers' from_pretrained.

Every way runs in processes of its own, in turn: (a) the files read through once, (b) loaded as they are stored (we map and look
for NaN), and then every page touched, both with the files on the disk alone ("cold") and in the system's cache; from there on (c)
packed for the processor block by block, as the engine loads them on a CPU; (d) converted to fp32; (e) quantised block by block to
int8; (f) streamed from disk under a hard limit of half the weights. Bytes are peaks above what the process held just before
loading; pages of mapped files count once they are touched, though the system may take them back.

python bench/loading.py [--gb 1.0] [--runs 5] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from record import RESULTS, ROOT, record, summary

SHARDS = 4
# a quarter of the published width: a GB has 39 blocks, as the published model has 60, of which three are in memory when it is streamed
WIDTH_HEADS, HEAD_DIM = 6, 128
LIMITS = {"seconds_over_reading": 1.3, "peak_over_weights": 1.2}
WAYS = {
    "reading cold": "the files read through a buffer",
    "ours cold": "loaded as stored",
    "diffusers cold": "loaded as stored",
    "reading": "the files read through a buffer",
    "ours": "loaded as stored",
    "diffusers": "loaded as stored",
    "ours packed": "packed while loading",
    "ours fp32": "converted to fp32",
    "diffusers fp32": "converted to fp32",
    "ours int8": "quantised while loading",
    "ours disk": "one forward, blocks read from disk, RLIMIT_DATA at half the weights",
}


def config(num_bytes: float) -> dict[str, Any]:
    """A HunyuanVideo transformer of about ``num_bytes`` in bf16: twice as many single-stream blocks as dual ones, as published."""
    width = WIDTH_HEADS * HEAD_DIM
    layers = max(1, round(num_bytes / 2 / ((36 + 2 * 15) * width**2)))
    return {
        "num_attention_heads": WIDTH_HEADS, "attention_head_dim": HEAD_DIM, "num_layers": layers,
        "num_single_layers": 2 * layers, "num_refiner_layers": 1, "text_embed_dim": 64, "pooled_projection_dim": 32,
        "rope_axes_dim": [16, 56, 56], "guidance_embeds": False,
    }  # fmt: skip


def write_model(folder: Path, num_bytes: float) -> None:
    """The checkpoint as diffusers lays it out, tensor by tensor: the writer holds one shard."""
    import torch
    from safetensors.torch import save_file

    from kinema.models.transformers.config import VideoTransformerConfig
    from kinema.models.transformers.video import VideoTransformer

    settings = config(num_bytes)
    with torch.device("meta"):
        network = VideoTransformer(VideoTransformerConfig(**{**settings, "rope_axes_dim": (16, 56, 56)}))
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    weight_map: dict[str, str] = {}
    names = list(shapes)
    share = math.ceil(sum(math.prod(s) for s in shapes.values()) / SHARDS)
    shards: list[list[str]] = [[]]
    size = 0
    for name in names:
        if size >= share and len(shards) < SHARDS:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += math.prod(shapes[name])
    generator = torch.Generator().manual_seed(0)
    for i, shard in enumerate(shards):
        file = f"diffusion_pytorch_model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        tensors = {n: (0.02 * torch.randn(shapes[n], generator=generator)).bfloat16() for n in shard}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": 2 * sum(math.prod(s) for s in shapes.values())}, "weight_map": weight_map}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    described = {"_class_name": "HunyuanVideoTransformer3DModel", "in_channels": 16, "out_channels": 16, **settings}
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")


def status(name: str) -> int:
    """Bytes that Linux counts under ``name`` for this process."""
    line = next(
        row for row in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if row.startswith(name)
    )
    return int(line.split()[1]) * 1024


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of ``work``, the same with every page of the weights touched, and then the peak above what was there."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = status("VmRSS:")
    start = time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - start
    for tensor in weights_of(kept):
        tensor.flatten()[:: 4096 // tensor.element_size()].max()
    touched = time.perf_counter() - start
    return {"seconds": seconds, "touched_seconds": touched, "peak_bytes": status("VmHWM:") - before}


def weights_of(loaded: Any) -> list[Any]:
    """The plain tensors on the CPU of a network: what is mapped is not loaded before its pages are touched."""
    parameters = loaded.parameters() if hasattr(loaded, "parameters") else []
    return [p.data for p in parameters if p.device.type == "cpu" and not hasattr(p, "qdata")]


def read_through(folder: Path) -> None:
    """Every byte of the files into one buffer."""
    buffer = bytearray(4 << 20)
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb", buffering=0) as handle:
            while handle.readinto(buffer):  # type: ignore[attr-defined]
                pass


def ours(folder: Path, dtype: str, on_block: Any = None) -> Any:
    """Kinema's transformer of ``folder``."""
    import torch

    return _parts(folder)[0](dtype=getattr(torch, dtype), on_block=on_block)


def _parts(folder: Path) -> tuple[Callable[..., Any], Any, dict[str, Any]]:
    """(what fills the network, its pieces, its settings)."""
    from kinema.models.transformers.config import VideoTransformerConfig
    from kinema.models.transformers.video import VideoTransformer
    from kinema.weights.configs import read_config, translate
    from kinema.weights.files import tensor_files
    from kinema.weights.load import fill_module, pieces_of

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _, values = translate(settings["_class_name"], settings, "transformer")
    built = read_config(VideoTransformerConfig, values, "transformer")
    pieces = pieces_of(tensor_files(folder))

    def fill(**options: Any) -> Any:
        return fill_module(lambda: VideoTransformer(built), pieces, where=folder, component="transformer", **options)

    return fill, pieces, settings


def theirs(folder: Path, dtype: str) -> Any:
    """The transformer of ``folder`` as diffusers loads it."""
    import torch
    from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTransformer3DModel

    return HunyuanVideoTransformer3DModel.from_pretrained(
        folder, torch_dtype=getattr(torch, dtype), local_files_only=True
    )


def streamed(folder: Path, limit_bytes: int) -> dict[str, float]:
    """Load and one forward with blocks from disk, under a limit on all that the process may write to."""
    import resource

    import torch

    from kinema.accel.offload import apply_offload, drop_block
    from kinema.weights.stream import BlockReader

    fill, pieces, settings = _parts(folder)
    limit = status("VmData:") + limit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def work() -> Any:
        network = fill(dtype=torch.bfloat16, on_block=drop_block)
        read = BlockReader(pieces, dtype=torch.bfloat16)
        latents, text = torch.zeros(1, 16, 1, 8, 8).bfloat16(), torch.zeros(1, 4, settings["text_embed_dim"]).bfloat16()
        pooled = torch.zeros(1, settings["pooled_projection_dim"]).bfloat16()
        with torch.inference_mode(), apply_offload(network, "disk", device="cpu", read=read):
            return network(latents, torch.tensor([0.5]), text, None, pooled)

    return measured(work)


def child(way: str, folder: Path) -> dict[str, float]:
    """What one way takes, its imports and torch's first product left out."""
    if way.startswith("reading"):
        return measured(lambda: read_through(folder))
    import torch

    torch.mm(torch.randn(64, 64), torch.randn(64, 64))
    dtype = "float32" if way.endswith("fp32") else "bfloat16"
    weights = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    if way == "ours disk":
        return streamed(folder, weights // 2)
    if way.startswith("diffusers"):
        import diffusers.models.transformers.transformer_hunyuan_video  # noqa: F401

        return measured(lambda: theirs(folder, dtype))
    _parts(folder)
    if way == "ours int8":
        from kinema.accel.quantise import quantize_block

        on_block = quantize_block("int8")
        return measured(lambda: ours(folder, dtype, on_block))
    if way == "ours packed":
        from kinema.accel.pack import apply_pack

        return measured(lambda: apply_pack(ours(folder, dtype, lambda _, block: apply_pack(block))))
    return measured(lambda: ours(folder, dtype))


def forget(folder: Path) -> None:
    """Has the system drop what it holds of the files."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def in_a_process(way: str, folder: Path) -> dict[str, float]:
    """`child` in a process of its own. Its last line is the answer."""
    if way.endswith("cold"):
        forget(folder)
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, "--child", way, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}: ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def has_torchao() -> bool:
    """Whether the extra for quantising is installed."""
    import importlib.util

    return importlib.util.find_spec("torchao") is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child, arguments.folder)))
        return
    folder = Path(tempfile.mkdtemp(prefix="kinema-loading-"))
    try:
        write_model(folder, arguments.gb * 1e9)
        weights = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
        ways = [w for w in WAYS if w != "ours int8" or has_torchao()]
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(1 + arguments.runs):  # in turn, so that what else runs on the machine meets all alike
            for way in ways:
                runs[way].append(in_a_process(way, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    record("loading", report(weights, {way: found[1:] for way, found in runs.items()}), folder=arguments.out)


def report(weights: int, runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Every way's seconds and peak, as figures and against reading the files and the weights that come out."""
    results: dict[str, Any] = {"file_bytes": weights, "shards": SHARDS, "limits": LIMITS}
    for way, found in runs.items():
        base = "reading cold" if way.endswith("cold") else "reading"
        reading = summary([r["seconds"] for r in runs[base]])["median_s"]
        seconds, peak = summary([r["seconds"] for r in found]), max(r["peak_bytes"] for r in found)
        held = weights * (2 if way.endswith("fp32") else 1)
        touched = summary([r["touched_seconds"] for r in found])["median_s"]
        results[way] = {
            "what": WAYS[way],
            **seconds,
            "over_reading": round(seconds["median_s"] / reading, 3),
            "touched_median_s": touched,
            "touched_over_reading": round(touched / reading, 3),
            "peak_bytes": int(peak),
            "peak_over_weights": round(peak / held, 3),
        }
    return results


if __name__ == "__main__":
    main()
