"""Wan's causal video autoencoder: 2.1's (16 channels, 4x8x8) and 2.2's for the 5B (48 channels, 4x16x16).

Legend: pixels (b c t h w) in [-1, 1], latents (b z n y x), p q patch. The first frame stands alone: 1 + 4k frames become
1 + k latent frames, and no latent frame sees a later pixel frame. Norms and attention stay within a frame and every
convolution over time remembers its last frames, so chunk by chunk gives what the whole does, in constant memory.
Source: Wan (arXiv 2503.20314); names and order of operations are those of its published weights.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from kinema.models.autoencoders.gaussian import GaussianAutoencoder
from kinema.models.autoencoders.initialise import fill_normal
from kinema.models.autoencoders.wan_blocks import (
    Downsample,
    MidBlock,
    ResidualDownBlock,
    ResidualUpBlock,
    UpBlock,
    WanCausalConv3d,
    WanRmsNorm,
    residual_blocks,
)
from kinema.models.autoencoders.wan_config import WanAutoencoderConfig
from kinema.models.layers.causal_conv import Stream, Video


class WanAutoencoder(GaussianAutoencoder):
    """Pixels (b 3 t h w) to Gaussian latents and back, whole or as a stream of chunks; decoded pixels are cut to [-1, 1]."""

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__(config.compression, config.in_channels // config.patch_px**2)
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.post_quant_conv = nn.Conv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Fills every parameter from a CPU ``generator``: variance-keeping weights, unit norms, zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                fill_normal(parameter, 1.0, generator)
            else:
                parameter.fill_(1.0 if name.endswith("gamma") else 0.0)

    def _moments(self, video: Video, stream: Stream | None) -> Video:
        return self.quant_conv(self.encoder(video, stream))

    def _decode(self, latents: Video, stream: Stream | None) -> Video:
        return self.unfolded(self.decoder(self.post_quant_conv(latents), stream))

    def unfolded(self, decoded: Video) -> Video:
        """Pixels in [-1, 1] of what the decoder gives, whose channels are patches of pixels."""
        p = self.config.patch_px
        return rearrange(decoded, "b (c q p) t h w -> b c t (h p) (w q)", p=p, q=p).contiguous().clamp(-1, 1)

    def _latent_statistics(self, latents: Video) -> tuple[Tensor, Tensor]:
        mean, std = (latents.new_tensor(v) for v in (self.config.latents_mean, self.config.latents_std))
        return mean.view(-1, 1, 1, 1), std.view(-1, 1, 1, 1)


class Encoder(nn.Module):
    """Pixels to twice z_dim features."""

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_px
        widths = config.encoder_widths
        self.conv_in = WanCausalConv3d(config.in_channels, widths[0])
        self.down_blocks = nn.ModuleList()
        for before, after, factor in zip(widths[:-1], widths[1:], config.factors, strict=True):
            if config.is_residual:
                self.down_blocks.append(ResidualDownBlock(before, after, config.num_res_blocks, factor))
                continue
            self.down_blocks.extend(residual_blocks(before, after, config.num_res_blocks))
            if factor[1] > 1:
                self.down_blocks.append(Downsample(after, halves_time=factor[0] > 1))
        self.mid_block = MidBlock(widths[-1])
        self.norm_out = WanRmsNorm(widths[-1])
        self.conv_out = WanCausalConv3d(widths[-1], 2 * config.z_dim)

    def forward(self, video: Video, stream: Stream | None = None) -> Video:
        """(b c t h w), channels-last in memory."""
        p = self.patch_px
        x = rearrange(video, "b c t (h p) (w q) -> b (c q p) t h w", p=p, q=p)
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last_3d), stream)
        for block in self.down_blocks:
            x = block(x, stream)
        x = self.mid_block(x, stream)
        return self.conv_out(x, stream, norm=self.norm_out)


class Decoder(nn.Module):
    """Latents to pixels, or patches of pixels folded into channels."""

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        widths = config.decoder_widths
        self.conv_in = WanCausalConv3d(config.z_dim, widths[0])
        self.mid_block = MidBlock(widths[0])
        self.up_blocks = nn.ModuleList()
        num_blocks = config.num_res_blocks + 1
        # Coarsest first: the step after each block is the encoder's before it, and none is left for the finest.
        factors = (*config.factors[-2::-1], (1, 1))
        for i, (before, after, factor) in enumerate(zip(widths[:-1], widths[1:], factors, strict=True)):
            if config.is_residual:
                self.up_blocks.append(ResidualUpBlock(before, after, num_blocks, factor))
            else:
                # A step up halves the channels.
                self.up_blocks.append(UpBlock(before // 2 if i else before, after, num_blocks, factor))
        self.norm_out = WanRmsNorm(widths[-1])
        self.conv_out = WanCausalConv3d(widths[-1], config.out_channels)

    def forward(self, latents: Video, stream: Stream | None = None) -> Video:
        """(b c t h w), channels-last in memory."""
        x = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d), stream)
        x = self.mid_block(x, stream)
        for block in self.up_blocks:
            x = block(x, stream)
        return self.conv_out(x, stream, norm=self.norm_out)
