"""Rotary positions and embeddings, against slow ones."""

from __future__ import annotations

import math

import pytest
import torch
from jaxtyping import TypeCheckError

from kinema.models.layers.embeddings import MlpEmbedding, sinusoid
from kinema.models.layers.norms import RmsNorm, layer_norm
from kinema.models.layers.rope import apply_rope, rope_table
from kinema.models.transformers.blocks import FeedForward


def test_a_rotation_turns_each_pair_by_place_times_frequency():
    sizes, axes, theta = (2, 3, 5), (2, 4, 6), 100.0
    x = torch.randn(1, 30 + 7, 1, 12)
    turned = apply_rope(x, rope_table(sizes, axes, theta=theta, num_unrotated=7))
    for t in range(2):
        for h in range(3):
            for w in range(5):
                n, pair = (t * 3 + h) * 5 + w, 0
                for place, dim in zip((t, h, w), axes, strict=True):
                    for i in range(dim // 2):
                        a = place * theta ** (-2 * i / dim)
                        u, v = x[0, n, 0, 2 * pair : 2 * pair + 2].tolist()
                        expected = [u * math.cos(a) - v * math.sin(a), u * math.sin(a) + v * math.cos(a)]
                        assert turned[0, n, 0, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(expected, abs=1e-5)
                        pair += 1
    assert torch.equal(turned[:, 30:], x[:, 30:])


def test_products_depend_on_the_difference_of_places():
    table = rope_table((11,), (8,), theta=10000.0)
    q, k = (torch.randn(8).expand(1, 11, 1, 8) for _ in range(2))
    products = apply_rope(q, table)[0, :, 0] @ apply_rope(k, table)[0, :, 0].T
    assert torch.allclose(products[:-3, :-3], products[3:, 3:], atol=1e-5)
    assert not torch.allclose(products[:, :-3], products[:, 3:], atol=1e-2)


def test_both_ways_to_rotate_are_the_same():
    """A compiled rotation is in real numbers, an eager one in complex ones."""
    table = rope_table((13,), (8,), theta=256.0, num_unrotated=3)
    x = torch.randn(2, 16, 5, 8, requires_grad=True)
    eager, traced = apply_rope(x, table), torch.compile(apply_rope, backend="eager", fullgraph=True)(x, table)
    assert torch.allclose(eager, traced, atol=1e-6)
    weights = torch.randn_like(eager)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (eager, traced)]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_rotations_are_fp32():
    table = rope_table((3,), (4,), theta=256.0)
    assert apply_rope(torch.randn(1, 3, 1, 4, dtype=torch.bfloat16), table).dtype == torch.float32


def test_a_sinusoid_is_cosines_then_sines():
    wave = sinusoid(torch.tensor([0.0, 2.0]), 6)
    assert wave[0].tolist() == [1, 1, 1, 0, 0, 0]
    frequencies = [10000 ** (-i / 3) for i in range(3)]
    expected = [math.cos(2 * f) for f in frequencies] + [math.sin(2 * f) for f in frequencies]
    assert wave[1].tolist() == pytest.approx(expected, abs=1e-6)


def test_an_embedding_ignores_autocast():
    embedding, x = MlpEmbedding(3, 5), torch.randn(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(embedding(x), embedding(x.double()).float())
        assert embedding(x).dtype == torch.float32


def test_norms():
    x = 3 + 2 * torch.randn(2, 3, 64)
    assert layer_norm(x).mean(dim=-1).abs().max() < 1e-5
    assert torch.allclose(layer_norm(x).var(dim=-1, correction=0), torch.ones(2, 3), atol=1e-4)
    norm = RmsNorm(64)
    with torch.no_grad():
        norm.weight.fill_(2.0)
    assert torch.allclose(norm(x).pow(2).mean(dim=-1), torch.full((2, 3), 4.0), atol=1e-3)
    assert norm(x.bfloat16()).dtype == torch.float32


def test_shapes_that_an_alias_states_are_checked():
    layer = FeedForward(6, 12, "gelu")
    layer(torch.zeros(2, 3, 6))
    with pytest.raises(TypeCheckError, match="FeedForward"):
        layer(torch.zeros(3, 6))
