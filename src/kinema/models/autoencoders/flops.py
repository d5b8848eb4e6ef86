"""Work of the video autoencoder by arithmetic alone: convolutions, projections and attention, 2 FLOPs a product.

Norms, activations and shortcuts without weights count nothing, as in `torch.utils.flop_counter`. Counted are the layers as
published; without gradients fewer products give the same, see `kinema.models.autoencoders.lean`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.config import VideoAutoencoderConfig


@dataclass
class _Tally:
    """FLOPs so far, and the size of the video at this point."""

    config: VideoAutoencoderConfig
    frames: int
    height: int
    width: int
    flops: int = 0

    @property
    def positions(self) -> int:
        return self.frames * self.height * self.width

    def conv(self, in_channels: int, out_channels: int, *, kernel_size: int = 3, temporal: bool = True) -> None:
        """A convolution that keeps the size."""
        if self.config.conv == "full":
            self._products(in_channels * out_channels * kernel_size**3)
        else:
            self._products(in_channels * out_channels * kernel_size**2)
            self._products(3 * out_channels**2 if temporal else 0)

    def residual(self, in_channels: int, out_channels: int) -> None:
        self.conv(in_channels, out_channels, temporal=self.config.temporal_convs >= 1)
        self.conv(out_channels, out_channels, temporal=self.config.temporal_convs >= 2)
        if in_channels != out_channels:
            self.conv(in_channels, out_channels, kernel_size=1, temporal=False)

    def middle(self, channels: int) -> None:
        for i in range(self.config.mid_layers):
            if i and self.config.mid_attention:
                self._products(4 * channels**2)
                pixels = self.height * self.width
                seen_pairs = pixels**2 * self.frames * (self.frames + 1) // 2
                self.flops += 2 * 2 * channels * seen_pairs
            self.residual(channels, channels)

    def down(self, in_channels: int, out_channels: int, factor: tuple[int, int]) -> None:
        time, space = factor
        self.frames = 1 + (self.frames - 1) // time
        self.height, self.width = self.height // space, self.width // space
        if self.config.resample == "shuffle":
            self._products(in_channels * time * space**2 * out_channels)
        elif factor != (1, 1):
            self._products(in_channels**2 * 27)

    def up(self, in_channels: int, out_channels: int, factor: tuple[int, int]) -> None:
        time, space = factor
        if self.config.resample == "shuffle":
            self._products(in_channels * time * space**2 * out_channels)
        self.frames = 1 + (self.frames - 1) * time
        self.height, self.width = self.height * space, self.width * space
        if self.config.resample == "conv" and factor != (1, 1):
            self.conv(in_channels, in_channels)

    def _products(self, per_position: int) -> None:
        self.flops += 2 * per_position * self.positions


def flops(config: VideoAutoencoderConfig, video: VideoShape) -> tuple[int, int]:
    """FLOPs to (encode, decode) one ``video``.

    Raises: InvalidInput for a size off the grid.
    """
    config.compression.check(video)
    return _encode_flops(config, video), _decode_flops(config, video)


def _encode_flops(config: VideoAutoencoderConfig, video: VideoShape) -> int:
    p, widths = config.patch_px, config.block_out_channels
    tally = _Tally(config, video.frames, video.height_px // p, video.width_px // p)
    tally.conv(config.in_channels * p**2, widths[0], temporal=False)
    previous = widths[0]
    for level, width in enumerate(widths):
        for _ in range(config.encoder_layers[level]):
            tally.residual(previous, width)
            previous = width
        if level < config.num_levels - 1:
            tally.down(width, widths[level + 1], config.factors[level])
            previous = widths[level + 1] if config.resample == "shuffle" else width
    tally.middle(widths[-1])
    tally.conv(widths[-1], 2 * config.latent_channels, temporal=False)
    return tally.flops + 2 * (2 * config.latent_channels) ** 2 * tally.positions


def _decode_flops(config: VideoAutoencoderConfig, video: VideoShape) -> int:
    p, widths = config.patch_px, config.decoder_channels
    latent = config.compression.latent(video)
    tally = _Tally(config, latent.frames, latent.height, latent.width)
    tally.flops += 2 * config.latent_channels**2 * math.prod((latent.frames, latent.height, latent.width))
    tally.conv(config.latent_channels, widths[-1], temporal=False)
    tally.middle(widths[-1])
    previous = widths[-1]
    for level in reversed(range(config.num_levels)):
        for _ in range(config.decoder_layers[level]):
            tally.residual(previous, widths[level])
            previous = widths[level]
        if level > 0:
            tally.up(widths[level], widths[level - 1], config.factors[config.num_levels - 1 - level])
            previous = widths[level - 1] if config.resample == "shuffle" else widths[level]
    tally.conv(widths[0], config.out_channels * p**2, temporal=False)
    return tally.flops
