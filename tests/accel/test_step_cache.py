"""Steps whose blocks are left out: what is reused, and that nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kinema.accel.step_cache import StepCache
from kinema.core.errors import InvalidInput
from kinema.core.skips import computed_steps
from kinema.flow.sample import sample
from kinema.flow.schedules import linear
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer
from kinema.models.transformers.wan import WanTransformer
from kinema.models.transformers.wan_config import WanTransformerConfig

_VIDEO = VideoTransformerConfig(
    in_channels=3, out_channels=3, num_attention_heads=1, attention_head_dim=12, num_layers=1, num_single_layers=2,
    num_refiner_layers=0, text_embed_dim=5, pooled_projection_dim=7, rope_axes_dim=(4, 4, 4), shared_modulation=True,
)  # fmt: skip
_WAN = WanTransformerConfig(
    patch_size=(1, 2, 2), in_channels=3, out_channels=3, num_attention_heads=1, attention_head_dim=12, num_layers=2, ffn_dim=20, text_dim=5,
    freq_dim=8,
)  # fmt: skip


def _random(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    network.init_weights(generator)  # type: ignore[operator]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.fixture(params=[VideoTransformer, WanTransformer])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A small network of either family."""
    return _random(request.param(_VIDEO if request.param is VideoTransformer else _WAN))


def call(network: nn.Module, x: Tensor, sigma: Tensor, seed: int = 1) -> Tensor:
    """The network's velocity under the text of ``seed``."""
    g = torch.Generator().manual_seed(seed)
    text, pooled = torch.randn(len(x), 4, 5, generator=g), torch.randn(len(x), 7, generator=g)
    with torch.no_grad():
        return (
            network(x, sigma, text, None, pooled) if isinstance(network, VideoTransformer) else network(x, sigma, text)
        )


def inputs(step: int) -> tuple[Tensor, Tensor]:
    """Latents and a noise level that differ from step to step."""
    x = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(step))
    return x, torch.full((2,), 1 - step / 5)


def blocks_run(network: nn.Module) -> list[int]:
    """A list that gets an entry for every block that is run from now on."""
    runs: list[int] = []
    lists = [getattr(network, n, ()) for n in ("transformer_blocks", "single_transformer_blocks", "blocks")]
    for block in (b for some in lists for b in some):
        block.register_forward_hook(lambda *_: runs.append(1))
    return runs


def test_computed_steps_are_the_networks_own_and_others_run_no_block(network: nn.Module) -> None:
    plain = [call(network, *inputs(step)) for step in range(5)]
    runs = blocks_run(network)
    with StepCache([network], [True, False, True, False, False]) as cache:
        for step, wanted in enumerate(plain):
            cache.at(step)
            before = len(runs)
            found = call(network, *inputs(step))
            if step in (0, 2):
                assert torch.equal(found, wanted)
                assert len(runs) > before
            else:
                assert not torch.equal(found, wanted)
                assert len(runs) == before
    assert torch.equal(call(network, *inputs(1)), plain[1]), "afterwards it is what it was"


def test_a_left_out_step_adds_what_the_last_computed_one_added(network: nn.Module) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    blocks: Any = network.through_blocks

    def spy(tokens: Tensor, *others: Any) -> Tensor:
        out = blocks(tokens, *others)
        seen.append((tokens, out))
        return out

    network.through_blocks = spy  # type: ignore[assignment]
    call(network, *inputs(0))
    added = seen[0][1] - seen[0][0]
    network.through_blocks = lambda tokens, *others: tokens + added  # type: ignore[assignment]
    wanted = call(network, *inputs(1))
    del network.through_blocks
    with StepCache([network], [True, False]) as cache:
        cache.at(0)
        call(network, *inputs(0))
        cache.at(1)
        assert torch.equal(call(network, *inputs(1)), wanted)


def test_each_call_of_a_step_has_its_own(network: nn.Module) -> None:
    """As where the two sides of guidance are asked one after the other: each goes on from itself."""
    with StepCache([network], [True, False]) as cache:
        alone = []
        for seed in (1, 2):
            for step in (0, 1):
                cache.at(step)
                alone.append(call(network, *inputs(step), seed=seed))
    with StepCache([network], [True, False]) as cache:
        for step in (0, 1):
            cache.at(step)
            both = [call(network, *inputs(step), seed=seed) for seed in (1, 2)]
            assert torch.equal(both[0], alone[step])
            assert torch.equal(both[1], alone[2 + step])


def test_two_networks_keep_apart_and_one_that_begins_late_is_computed() -> None:
    first, second = _random(WanTransformer(_WAN)), WanTransformer(_WAN)
    second.init_weights(torch.Generator().manual_seed(5))
    plain = call(second, *inputs(1))
    with StepCache([first, second], [True, False]) as cache:
        cache.at(0)
        call(first, *inputs(0))
        cache.at(1)
        assert torch.equal(call(second, *inputs(1)), plain)


def test_a_run_with_every_step_computed_has_the_same_bits(network: nn.Module) -> None:
    sigmas, x = linear(6), inputs(0)[0]

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        return call(network, x, sigma)

    plain = sample(predict, x, sigmas)
    with StepCache([network], computed_steps(6, 0)) as cache:
        assert torch.equal(sample(cache.predictor(predict, sigmas), x, sigmas), plain)
    runs = blocks_run(network)
    with StepCache([network], computed_steps(6, 1)) as cache:
        bold = sample(cache.predictor(predict, sigmas), x, sigmas)
    assert len(runs) == sum(computed_steps(6, 1)) * (3 if isinstance(network, VideoTransformer) else 2)
    assert not torch.equal(bold, plain)


def test_an_error_leaves_the_network_as_it_was(network: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="stop"), StepCache([network], [True]):
        raise RuntimeError("stop")
    assert "through_blocks" not in vars(network)


def test_a_network_without_such_blocks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="^cache_level: 'Linear'"):
        StepCache([nn.Linear(2, 3)], [True])
