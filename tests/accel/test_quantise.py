"""Quantised blocks: which layers, how many bytes, how far from the unquantised network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kinema.accel.lora import apply_lora
from kinema.accel.offload import apply_offload
from kinema.accel.quantise import apply_quantize, quantize_block
from kinema.core.blocks import block_sizes
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.models.layers.low_rank import LowRank
from kinema.models.transformers.video import VideoTransformer
from kinema.models.transformers.wan import WanTransformer
from kinema.weights.load import fill_module
from tests.accel.networks import HUNYUAN, NETWORKS, WAN, random_network, run, saved

SCHEMES = ("int8", "fp8")
# Relative error (norms) of the whole network's output that is stated: random weights, every gate open.
MOST = {"int8": 0.02, "fp8": 0.05}
DUAL = [
    *(
        f"attn.{n}"
        for n in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out")
    ),
    *(f"{n}.net.{i}" for n in ("ff", "ff_context") for i in ("0.proj", "2")),
]
SINGLE = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out"]
WAN_BLOCK = [
    *(f"{a}.{n}" for a in ("attn1", "attn2") for n in ("to_q", "to_k", "to_v", "to_out.0")), "ffn.net.0.proj", "ffn.net.2",
]  # fmt: skip
EXPECTED = {
    "hunyuan": [f"transformer_blocks.{i}.{n}" for i in range(2) for n in DUAL]
    + [f"single_transformer_blocks.{i}.{n}" for i in range(3) for n in SINGLE],
    "wan": [f"blocks.{i}.{n}" for i in range(4) for n in WAN_BLOCK],
    "wan with image": [f"blocks.0.{n}" for n in (*WAN_BLOCK, "attn2.add_k_proj", "attn2.add_v_proj")],
}
WIDE: dict[str, Callable[[], nn.Module]] = {
    "hunyuan": lambda: VideoTransformer(replace(HUNYUAN, attention_head_dim=96, rope_axes_dim=(16, 40, 40))),
    "wan": lambda: WanTransformer(replace(WAN, attention_head_dim=64, ffn_dim=512)),
}

pytest.importorskip("torchao", reason="the extra `quantise` is not installed")


def parts_of(parameter: Tensor) -> list[Tensor]:
    """The plain tensors that a parameter is made of."""
    if type(parameter) is nn.Parameter:
        return [parameter]
    return [getattr(parameter, name) for name in parameter.__tensor_flatten__()[0]]  # pyright: ignore[reportAttributeAccessIssue]


def is_quantised(parameter: Tensor) -> bool:
    return any(part.element_size() == 1 and part.ndim == 2 for part in parts_of(parameter))


def num_bytes(network: nn.Module) -> int:
    return sum(part.nbytes for p in network.parameters() for part in parts_of(p))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", EXPECTED)
def test_these_layers_are_quantised_and_no_others(name: str, scheme: str) -> None:
    network = apply_quantize(random_network(NETWORKS[name]), scheme)
    found = [n for n, p in network.named_parameters() if is_quantised(p)]
    assert sorted(found) == sorted(f"{layer}.weight" for layer in EXPECTED[name])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WIDE)
def test_memory_falls_to_a_byte_a_number(name: str, dtype: torch.dtype, scheme: str) -> None:
    network = random_network(WIDE[name]).to(dtype)
    before = num_bytes(network)
    sizes = block_sizes({n: tuple(p.shape) for n, p in network.named_parameters()})
    assert sizes is not None
    rows = sum(p.shape[0] for n, p in network.named_parameters() if is_matrix_in_block(n, name))
    apply_quantize(network, scheme)
    saved_bytes = before - num_bytes(network)
    # a row's scale, in the dtype or fp32, and with int8 a zero point
    assert sizes.quantised * (dtype.itemsize - 1) - 5 * rows <= saved_bytes < sizes.quantised * (dtype.itemsize - 1)
    assert saved_bytes > (0.4 if dtype == torch.float32 else 0.25) * before


def is_matrix_in_block(parameter: str, name: str) -> bool:
    return any(parameter == f"{layer}.weight" for layer in EXPECTED[name])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WIDE)
def test_results_stay_within_the_stated_error(name: str, dtype: torch.dtype, scheme: str) -> None:
    network = random_network(WIDE[name]).to(dtype)
    before = run(network)
    after = run(apply_quantize(network, scheme))
    assert after.isfinite().all()
    error = ((after - before).norm() / before.norm()).item()
    assert 0.001 < error < MOST[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["hunyuan", "wan"])
def test_block_by_block_while_loading_is_the_same(tmp_path: Path, name: str, scheme: str) -> None:
    whole = random_network(NETWORKS[name])
    pieces = saved(whole, tmp_path, torch.float32)
    loaded = fill_module(
        NETWORKS[name],
        pieces,
        where=tmp_path,
        component="net",
        dtype=torch.float32,
        on_block=quantize_block(scheme),
    )
    apply_quantize(whole, scheme)
    assert num_bytes(loaded) == num_bytes(whole)
    assert torch.equal(run(loaded), run(whole))


def test_nothing_else_of_the_process_changes() -> None:
    from torch._inductor import config

    def settings() -> tuple[object, ...]:
        return torch.get_float32_matmul_precision(), config.coordinate_descent_tuning, config.force_fuse_int_mm_with_mul

    before = settings()
    apply_quantize(random_network(NETWORKS["wan"]), "int8")
    assert settings() == before


def test_torchao_tells_nothing_at_import() -> None:
    code = "from kinema.accel.quantise import quantize_block; quantize_block('int8'); quantize_block('fp8')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_quantised_network_comes_and_goes() -> None:
    network = apply_quantize(random_network(NETWORKS["wan"]), "int8")
    expected = run(network)
    weights = dict(network.named_parameters())
    with apply_offload(network, "layers", device="cpu", read=lambda names: {n: weights[n] for n in names}):
        assert torch.equal(run(network), expected)
    assert all(p.is_meta for p in network.parameters())


def test_what_does_not_go_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="^quantise: 'int4': must be one of int8, fp8"):
        apply_quantize(NETWORKS["wan"](), "int4")
    with pytest.raises(InvalidInput, match="^quantise: 'Linear': has no repeated blocks"):
        apply_quantize(nn.Linear(2, 3), "int8")
    network = apply_quantize(random_network(NETWORKS["wan"]), "int8")
    update = LowRank(down=torch.ones(1, 36), up=torch.ones(36, 1))
    with pytest.raises(InvalidInput, match="^lora: .*before"):
        apply_lora(network, {"blocks.0.attn1.to_q.weight": update})
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(UnsupportedRequest, match=r"torchao: pip install 'kinema\[quantise\]'"):
        apply_quantize(NETWORKS["wan"](), "int8")
