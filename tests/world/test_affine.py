from __future__ import annotations

import math

import torch
from torch import Tensor

from kinema.world.affine import apply, compose, invert, rotate, scale, translate

N = 5


def _square(m: Tensor) -> Tensor:
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64).expand(*m.shape[:-2], 1, 4)
    return torch.cat([m, last], -2)


def _random_map() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    angle, x = torch.rand(2, N, generator=generator, dtype=torch.float64)
    return compose(translate(x, 2.0, -1.0), rotate("y", angle), rotate("x", 3 * angle), scale(0.5, x + 1, 3.0))


def test_composing_is_the_matrix_product_and_the_last_comes_first() -> None:
    maps = [translate(1.0, 2.0, 3.0), rotate("z", 0.3), scale(2.0, 3.0, 4.0), _random_map()]
    product = _square(maps[0])
    for m in maps[1:]:
        product = product @ _square(m)
    assert torch.allclose(_square(compose(*maps)), product.expand(N, 4, 4), atol=1e-12)


def test_the_inverse_undoes() -> None:
    m = _random_map()
    assert torch.allclose(_square(compose(m, invert(m))), torch.eye(4, dtype=torch.float64).expand(N, 4, 4), atol=1e-12)


def test_rotations_are_right_handed() -> None:
    x, y, z = torch.eye(3, dtype=torch.float64)
    quarter = math.pi / 2
    assert torch.allclose(apply(rotate("z", quarter), x), y, atol=1e-12)
    assert torch.allclose(apply(rotate("x", quarter), y), z, atol=1e-12)
    assert torch.allclose(apply(rotate("y", quarter), z), x, atol=1e-12)
