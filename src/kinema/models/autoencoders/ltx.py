"""LTX-Video's autoencoder: 128 channels, 8x32x32; the encoder is causal, the decoder sees a frame ahead in every convolution.

Legend: pixels (b c t h w), about [-1, 1], latents (b z n y x), p q patch. The first frame stands alone: 1 + 8k frames become 1 + k
latent frames. Norms stay within a pixel and there is no attention, so a decode in chunks gives what the whole does.
Source: LTX-Video (arXiv 2501.00103); names and order of operations are those of its published weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from kinema.models.autoencoders.gaussian import GaussianAutoencoder
from kinema.models.autoencoders.initialise import fill_normal
from kinema.models.autoencoders.ltx_blocks import (
    Conv,
    DownLevel,
    MiddleLevel,
    Noises,
    ResidualBlock,
    UpLevel,
    as_vectors,
    pixel_norm,
)
from kinema.models.autoencoders.ltx_config import LtxAutoencoderConfig, Up
from kinema.models.layers.causal_conv import Stream, Video
from kinema.models.layers.embeddings import LevelEmbedding


class LtxAutoencoder(GaussianAutoencoder):
    """Pixels (b 3 t h w) to Gaussian latents, one variance for all channels, and back, whole or as a stream of chunks.

    A decoder with ``timestep_conditioning`` is told how noisy the latents are; some add noise of their own.
    """

    # the statistics and the level's factor are numbers, not weights
    fp32_parts = frozenset({"latents_mean", "latents_std", "timestep_scale_multiplier"})

    def __init__(self, config: LtxAutoencoderConfig) -> None:
        super().__init__(config.compression, config.in_channels)
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.latents_mean: Tensor
        self.latents_std: Tensor
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latents_std", torch.ones(config.latent_channels))

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Fills every parameter from a CPU ``generator``: variance-keeping weights, unit norms, zero tables, biases and noise."""
        for name, parameter in self.named_parameters():
            if name.endswith("timestep_scale_multiplier"):
                parameter.fill_(1000.0)
            elif parameter.ndim > 1 and name.endswith("weight"):
                fill_normal(parameter, 1.0, generator)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)

    def decode(
        self,
        latents: Float[Tensor, "b z n y x"],
        *,
        level: Float[Tensor, " b"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b c t h w"]:
        """Pixels, about [-1, 1], of latents as `encode` gives them (not normalised).

        Args:
            latents: perhaps with noise mixed in.
            level: how much of them is noise, from 0 to 1, of a network that is told it; None: 0.
            generator: of the noise that some networks add, the same for all samples and frames; None: none is added.

        Raises: InvalidInput for another shape.
        """
        self._check_latents(latents)
        return self.decoder(latents, self._timestep(latents, level), self.decoder.noises(latents, generator))

    def decode_stream(
        self,
        latents: Video | Iterable[Video],
        *,
        level: Float[Tensor, " b"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Video]:
        """Pixels, a few frames at a time: what `decode` gives for the whole, in memory that doesn't grow with the number of chunks.

        Every convolution sees ahead, so the first pixels come when a few dozen latent frames are read, or all.
        """
        chunks = iter(self._chunks(latents))
        first = next(chunks, None)
        if first is None:
            return
        noises = self.decoder.noises(first, generator)
        yield from self.decoder.through(_chain(first, chunks), self._timestep(first, level), noises)

    def _timestep(self, latents: Video, level: Tensor | None) -> Tensor | None:
        if not self.config.timestep_conditioning:
            return None
        if level is None:
            return latents.new_zeros(len(latents), dtype=torch.float32)
        return level.float().to(latents.device)

    def _moments(self, video: Video, stream: Stream | None) -> Video:
        features = self.encoder(video, stream)
        z = self.config.latent_channels
        return torch.cat([features[:, :z], features[:, z:].expand(-1, z, -1, -1, -1)], dim=1)

    def _decode(self, latents: Video, stream: Stream | None) -> Video:
        assert stream is None, "a decoder that sees ahead is streamed by decode_stream"
        return self.decode(latents)

    def _latent_statistics(self, latents: Video) -> tuple[Tensor, Tensor]:
        std = self.latents_std.to(latents) / self.config.scaling_factor
        return self.latents_mean.to(latents).view(-1, 1, 1, 1), std.view(-1, 1, 1, 1)


class Encoder(nn.Module):
    """Pixels to one feature more than there are latent channels: means, and the one log-variance."""

    def __init__(self, config: LtxAutoencoderConfig) -> None:
        super().__init__()
        self.patch_px, eps = config.patch_size, config.resnet_norm_eps
        self.conv_in = Conv(config.in_channels * config.patch_size**2, config.downs[0].in_channels)
        self.down_blocks = nn.ModuleList(DownLevel(level, is_new=config.is_new, eps=eps) for level in config.downs)
        width = config.downs[-1].out_channels
        self.mid_block = MiddleLevel(width, config.num_middle_blocks[0], eps=eps)
        self.conv_out = Conv(width, config.latent_channels + 1)

    def forward(self, video: Video, stream: Stream | None = None) -> Video:
        """(b c t h w)."""
        p = self.patch_px
        x = rearrange(video, "b c t (h p) (w q) -> b (c q p) t h w", p=p, q=p)
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last_3d), stream)
        for block in self.down_blocks:
            x = block(x, stream)
        x = self.mid_block(x, stream)
        return self.conv_out(F.silu(pixel_norm(x)), stream)


class Decoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, config: LtxAutoencoderConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_size
        has_level, is_causal = config.timestep_conditioning, config.decoder_causal
        width = config.decoder_block_out_channels[-1]
        middle = Up(width, width, config.num_middle_blocks[1], False, config.middle_has_noise, False, 1)
        levels = [
            UpLevel(level, is_causal=is_causal, has_level=has_level, eps=config.resnet_norm_eps)
            for level in (middle, *config.ups)
        ]
        width = config.ups[-1].out_channels
        self.conv_in = Conv(config.latent_channels, middle.in_channels, is_causal=is_causal)
        self.mid_block, self.up_blocks = levels[0], nn.ModuleList(levels[1:])
        self.conv_out = Conv(width, config.out_channels * config.patch_size**2, is_causal=is_causal)
        self.time_embedder = self.scale_shift_table = self.timestep_scale_multiplier = None
        if has_level:
            self.timestep_scale_multiplier = nn.Parameter(torch.tensor(1000.0))
            self.time_embedder = LevelEmbedding(2 * width)
            self.scale_shift_table = nn.Parameter(torch.zeros(2, width))

    def forward(self, latents: Video, level: Float[Tensor, " b"] | None, noises: dict[nn.Module, Noises]) -> Video:
        """(b c t h w), contiguous."""
        timestep = self._timestep(level)
        x = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d))
        for block in self._levels:
            x = block(x, timestep, noises)
        return self._pixels(self.conv_out(self._activated(x, timestep)))

    def through(
        self, chunks: Iterable[Video], level: Float[Tensor, " b"] | None, noises: dict[nn.Module, Noises]
    ) -> Iterator[Video]:
        """The same of latents in chunks."""
        timestep = self._timestep(level)
        xs = self.conv_in.through(x.contiguous(memory_format=torch.channels_last_3d) for x in chunks)
        for block in self._levels:
            xs = block.through(xs, timestep, noises)
        yield from map(self._pixels, self.conv_out.through(self._activated(x, timestep) for x in xs))

    def noises(self, latents: Video, generator: torch.Generator | None) -> dict[nn.Module, Noises]:
        """Noise for the blocks that add some, drawn in the order in which they run; empty without ``generator``."""
        if generator is None:
            return {}
        height, width = latents.shape[3:]
        drawn: dict[nn.Module, Noises] = {}
        for level in self._levels:
            if len(level.upsamplers):
                height, width = 2 * height, 2 * width
            for block in level.resnets:
                if isinstance(block, ResidualBlock) and block.has_noise:
                    pair = [torch.randn(height, width, generator=generator).to(latents) for _ in range(2)]
                    drawn[block] = pair[0], pair[1]
        return drawn

    @property
    def _levels(self) -> list[UpLevel]:
        return [self.mid_block, *self.up_blocks]  # pyright: ignore[reportReturnType]

    def _timestep(self, level: Tensor | None) -> Tensor | None:
        factor = self.timestep_scale_multiplier
        return None if level is None or factor is None else level * factor

    def _activated(self, x: Video, timestep: Tensor | None) -> Video:
        x = pixel_norm(x)
        if self.time_embedder is not None and self.scale_shift_table is not None and timestep is not None:
            shift, scale = as_vectors(self.time_embedder(timestep).to(x.dtype), self.scale_shift_table)
            x = x * (1 + scale) + shift
        return F.silu(x)

    def _pixels(self, x: Video) -> Video:
        p = self.patch_px
        return rearrange(x, "b (c q p) t h w -> b c t (h p) (w q)", p=p, q=p).contiguous()


def _chain(first: Video, others: Iterator[Video]) -> Iterator[Video]:
    yield first
    yield from others
