"""What a single frame shows: where the subjects are, what they are, and in which place, time, weather and style.

Legend: b pictures, h w pixels, y x cells of `STRIDE` pixels, k kinds, c colours, d features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 8  # pixels along a side of a cell
MULTIPLE = 16  # of which both sides of a picture must be


@dataclass(frozen=True, kw_only=True)
class FrameJudgeConfig:
    """``num`` classes of each attribute; ``widths`` are the channels at a quarter, an eighth and a sixteenth of the picture's size."""

    num_kinds: int
    num_colours: int
    num_places: int
    num_times: int
    num_weathers: int
    num_styles: int
    widths: tuple[int, int, int] = (64, 128, 192)
    depths: tuple[int, int, int] = (1, 2, 2)
    features: int = 96


@dataclass(frozen=True, kw_only=True)
class FrameLogits:
    """``heat`` is high on the cells of subjects' centres; there ``kind``, ``colour`` and ``box`` hold.

    ``box`` is the way from the cell's middle to the left, top, right and bottom edge, in cells. The others are of the whole picture.
    """

    heat: Float[Tensor, "b y x"]
    kind: Float[Tensor, "b k y x"]
    colour: Float[Tensor, "b c y x"]
    box: Float[Tensor, "b 4 y x"]
    place: Float[Tensor, "b p"]
    time: Float[Tensor, "b q"]
    weather: Float[Tensor, "b r"]
    style: Float[Tensor, "b s"]
    features: Float[Tensor, "b d y x"]


class _Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class FrameJudge(nn.Module):
    """Convolutions down to a sixteenth of the size and one step back up, with heads for every attribute.

    Centres, classes at centres and edges of boxes as in CenterNet (arXiv:1904.07850) and FCOS (arXiv:1904.01355).
    """

    def __init__(self, config: FrameJudgeConfig) -> None:
        super().__init__()
        self.config = config
        quarter, eighth, sixteenth = config.widths
        self.stem = nn.Conv2d(12, quarter, 3, stride=2, padding=1)
        self.quarter_blocks = nn.Sequential(*[_Block(quarter) for _ in range(config.depths[0])])
        self.down_eighth = nn.Conv2d(quarter, eighth, 3, stride=2, padding=1)
        self.eighth_blocks = nn.Sequential(*[_Block(eighth) for _ in range(config.depths[1])])
        self.down_sixteenth = nn.Conv2d(eighth, sixteenth, 3, stride=2, padding=1)
        self.sixteenth_blocks = nn.Sequential(*[_Block(sixteenth) for _ in range(config.depths[2])])
        self.up = nn.Conv2d(sixteenth, config.features, 1)
        self.across = nn.Conv2d(eighth, config.features, 1)
        self.neck_blocks = nn.Sequential(_Block(config.features))
        self.cells = nn.Conv2d(config.features, 1 + config.num_kinds + config.num_colours + 4, 1)
        whole = config.num_places + config.num_times + config.num_weathers + config.num_styles
        # the picture's mean says what is all about, the maximum what is anywhere
        self.whole = nn.Sequential(nn.Linear(2 * (sixteenth + config.features), 192), nn.SiLU(), nn.Linear(192, whole))

    def init_weights(self, generator: torch.Generator) -> None:
        """Fresh weights; blocks begin as identities and no cell as a centre."""
        for name, parameter in sorted(self.named_parameters()):
            if parameter.ndim > 1:
                std = (2 / parameter[0].numel()) ** 0.5
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            elif "norm" not in name:
                nn.init.zeros_(parameter)
        for module in self.modules():
            if isinstance(module, _Block):
                nn.init.zeros_(module.second.weight)
        assert self.cells.bias is not None, "heads have one"
        with torch.no_grad():
            self.cells.weight.mul_(0.1)
            self.cells.bias[0] = -3.0

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> FrameLogits:
        """The logits of pictures in [-1, 1], with sides that are multiples of `MULTIPLE`."""
        config = self.config
        x = self.quarter_blocks(self.stem(F.pixel_unshuffle(frames, 2)))
        eighth = self.eighth_blocks(self.down_eighth(x))
        low = self.sixteenth_blocks(self.down_sixteenth(eighth))
        wide = F.interpolate(self.up(low), scale_factor=2, mode="nearest")
        features = F.silu(self.neck_blocks(wide + self.across(eighth)))
        heat, kind, colour, box = self.cells(features).split((1, config.num_kinds, config.num_colours, 4), 1)
        seen = [rearrange(m, "b c y x -> b c (y x)") for m in (low, features)]
        pooled = torch.cat([s.mean(-1) for s in seen] + [s.amax(-1) for s in seen], 1)
        sizes = (config.num_places, config.num_times, config.num_weathers, config.num_styles)
        place, time, weather, style = self.whole(pooled).split(sizes, 1)
        return FrameLogits(
            heat=heat[:, 0], kind=kind, colour=colour, box=F.softplus(box), place=place, time=time, weather=weather,
            style=style, features=features,
        )  # fmt: skip
