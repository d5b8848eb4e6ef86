from __future__ import annotations

from dataclasses import replace

import pytest

from kinema.core.errors import InvalidInput
from kinema.models.transformers.config import HUNYUAN_VIDEO, MINI


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 0}, {"num_layers": -1}, {"rope_axes_dim": (16, 24, 22)}, {"rope_axes_dim": (17, 23, 24)},
        {"image_condition_type": "concat"}, {"scalar_conditions": ("fps", "fps")}, {"patch_size": 0}, {"camera_dim": -1},
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(change):
    with pytest.raises(InvalidInput) as error:
        replace(MINI, **change)
    assert error.value.field == next(iter(change))


def test_the_published_sizes():
    assert (HUNYUAN_VIDEO.width, HUNYUAN_VIDEO.mlp_width, HUNYUAN_VIDEO.patch) == (3072, 12288, (1, 2, 2))
    assert HUNYUAN_VIDEO.embedded_channels == 16
    assert MINI.embedded_channels == 33
