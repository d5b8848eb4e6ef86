from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kinema.models.transformers.config import HUNYUAN_VIDEO, MINI
from kinema.models.transformers.flops import flops


def counted(model, given) -> int:
    # Only this kernel's matrix products are visible to the counter on a CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**given)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "options",
    [
        {}, {"guidance_embeds": True, "mlp_ratio": 2.5}, {"image_condition_type": "token_replace", "guidance_embeds": True},
        {"num_refiner_layers": 0, "shared_modulation": True}, {"patch_size_t": 3},
    ],
)  # fmt: skip
def test_the_arithmetic_is_what_is_counted(small, inputs, options):
    model = small(**options)
    size = (3 * model.config.patch_size_t, 10, 14)
    given = inputs(model.config, size=size)
    assert flops(model.config, 3 * 5 * 7, 17, 2, num_frames=3) == counted(model, given)
    given["sigma"] = torch.rand(2, size[0])
    assert flops(model.config, 3 * 5 * 7, 17, 2, num_frames=3, per_frame_sigma=True) == counted(model, given)


def test_with_every_condition(small, inputs, all_conditions):
    model = small(**all_conditions)
    given = inputs(model.config)
    assert flops(model.config, 3 * 5 * 7, 17, 2, num_frames=3, camera=True) == counted(model, given)
    without = {**given, "camera": None}
    assert flops(model.config, 3 * 5 * 7, 17, 2, num_frames=3) == counted(model, without)


def test_the_published_figures():
    tokens = 33 * 45 * 80
    assert flops(HUNYUAN_VIDEO, tokens, 256) == pytest.approx(12e15, rel=0.1)
    # Twice the parameters for every token, and attention.
    assert flops(MINI, 80, 24) == pytest.approx(2 * 9e6 * 104 * 0.85, rel=0.1)
