"""Where does a clip's time go on one core, and what was tried to save of it? Phases of a cold process and of a warm one; trials in pairs.

A trial runs the shipped model with something and without it, in turn, and quotes the median of the pairs' ratios of processor time, on one
thread: other work on the machine hardly moves that. What two threads do when cores are shared is measured by the clock, apart.

python bench/where_time_goes.py [--pairs N] [--compile]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from generate import PROMPTS, cold_clip
from record import ROOT, record
from torch import Tensor, nn
from torch.nn import functional as F

from kinema.accel.compile import apply_compile
from kinema.accel.pack import PackedLinear, apply_pack
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.scope import run_scope
from kinema.models.layers import attention, causal_conv, rope
from kinema.models.layers.linear import GeluLinear
from kinema.models.text.byte_encoder import tokenize
from kinema.models.transformers import video as video_module
from kinema.weights.build import load_component
from kinema.weights.folder import open_model

# a change that pays less isn't worth its lines
LEAST_GAIN = 0.03
REPEATS = 1
Work = Callable[[], object]
# (something is done otherwise while this is entered, work)
Side = tuple[Callable[[], Any], Work]


def pairs(with_it: Side, without: Side, count: int) -> dict[str, float]:
    """Median processor milliseconds of both sides, and the median ratio of pairs, after one of each for warm-up."""
    spent: list[tuple[float, float]] = [(seconds(with_it), seconds(without)) for _ in range(1 + count)][1:]
    ratio = statistics.median(a / b for a, b in spent)
    ms = [round(1e3 * statistics.median(side), 3) for side in zip(*spent, strict=True)]
    return {
        "with_ms": ms[0],
        "without_ms": ms[1],
        "ratio": round(ratio, 3),
        "pairs": count,
        "pays": ratio <= 1 - LEAST_GAIN,
    }


def seconds(side: Side) -> float:
    """Processor seconds of one call."""
    context, work = side
    with context():
        start = time.process_time()
        for _ in range(REPEATS):
            work()
        return (time.process_time() - start) / REPEATS


def step_inputs(dtype: torch.dtype, batch: int = 2) -> tuple[Any, ...]:
    """What the transformer is given in a step of the default clip: latents, level, text, its mask, its summary."""
    generator = torch.Generator().manual_seed(0)
    latents, text, pooled = (torch.randn(s, generator=generator) for s in ((2, 16, 5, 12, 12), (2, 24, 192), (2, 192)))
    mask = torch.ones(2, 24, dtype=torch.bool)
    return tuple(t[:batch] for t in (latents.to(dtype), torch.full((2,), 0.5), text.to(dtype), mask, pooled.to(dtype)))


def network(name: str, dtype: torch.dtype) -> Any:
    return load_component(open_model("kinema-mini"), name, dtype=dtype)


def unfused(model: nn.Module) -> nn.Module:
    """``model`` packed, its activations apart."""
    for layer in list(model.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, GeluLinear):
                plain = nn.Linear(1, 1)
                plain.weight, plain.bias = child.weight, child.bias
                setattr(layer, name, nn.Sequential(plain, nn.GELU(approximate="tanh")))
    return apply_pack(model)


def joined(model: Any) -> Any:
    """``model`` with one product for queries, keys and values of every single block, and one norm and rotation for the first two."""
    for block in model.single_transformer_blocks:
        a = block.attn
        plain = nn.Linear(1, 1)
        layers = (a.to_q, a.to_k, a.to_v)
        plain.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
        plain.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), requires_grad=False)
        block.attn = _Joined(plain, torch.stack([a.norm_q.weight, a.norm_k.weight]), a.num_heads)
    return apply_pack(model)


class _Joined(nn.Module):
    def __init__(self, to_qkv: nn.Linear, norms: Tensor, num_heads: int) -> None:
        super().__init__()
        self.to_qkv, self.num_heads = to_qkv, num_heads
        self.norms = norms.float().repeat_interleave(num_heads, 0)

    def forward(self, x: Tensor, mask: Any, table: Any) -> Tensor:
        h = self.num_heads
        y = self.to_qkv(x).unflatten(-1, (3 * h, -1))
        qk = rope.apply_rope(F.rms_norm(y[:, :, : 2 * h].float(), y.shape[-1:], None, 1e-6) * self.norms, table)
        return attention.attend(qk[:, :, :h], qk[:, :, h:], y[:, :, 2 * h :], mask)


def joined_in_time_as_it_comes(
    layer: nn.Module, x: Tensor, num_past: int, *, stride: int = 1, stream: Any = None
) -> Tensor:
    """`kinema.models.layers.causal_conv.look_back` before it kept channels innermost."""
    past = None if stream is None else stream.past.get(layer)
    x = torch.cat([x[:, :, :1].expand(-1, -1, num_past, -1, -1) if past is None else past, x], dim=2)
    if stream is not None:
        stream.past[layer] = x[:, :, x.shape[2] - (num_past + 1 - stride) :].clone()
    return x


def transformer_trials(dtype: torch.dtype, count: int) -> dict[str, dict[str, float]]:
    """Trials of one guided denoising step."""
    inputs, halves = step_inputs(dtype), [tuple(t[i : i + 1] for t in step_inputs(dtype)) for i in range(2)]
    plain, packed = network("transformer", dtype), apply_pack(network("transformer", dtype))
    apart, one_product = unfused(network("transformer", dtype)), joined(network("transformer", dtype))
    table = lru_cache(video_module.rope_table)

    def once(*args: Any, **kwargs: Any) -> Any:
        return table(*map(tuple, args), **kwargs)

    fused_kernel = lambda: patch.object(attention, "_is_sooner_in_two", lambda *_: False)  # noqa: E731
    as_it_is = (nullcontext, lambda: packed(*inputs))
    trials: dict[str, tuple[Side, Side]] = {
        "weights packed": ((nullcontext, lambda: apart(*inputs)), (nullcontext, lambda: plain(*inputs))),
        "activations computed with their products": (as_it_is, (nullcontext, lambda: apart(*inputs))),
        "attention in two products": (as_it_is, (fused_kernel, lambda: packed(*inputs))),
        "one product for q, k and v": ((nullcontext, lambda: one_product(*inputs)), as_it_is),
        "rotation table made once": ((lambda: patch.object(video_module, "rope_table", once), as_it_is[1]), as_it_is),
        "guidance in one batch": (as_it_is, (nullcontext, lambda: [packed(*half) for half in halves])),
        "all of these that are kept": (as_it_is, (fused_kernel, lambda: plain(*inputs))),
    }
    return {name: pairs(*sides, count) for name, sides in trials.items()}


def constant_work(dtype: torch.dtype) -> dict[str, float]:
    """Fractions of a step that computing conditions once a run could save at most: those that don't depend on the noise level."""
    model: Any = apply_pack(network("transformer", dtype))
    inputs, embed = step_inputs(dtype), model.time_text_embed

    def conditions() -> None:
        embed.text_embedder(inputs[4])
        for embedder in embed.scalar_embedders.values():
            embedder(inputs[1])
        model.context_embedder(inputs[2], inputs[1], None)

    step = pairs((nullcontext, conditions), (nullcontext, lambda: model(*inputs)), 5)
    return {"conditions_of_a_step": step["ratio"]}


def other_trials(dtype: torch.dtype, count: int) -> dict[str, dict[str, float]]:
    """Trials of the decoder and of the text encoder."""
    vae, text = network("vae", dtype), network("text_encoder", dtype)
    latents = torch.randn(1, 16, 5, 12, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    decode: Work = lambda: list(vae.decode_stream(latents))  # noqa: E731
    before = lambda: patch.object(causal_conv, "look_back", joined_in_time_as_it_comes)  # noqa: E731
    one, two = ((nullcontext, lambda n=n: [text(*tokenize([p])) for p in (PROMPTS["en"], "")[:n]]) for n in (1, 2))
    return {
        "channels-last where frames are joined": pairs((nullcontext, decode), (before, decode), count),
        "decode as a whole": pairs((nullcontext, lambda: vae.decode(latents)), (nullcontext, decode), count),
        "text encoder: without the negative prompt": pairs(one, two, count),
    }


def compiled(dtype: torch.dtype, count: int) -> dict[str, Any]:
    """What compiling costs, what it gains against the packed step, and after how many default clips it pays."""
    inputs, packed, model = step_inputs(dtype), apply_pack(network("transformer", dtype)), network("transformer", dtype)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder):
        start = time.process_time() + children_seconds()
        try:
            apply_compile(model)(*inputs)
        except Exception as e:  # the compiler's own errors have no common type
            return {"failed": str(e).splitlines()[0][:200]}
        cost = time.process_time() + children_seconds() - start
        trial = pairs((nullcontext, lambda: model(*inputs)), (nullcontext, lambda: packed(*inputs)), count)
    saved = 20 * (trial["without_ms"] - trial["with_ms"]) / 1e3
    return {
        **trial,
        "first_call_s": round(cost, 2),
        "pays_after_clips": round(cost / saved, 1) if saved > 0 else "never",
    }


def children_seconds() -> float:
    return sum(os.times()[2:4])


_CLIPS = """
import resource, sys, time
import torch
from kinema.core.request import GenerationRequest
from kinema.engine import scope
from kinema.engine.engine import Engine
if sys.argv[1] == "given back":
    scope._keep_freed_memory = lambda: None
engine = Engine(threads=int(sys.argv[2]), dtype=sys.argv[3])
request, out = GenerationRequest(prompt="a puppy plays in the park", seed=1), []
for _ in range(3):
    faults, cpu, start = resource.getrusage(0).ru_minflt, time.process_time(), time.perf_counter()
    clip = engine.generate(request)
    out.append((time.process_time() - cpu, time.perf_counter() - start, resource.getrusage(0).ru_minflt - faults))
print([sum(column[1:]) / 2 for column in zip(*out)], clip.recipe["frames"])
"""


def warm_process(freed: str, threads: int, dtype: str, **variables: str) -> tuple[list[float], str]:
    """((processor s, wall s, page faults) of a warm clip, the mean of two; the hash of its frames)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    environment |= {"PYTHONPATH": str(ROOT / "src"), **variables}
    command = [sys.executable, "-c", _CLIPS, freed, str(threads), dtype]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures, _, digest = done.stdout.rpartition("] ")
    return [float(f) for f in figures.lstrip("[").split(",")], digest.strip()


def kept_memory(dtype: str, count: int) -> dict[str, Any]:
    """Warm clips in processes that keep freed memory and in such as give it back."""
    runs = [(warm_process("kept", 1, dtype)[0], warm_process("given back", 1, dtype)[0]) for _ in range(count)]
    ratio = statistics.median(a[0] / b[0] for a, b in runs)
    sides = {
        name: {
            "cpu_s": round(statistics.median(r[i][0] for r in runs), 3),
            "page_faults": statistics.median(r[i][2] for r in runs),
        }
        for i, name in enumerate(("kept", "given_back"))
    }
    return {**sides, "ratio": round(ratio, 3), "pairs": count, "pays": ratio <= 1 - LEAST_GAIN}


def waiting(dtype: str) -> dict[str, Any]:
    """Warm clips on two threads with other settings of how threads wait, and the machine's load meanwhile."""
    found: dict[str, Any] = {}
    for name, variables in {
        "as the library likes": {},
        "as kinema sets it": {"GOMP_SPINCOUNT": "1000"},
        "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
    }.items():
        (cpu, wall, *_), digest = warm_process("kept", 2, dtype, **variables)
        found[name] = {
            "cpu_s": round(cpu, 3),
            "wall_s": round(wall, 3),
            "load_average": round(os.getloadavg()[0], 2),
            "frames": digest,
        }
    (cpu, wall, *_), digest = warm_process("kept", 1, dtype)
    return found | {"one thread": {"cpu_s": round(cpu, 3), "wall_s": round(wall, 3), "frames": digest}}


def phases(dtype: str) -> dict[str, Any]:
    """Seconds of a cold command by phase, and of a clip in a process that has made some before."""
    with tempfile.TemporaryDirectory() as folder:
        colds = [cold_clip("kinema-mini", PROMPTS["en"], Path(folder) / "a.mp4") for _ in range(3)][1:]
    colds.sort(key=lambda c: c[0])
    wall, peak, recipe = colds[0]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    torch_s = time.perf_counter() - start
    engine, request = Engine(threads=1, dtype=dtype), GenerationRequest(prompt=PROMPTS["en"], seed=1)
    warm = [engine.generate(request) for _ in range(4)][-1]
    return {
        "cold": {"wall_s": round(wall, 3), "peak_mb": round(peak / 1e6), "import_torch_s": round(torch_s, 3),
                 "engine_s": recipe["cost"]["seconds"]},
        "warm_one_thread": {phase: round(s, 4) for phase, s in warm.metrics.seconds.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="compile as well: a minute or more")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"load_average": os.getloadavg()[0], "phases": phases("bfloat16")}
    trials: dict[str, Mapping[str, Any]] = {}
    with run_scope(1):
        assert any(isinstance(m, PackedLinear) for m in apply_pack(network("transformer", torch.float32)).modules())
        for dtype in (torch.bfloat16, torch.float32):
            name = str(dtype).removeprefix("torch.")
            trials[name] = transformer_trials(dtype, arguments.pairs) | other_trials(dtype, arguments.pairs)
        results["at_most_saved_by_computing_once"] = constant_work(torch.bfloat16)
        if arguments.compile:
            results["compile"] = {n: compiled(getattr(torch, n), arguments.pairs) for n in ("bfloat16", "float32")}
    results |= {"trials": trials, "freed_memory": kept_memory("bfloat16", 7), "two_threads": waiting("bfloat16")}
    record("profile", results)


if __name__ == "__main__":
    main()
