"""What decodes tell of their work before their frames come: beside counted products, and as a place to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kinema.accel.shelf import FileShelf
from kinema.models.autoencoders.tiling import Tiles, decode_tiled, decode_wan_tiled
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.autoencoders.wan import WanAutoencoder
from kinema.models.autoencoders.wan_config import WAN_2_1_VAE
from kinema.models.autoencoders.wan_strips import decode_strips
from kinema.models.autoencoders.work import OnWork
from tests.models.autoencoders.published import pair

HUNYUAN = {"block_out_channels": (6, 9, 12, 15), "norm_num_groups": 3, "layers_per_block": 1}
TILES = Tiles(frames=(8, 4), height_px=(32, 24), width_px=(32, 24))


def _hunyuan() -> VideoAutoencoder:
    return pair(HUNYUAN)[1]


def _wan() -> WanAutoencoder:
    model = WanAutoencoder(replace(WAN_2_1_VAE, base_dim=6))
    model.init_weights(torch.Generator().manual_seed(0))
    return model


def way(name: str) -> tuple[Callable[[Tensor, OnWork], Iterator[Tensor]], float]:
    """(How latents become chunks of pixels, how far what it tells may lie from the share of counted products)."""
    if name.startswith("wan"):
        wan = _wan()
        if name == "wan in strips":
            return lambda x, told: decode_strips(wan, x, rows=3, on_work=told), 0.1
        return lambda x, told: decode_wan_tiled(wan, x, replace(TILES, frames=None), on_work=told), 0.2
    model = _hunyuan()
    if name == "tiles":
        return lambda x, told: decode_tiled(model, x, TILES, on_work=told), 0.15
    if name == "whole":
        return lambda x, told: iter([model.decode(x, on_work=told)]), 0.05
    return lambda x, told: model.decode_stream(x, make_shelf=partial(FileShelf, 0), on_work=told), 0.05


NAMES = ["exact", "whole", "tiles", "wan in strips", "wan in tiles"]


def some_latents(*shape: int) -> Tensor:
    return torch.randn(1, 16, *(shape or (5, 9, 6)), generator=torch.Generator().manual_seed(1))


# of the large clip attention is a tenth, and comes first
@pytest.mark.parametrize("name, shape", [*((name, ()) for name in NAMES), ("exact", (9, 28, 28))])
@torch.no_grad()
def test_what_is_told_is_the_share_of_the_products(name: str, shape: tuple[int, ...]) -> None:
    decode, tolerance = way(name)
    told: list[tuple[float, int]] = []
    # the fused kernel's products aren't counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        list(decode(some_latents(*shape), lambda share: told.append((share, counter.get_total_flops()))))
        total = counter.get_total_flops()
    shares = [share for share, _ in told]
    assert len(shares) > 9
    assert shares == sorted(shares)
    assert 0.99 < shares[-1] <= 1
    assert [share for share, done in told if abs(share - done / total) > tolerance] == []


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_whoever_is_told_can_stop_it(name: str) -> None:
    decode, _ = way(name)

    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with FlopCounterMode(display=False) as counter:
        with pytest.raises(KeyboardInterrupt):
            list(decode(some_latents(), stop))
        stopped = counter.get_total_flops()
        list(decode(some_latents(), lambda _: None))
    assert 0.2 < stopped / (counter.get_total_flops() - stopped) < 0.6
