from __future__ import annotations

import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor

from kinema.core.errors import InvalidInput
from kinema.flow.noise import batch_noise, generator, noise

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


@pytest.mark.parametrize("shape", [(2, 3), (3, 5, 7), (16, 2, 4, 4), (1, 1, 1, 1)])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_are_drawn_as_the_reference_draws_them(shape: tuple[int, ...], batch: int) -> None:
    """From one generator, and from one for each sample."""
    one = torch.Generator("cpu").manual_seed(42)
    assert torch.equal(
        batch_noise(shape, batch=batch, seed=42), randn_tensor((batch, *shape), generator=one, dtype=torch.float32)
    )
    seeds = list(range(7, 7 + batch))
    each = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    assert torch.equal(noise(shape, seeds=seeds), randn_tensor((batch, *shape), generator=each, dtype=torch.float32))


def test_one_generator_for_a_batch_is_another_draw() -> None:
    assert torch.equal(batch_noise(SHAPE, batch=1, seed=5), noise(SHAPE, seeds=[5]))
    both = batch_noise(SHAPE, batch=2, seed=5)
    assert not torch.equal(both[1], both[0])
    assert torch.equal(batch_noise(SHAPE, batch=2, seed=5, dtype=torch.bfloat16), both.bfloat16())
    with pytest.raises(InvalidInput, match="batch"):
        batch_noise(SHAPE, batch=0, seed=5)


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
