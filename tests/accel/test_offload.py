"""Weights that come and go: the same bits as with all of them there, no more in memory than promised, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import kinema
from kinema.accel.lora import apply_lora
from kinema.accel.offload import Offload, Read, apply_offload, drop_block
from kinema.core.blocks import repeated_blocks
from kinema.core.errors import InvalidInput, WeightsError
from kinema.models.layers.low_rank import LowRank
from kinema.models.transformers.wan import WanTransformer
from kinema.weights.load import Pieces, fill_module
from kinema.weights.stream import BlockReader
from tests.accel.networks import NETWORKS, WAN, random_network, run, saved

MODES = ("component", "layers", "disk")
DTYPES = {
    "fp32": (torch.float32, torch.float32),
    "bf16": (torch.bfloat16, torch.bfloat16),
    "bf16 as fp32": (torch.bfloat16, torch.float32),
}


def filled(build: Callable[[], nn.Module], pieces: Pieces, dtype: torch.dtype, on_block: Any = None) -> nn.Module:
    return fill_module(build, pieces, where=Path("here"), component="net", dtype=dtype, on_block=on_block)


def reader(network: nn.Module, pieces: Pieces, dtype: torch.dtype) -> BlockReader:
    return BlockReader(pieces, dtype=dtype, fp32_parts=getattr(network, "fp32_parts", frozenset()))


def offloaded(
    name: str, pieces: Pieces, mode: str, dtype: torch.dtype = torch.float32, read: Read | None = None
) -> tuple[nn.Module, Offload]:
    """A network that never held more than a block of its weights."""
    network = filled(NETWORKS[name], pieces, dtype, on_block=drop_block)
    assert all(p.is_meta for p in network.parameters())
    return network, apply_offload(network, mode, device="cpu", read=read or reader(network, pieces, dtype))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_are_those_of_a_resident_network(tmp_path: Path, name: str, kind: str, mode: str) -> None:
    stored, dtype = DTYPES[kind]
    pieces = saved(random_network(NETWORKS[name]), tmp_path, stored)
    expected = run(filled(NETWORKS[name], pieces, dtype))
    network, offload = offloaded(name, pieces, mode, dtype)
    assert expected.abs().max() > 0.01
    assert torch.equal(run(network), expected)
    with offload:
        assert torch.equal(run(network), expected)
        assert torch.equal(run(network), expected), "and the weights come again"
    assert all(p.is_meta for p in network.parameters())


class Watched:
    """A reader that knows how many bytes of what it has read are alive."""

    def __init__(self, read: Read) -> None:
        self.read, self.alive, self.most, self.calls = read, [], 0, []

    def __call__(self, names: Sequence[str]) -> dict[str, Tensor]:
        tensors = dict(self.read(names))
        self.calls.append(tuple(names))
        self.alive += [(weakref.ref(t.untyped_storage()), t.nbytes) for t in tensors.values()]
        self.most = max(self.most, sum(size for ref, size in self.alive if ref() is not None))
        return tensors


@pytest.mark.parametrize("name", ["hunyuan", "wan"])
@pytest.mark.parametrize("mode,at_once", [("disk", 1), ("layers", 2)])
def test_no_more_blocks_are_there_than_promised(tmp_path: Path, name: str, mode: str, at_once: int) -> None:
    whole = random_network(NETWORKS[name])
    pieces = saved(whole, tmp_path, torch.float32)
    sizes = {n: t.nbytes for n, t in whole.state_dict().items()}
    blocks = [sum(sizes[n] for n in names) for names in repeated_blocks(sizes).values()]
    watched = Watched(reader(whole, pieces, torch.float32))
    network, _ = offloaded(name, pieces, mode, read=watched)
    run(network)
    around = sum(sizes.values()) - sum(blocks)
    assert around + max(blocks) <= watched.most <= around + at_once * max(blocks)
    assert watched.most < sum(sizes.values())
    run(network)
    assert all(ref() is None for ref, _ in watched.alive), "nothing is left"
    assert len(watched.calls) == 2 * (1 + len(blocks))


def test_within_a_with_block_what_stands_around_is_read_once(tmp_path: Path) -> None:
    pieces = saved(random_network(NETWORKS["wan"]), tmp_path, torch.float32)
    watched = Watched(BlockReader(pieces, dtype=torch.float32))
    network, offload = offloaded("wan", pieces, "disk", read=watched)
    with offload:
        assert not network.get_parameter("proj_out.weight").is_meta
        assert network.get_parameter("blocks.0.ffn.net.2.weight").is_meta
        run(network)
        run(network)
    assert sum("proj_out.weight" in names for names in watched.calls) == 1
    assert sum("blocks.0.ffn.net.2.weight" in names for names in watched.calls) == 2


def test_a_component_serves_methods_other_than_forward(tmp_path: Path) -> None:
    pieces = saved(random_network(NETWORKS["wan"]), tmp_path, torch.float32)
    network, offload = offloaded("wan", pieces, "component")
    with offload:
        assert all(not p.is_meta for p in network.parameters())
        assert network.get_submodule("proj_out")(torch.ones(2, 36)).isfinite().all()
    assert all(p.is_meta and p.dtype == torch.float32 for p in network.parameters())


def test_tied_weights_stay_one(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))
            self.first, self.last = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
            self.last.weight = self.first.weight
            self.shift = nn.Buffer(torch.ones(5))
            self.rope = nn.Buffer(torch.ones(5), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x) + self.shift * self.rope
            for block in self.blocks:
                x = block(x)
            return self.last(x)

    network, x = Tied().requires_grad_(False), torch.randn(3, 5)
    expected = network(x)
    weights = {n: t.clone() for n, t in network.state_dict().items() if n != "last.weight"}
    apply_offload(network, "layers", device="cpu", read=lambda names: {n: weights[n] for n in names})
    assert network.shift.is_meta
    assert torch.equal(network(x), expected)


@pytest.mark.parametrize("mode", MODES)
def test_an_error_on_the_way_leaves_nothing_in_memory(tmp_path: Path, mode: str) -> None:
    pieces = saved(random_network(NETWORKS["wan"]), tmp_path, torch.float32)
    expected = run(filled(NETWORKS["wan"], pieces, torch.float32))
    network, _ = offloaded("wan", pieces, mode)
    hook = network.get_submodule("blocks.2.attn1").register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(network)
    assert all(p.is_meta for p in network.parameters())
    hook.remove()
    assert torch.equal(run(network), expected)


@pytest.mark.parametrize("mode", ["layers", "disk"])
def test_a_file_cut_short_meanwhile_is_named(tmp_path: Path, mode: str) -> None:
    pieces = saved(random_network(NETWORKS["wan"]), tmp_path, torch.float32)
    network, _ = offloaded("wan", pieces, mode)
    file = tmp_path / "a.safetensors"
    os.truncate(file, file.stat().st_size - 4096)
    with pytest.raises(WeightsError, match=r"a\.safetensors.*ends before"):
        run(network)


def test_what_does_not_go_is_refused() -> None:
    network = NETWORKS["wan"]()
    read = BlockReader({}, dtype=torch.float32)
    with pytest.raises(InvalidInput, match="^offload: 'swap': must be one of component, layers, disk"):
        apply_offload(network, "swap", device="cpu", read=read)
    with pytest.raises(InvalidInput, match="^offload: 'none'"):
        apply_offload(network, "none", device="cpu", read=read)
    with pytest.raises(InvalidInput, match="disk needs a file"):
        apply_offload(network, "disk", device="meta")
    with pytest.raises(InvalidInput, match="on the cpu.* needs a file"):
        apply_offload(network, "layers", device="cpu")
    with pytest.raises(InvalidInput, match="Linear has no repeated blocks"):
        apply_offload(nn.Linear(2, 3), "layers", device="cpu", read=read)
    assert not any(p.is_meta for p in network.parameters()), "and nothing has changed"
    network.get_submodule("blocks.1")._compiled_call_impl = print  # as .compile() leaves it, which takes seconds
    with pytest.raises(InvalidInput, match="compiled"):
        apply_offload(network, "layers", device="cpu", read=read)


def test_a_lora_comes_before(tmp_path: Path) -> None:
    pieces = saved(random_network(NETWORKS["wan"]), tmp_path, torch.float32)
    network, _ = offloaded("wan", pieces, "layers")
    update = LowRank(down=torch.ones(1, 36), up=torch.ones(36, 1))
    with pytest.raises(InvalidInput, match=r"^lora: 'blocks.0.attn1.to_q.weight'.*before"):
        apply_lora(network, {"blocks.0.attn1.to_q.weight": update})


LARGE = {"num_attention_heads": 6, "attention_head_dim": 64, "ffn_dim": 1536, "num_layers": 16}

CODE = f"""
import gc, json, re, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from kinema.accel.offload import apply_offload, drop_block
from kinema.models.transformers.wan import WanTransformer
from kinema.weights.load import fill_module, pieces_of
from kinema.weights.stream import BlockReader
from tests.accel.networks import WAN, run

def data_bytes():
    return int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def build():
    return WanTransformer(replace(WAN, **{LARGE!r}))

def fill(on_block=None):
    return fill_module(build, pieces, where=Path("."), component="net", dtype=torch.float32, on_block=on_block)

torch.set_num_threads(1)
torch.randn(64, 64) @ torch.randn(64, 64)
pieces = pieces_of([Path(sys.argv[1])])
before, result = data_bytes(), {{}}
expected = run(fill())
gc.collect()
resource.setrlimit(resource.RLIMIT_DATA, (before + int(sys.argv[2]),) * 2)
for mode in ("disk", "layers"):
    network = fill(drop_block)
    apply_offload(network, mode, device="cpu", read=BlockReader(pieces, dtype=torch.float32))
    result[mode] = torch.equal(run(network), expected)
try:
    run(fill())
    result["resident"] = "fits"
except (OSError, MemoryError, RuntimeError) as e:
    result["resident"] = type(e).__name__
print(json.dumps(result))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limit on memory is Linux's")
def test_a_model_of_twice_the_memory_runs(tmp_path: Path) -> None:
    """The limit (RLIMIT_DATA) counts what a process may write to: its heap, and its private mappings of files."""
    from dataclasses import replace

    network = WanTransformer(replace(WAN, **LARGE))
    file = tmp_path / "large.safetensors"
    save_file({n: torch.randn(t.shape) * 0.02 for n, t in network.state_dict().items()}, file)
    root = Path(kinema.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    command = [sys.executable, "-c", CODE, str(file), str(file.stat().st_size // 2)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"disk": True, "layers": True, "resident": "MemoryError"}


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_are_the_same_on_a_gpu(tmp_path: Path, name: str, mode: str) -> None:
    pieces = saved(random_network(NETWORKS[name]), tmp_path, torch.bfloat16)
    expected = run(filled(NETWORKS[name], pieces, torch.bfloat16).to("cuda"), "cuda")
    network = filled(NETWORKS[name], pieces, torch.bfloat16, on_block=drop_block if mode == "disk" else None)
    parts = getattr(network, "fp32_parts", frozenset())
    read = BlockReader(pieces, dtype=torch.bfloat16, device="cuda", fp32_parts=parts) if mode == "disk" else None
    with apply_offload(network, mode, device="cuda", read=read):
        for _ in range(5):
            assert torch.equal(run(network, "cuda"), expected)
    assert all(p.is_meta for p in network.parameters())
