"""Packed layers compute what plain ones do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from kinema.accel.pack import PackedLinear, apply_pack, apply_unpacked
from kinema.models.layers.linear import GeluLinear
from tests.accel.networks import NETWORKS, random_network, run

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512") or not torch.backends.mkldnn.is_available(),
    reason="this processor or torch packs nothing",
)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_packed_network_equals_the_plain_one(name: str) -> None:
    plain, packed = random_network(NETWORKS[name]), apply_pack(random_network(NETWORKS[name]))
    kinds = {type(layer) for layer in packed.modules()}
    assert PackedLinear in kinds
    assert not kinds & {nn.Linear, GeluLinear}
    expected = run(plain)
    assert expected.abs().max() > 0.1
    assert (run(packed) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [nn.Linear, GeluLinear])
def test_weights_that_come_and_go_give_the_same_bits(kind: type[nn.Linear], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(kind(96, 160)).to(dtype)
    packed, unpacked = apply_pack(copy.deepcopy(plain)), apply_unpacked(plain)
    for rows in (1, 2, 7, 700):
        x = torch.randn(rows, 96).to(dtype)
        with torch.inference_mode():
            assert torch.equal(packed(x), unpacked(x)), rows


@pytest.mark.parametrize("kind", [nn.Linear, GeluLinear])
@pytest.mark.parametrize("has_bias", [True, False])
def test_any_number_of_rows_fits(kind: type[nn.Linear], has_bias: bool) -> None:
    torch.manual_seed(0)
    plain = kind(13, 7, bias=has_bias)
    packed = apply_pack(nn.Sequential(plain))
    for shape in ((1, 13), (5, 13), (2, 3, 13), (301, 13)):
        x = torch.randn(shape)
        with torch.inference_mode():
            assert torch.allclose(packed(x), plain(x), atol=1e-5)


def test_in_bf16_a_fused_activation_is_rounded_once() -> None:
    if not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("no bf16 products here")
    torch.manual_seed(0)
    plain = GeluLinear(64, 96).bfloat16().requires_grad_(False)
    packed = apply_pack(nn.Sequential(plain))
    x = 3 * torch.randn(50, 64).bfloat16()
    exact = GeluLinear(64, 96)
    exact.load_state_dict({name: tensor.float() for name, tensor in plain.state_dict().items()})

    def error(out: Tensor) -> float:
        return float((out.float() - exact(x.float())).square().mean().sqrt())

    with torch.inference_mode():
        assert 0 < error(packed(x)) <= error(plain(x))


def test_what_cannot_be_packed_stays() -> None:
    model = nn.Sequential(nn.Linear(4, 4).double(), nn.Linear(4, 4, device="meta"))
    assert [type(layer) for layer in apply_pack(model).children()] == [nn.Linear, nn.Linear]
