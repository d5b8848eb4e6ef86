"""What a clip shows over time: the camera's class and path, and what each tracked subject does.

Legend: b clips, t frames, h w pixels, y x cells, n tracks, d features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

CAMERA_OUTPUTS = 7


@dataclass(frozen=True, kw_only=True)
class ClipJudgeConfig:
    """``frame_features`` are those of the `FrameJudge` that looks first; ``num_kinds`` its kinds."""

    num_cameras: int
    num_actions: int
    num_events: int
    frame_features: int
    num_kinds: int
    pair_widths: tuple[int, int, int] = (48, 96, 128)
    width: int = 160
    depth: int = 4


@dataclass(frozen=True, kw_only=True)
class TrackSigns:
    """Of each track: logits of its action, its place from the second frame on, and logits of what happens in each step.

    Places are x, y, z of its foot in subject heights.
    """

    action: Float[Tensor, "b n a"]
    places: Float[Tensor, "b n u 3"]
    events: Float[Tensor, "b n u e"]


@dataclass(frozen=True, kw_only=True)
class CameraSigns:
    """Logits of the camera's class, its change of pose between frames, the motion score as a share, and the sequence that they are of."""

    camera: Float[Tensor, "b k"]
    path: Float[Tensor, "b u 7"]
    motion: Float[Tensor, " b"]
    sequence: Float[Tensor, "b u w"]


class _TimeBlock(nn.Module):
    """A residual convolution over time."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        inner = rearrange(self.norm(x), "b t d -> b d t")
        return x + rearrange(self.second(F.silu(self.first(inner))), "b d t -> b t d")


class ClipJudge(nn.Module):
    """Motion from pairs of neighbouring frames, read along time: once for the camera, once for each subject's track."""

    def __init__(self, config: ClipJudgeConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.pair_widths
        self.each = nn.Conv2d(12, 2 * first, 5, stride=2, padding=2)
        self.pair_layers = nn.Sequential(
            nn.SiLU(), nn.Conv2d(first, first, 3, padding=1), nn.SiLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(second, second, 3, padding=1), nn.SiLU(),
        )  # fmt: skip
        self.coarse = nn.Sequential(nn.Conv2d(second, third, 3, stride=2, padding=1), nn.SiLU())
        self.camera_in = nn.Linear(third * 9, config.width)
        self.camera_blocks = nn.Sequential(*[_TimeBlock(config.width, 2 ** (i % 3)) for i in range(config.depth)])
        self.camera_path = nn.Linear(config.width, CAMERA_OUTPUTS)
        self.camera_class = nn.Linear(2 * config.width, config.num_cameras)
        self.motion_score = nn.Linear(2 * config.width, 1)
        seen = second + config.frame_features + 4 + config.num_kinds
        self.track_in = nn.Linear(2 * seen + config.width, config.width)
        self.track_blocks = nn.Sequential(*[_TimeBlock(config.width, 2 ** (i % 3)) for i in range(config.depth)])
        self.action = nn.Linear(2 * config.width, config.num_actions)
        self.position = nn.Linear(config.width, 3)
        self.event = nn.Linear(config.width, config.num_events)

    def init_weights(self, generator: torch.Generator) -> None:
        """Fresh weights; blocks begin as identities and heads undecided."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                std = (2 / parameter[0].numel()) ** 0.5
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        for module in self.modules():
            if isinstance(module, _TimeBlock):
                nn.init.zeros_(module.second.weight)
        for head in (self.camera_path, self.camera_class, self.motion_score, self.action, self.position, self.event):
            nn.init.zeros_(head.weight)
        nn.init.constant_(self.event.bias, -3.0)

    def motion(self, clip: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b u d y x"]:
        """Features of each pair of neighbouring frames (u = t - 1), in cells of 8 pixels."""
        folded = F.pixel_unshuffle(rearrange(clip, "b t c h w -> (b t) c h w"), 2)
        folded = folded.contiguous(memory_format=torch.channels_last)
        # a convolution over both frames of a pair is the sum of one over each, so each frame is folded once
        as_first, as_second = rearrange(self.each(folded), "(b t) (k c) h w -> k b t h w c", b=len(clip), k=2)
        pairs = as_first[:, :-1] + as_second[:, 1:]
        features = self.pair_layers(rearrange(pairs, "b u h w c -> (b u) c h w"))
        return rearrange(features, "(b u) d y x -> b u d y x", b=len(clip))

    def of_camera(self, motion: Float[Tensor, "b u d y x"]) -> CameraSigns:
        """What the whole picture's motion says."""
        coarse = self.coarse(rearrange(motion, "b u d y x -> (b u) d y x"))
        pooled = F.adaptive_avg_pool2d(coarse, (3, 3))
        x = self.camera_blocks(self.camera_in(rearrange(pooled, "(b u) d y x -> b u (d y x)", b=len(motion))))
        whole = torch.cat([x.mean(1), x.amax(1)], -1)
        return CameraSigns(
            camera=self.camera_class(whole), path=self.camera_path(x), motion=self.motion_score(whole)[:, 0], sequence=x
        )

    def of_tracks(
        self, motion: Float[Tensor, "b u d y x"], frames: Float[Tensor, "b t e y x"], boxes: Float[Tensor, "b n t 4"],
        kinds: Float[Tensor, "b n k"], camera: Float[Tensor, "b u w"],
    ) -> TrackSigns:  # fmt: skip
        """What each track does: its ``boxes`` (centre x, y, width, height; shares of the picture), its kind, and what is seen there.

        Of several subjects each also sees the nearest other; a lone one sees zeros. A track of zeros is of nobody.
        """
        b, n = boxes.shape[:2]
        there = boxes[..., 2].amax(-1) > 0
        seen = torch.cat(
            [_at(motion, boxes[:, :, 1:]), _at(frames[:, 1:], boxes[:, :, 1:]), boxes[:, :, 1:],
             repeat(kinds, "b n k -> b n u k", u=motion.shape[1])], -1,
        )  # fmt: skip
        seen = seen * there[:, :, None, None]
        other = _nearest_other(seen, boxes, there)
        whole = repeat(camera, "b u w -> b n u w", n=n)
        x = self.track_in(torch.cat([seen, other, whole], -1))
        x = self.track_blocks(rearrange(x, "b n u d -> (b n) u d"))
        pooled = torch.cat([x.mean(1), x.amax(1)], -1)
        return TrackSigns(
            action=rearrange(self.action(pooled), "(b n) a -> b n a", b=b),
            places=rearrange(self.position(x), "(b n) u k -> b n u k", b=b),
            events=rearrange(self.event(x), "(b n) u e -> b n u e", b=b),
        )


def _at(maps: Float[Tensor, "b u d y x"], boxes: Float[Tensor, "b n u 4"]) -> Float[Tensor, "b n u d"]:
    """``maps`` read at the boxes' centres."""
    grid = rearrange(boxes[..., :2] * 2 - 1, "b n u k -> (b u) n 1 k").to(maps.dtype)
    read = F.grid_sample(rearrange(maps, "b u d y x -> (b u) d y x"), grid, align_corners=False)
    return rearrange(read, "(b u) d n 1 -> b n u d", b=len(maps))


def _nearest_other(seen: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
    """For each track what is seen on the nearest other one, zeros where there is none."""
    _, n, u, d = seen.shape
    if n == 1:
        return torch.zeros_like(seen)
    gap = (boxes[:, :, None, :, :2] - boxes[:, None, :, :, :2]).square().sum(-1).mean(-1)  # b n m
    alone = torch.eye(n, dtype=torch.bool, device=seen.device) | ~there[:, None, :]
    nearest = gap.masked_fill(alone, torch.inf).argmin(-1)
    found = ~alone.all(-1)
    other = torch.gather(seen, 1, repeat(nearest, "b n -> b n u d", u=u, d=d))
    return other * found[:, :, None, None]
