from __future__ import annotations

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.flow.noise import generator, noise

SHAPE = (2, 3, 5, 7)


def test_a_sample_depends_on_its_seed_alone() -> None:
    batch = noise(SHAPE, seeds=[11, 4, 9])
    assert batch.shape == (3, *SHAPE)
    for i, seed in enumerate([11, 4, 9]):
        assert torch.equal(batch[i : i + 1], noise(SHAPE, seeds=[seed]))
    assert torch.equal(batch.flip(0), noise(SHAPE, seeds=[9, 4, 11]))
    assert not torch.equal(batch[0], batch[1])


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = noise(SHAPE, seeds=[5])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(noise(SHAPE, seeds=[5]), first)


def test_short_seeds_are_those_of_torch_and_so_of_published_pipelines() -> None:
    expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(42))
    assert torch.equal(noise(SHAPE, seeds=[42])[0], expected)


def test_long_seeds_differ_from_their_lowest_32_bits() -> None:
    # torch itself reads no more than those
    same = [torch.randn(5, generator=torch.Generator().manual_seed(s)) for s in (1, 2**32 + 1)]
    assert torch.equal(*same)
    draws = noise(SHAPE, seeds=[1, 2**32 + 1, 2**33 + 1, 2**63 - 1, 2**32 - 1])
    assert len({tuple(d.flatten()[:3].tolist()) for d in draws}) == 5


def test_streams_are_independent_draws() -> None:
    n = (50_000,)
    draws = torch.cat([noise(n, seeds=[3, 4], stream=s) for s in range(3)])
    correlation = torch.corrcoef(draws)
    assert (correlation - torch.eye(6)).abs().max() < 0.02
    assert torch.equal(noise(n, seeds=[3], stream=2)[0], draws[4])


def test_moments_are_those_of_a_standard_normal() -> None:
    x = noise((100_000,), seeds=[8])
    assert abs(x.mean().item()) < 0.015
    assert abs(x.std().item() - 1) < 0.015


def test_dtype_rounds_the_same_numbers() -> None:
    assert torch.equal(noise(SHAPE, seeds=[6], dtype=torch.bfloat16), noise(SHAPE, seeds=[6]).bfloat16())


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "7"])
def test_a_bad_seed_is_named(seed: object) -> None:
    with pytest.raises(InvalidInput, match="seed.*whole number"):
        generator(seed)  # pyright: ignore[reportArgumentType]


def test_no_seeds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="seeds"):
        noise(SHAPE, seeds=[])
