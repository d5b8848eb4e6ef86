"""Wan's causal video autoencoder: 2.1's (16 channels, 4x8x8) and 2.2's for the 5B (48 channels, 4x16x16).

Legend: pixels (b c t h w) in [-1, 1], latents (b z n y x), p q patch. The first frame stands alone: 1 + 4k frames become
1 + k latent frames, and no latent frame sees a later pixel frame. Norms and attention stay within a frame and every
convolution over time remembers its last frames, so chunk by chunk gives what the whole does, in constant memory.
Source: Wan (arXiv 2503.20314); names and order of operations are those of its published weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.initialise import fill_normal
from kinema.models.autoencoders.video import MAX_LOGVAR, MIN_LOGVAR, sample_latents
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


class WanAutoencoder(nn.Module):
    """Pixels (b 3 t h w) to Gaussian latents and back, whole or as a stream of chunks."""

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.post_quant_conv = nn.Conv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    def forward(
        self, video: Float[Tensor, "b c t h w"], noise: Float[Tensor, "b z n y x"] | None = None
    ) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
        """(reconstruction, mean, logvar): from the latents' mean, or from a sample if ``noise`` is given."""
        mean, logvar = self.encode(video)
        return self.decode(mean if noise is None else sample_latents(mean, logvar, noise)), mean, logvar

    def encode(
        self, video: Float[Tensor, "b c t h w"]
    ) -> tuple[Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
        """(mean, logvar) of the latents of pixels in [-1, 1].

        Raises: InvalidInput for a size off the grid, naming the nearest ones that fit.
        """
        self._check_video(video)
        return self._encode(video, None)

    def decode(self, latents: Float[Tensor, "b z n y x"]) -> Float[Tensor, "b c t h w"]:
        """Pixels, cut to [-1, 1], of latents as `encode` gives them (not normalised)."""
        self._check_latents(latents)
        return self._decode(latents, None)

    def encode_stream(self, chunks: Iterable[Video]) -> Iterator[tuple[Video, Video]]:
        """(mean, logvar) for each chunk: the first of 1 + 4k frames, all later of 4k.

        Together they are what `encode` gives for the whole; memory doesn't grow with the number of chunks.
        Raises: InvalidInput for a chunk of another length.
        """
        stream = Stream()
        for chunk in chunks:
            self._check_video(chunk, is_start=stream.is_start)
            yield self._encode(chunk, stream)
            stream.end_chunk()

    def decode_stream(self, latents: Video | Iterable[Video]) -> Iterator[Video]:
        """Pixels for each latent frame, or for each chunk of latents: one frame for the first latent frame, then four.

        Together they are what `decode` gives for the whole; memory doesn't grow with the number of chunks.
        """
        stream = Stream()
        for chunk in latents.split(1, dim=2) if isinstance(latents, Tensor) else latents:
            self._check_latents(chunk)
            yield self._decode(chunk, stream)
            stream.end_chunk()

    def normalise(self, latents: Float[Tensor, "b z n y x"]) -> Float[Tensor, "b z n y x"]:
        """Latents of about zero mean and unit variance, as a transformer is trained on."""
        mean, std = self._latent_statistics(latents)
        return (latents - mean) / std

    def denormalise(self, latents: Float[Tensor, "b z n y x"]) -> Float[Tensor, "b z n y x"]:
        """Latents that `decode` takes, of normalised ones."""
        mean, std = self._latent_statistics(latents)
        return latents * std + mean

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Fills every parameter from a CPU ``generator``: variance-keeping weights, unit norms, zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                fill_normal(parameter, 1.0, generator)
            else:
                parameter.fill_(1.0 if name.endswith("gamma") else 0.0)

    def _encode(self, video: Video, stream: Stream | None) -> tuple[Video, Video]:
        mean, logvar = self.quant_conv(self.encoder(video, stream)).chunk(2, dim=1)
        return mean, logvar.clamp(MIN_LOGVAR, MAX_LOGVAR)

    def _decode(self, latents: Video, stream: Stream | None) -> Video:
        return self.decoder(self.post_quant_conv(latents), stream).clamp(-1, 1)

    def _latent_statistics(self, latents: Video) -> tuple[Tensor, Tensor]:
        mean, std = (latents.new_tensor(v) for v in (self.config.latents_mean, self.config.latents_std))
        return mean.view(-1, 1, 1, 1), std.view(-1, 1, 1, 1)

    def _check_video(self, video: Video, *, is_start: bool = True) -> None:
        _, channels, frames, height, width = video.shape
        expected = self.config.in_channels // self.config.patch_px**2
        if channels != expected:
            raise InvalidInput("video", tuple(video.shape), f"must have {expected} channels")
        compression = self.config.compression
        if not is_start and frames % compression.time:
            rule = f"a chunk after the first must be a multiple of {compression.time} frames"
            raise InvalidInput("frames", frames, rule)
        checked = frames if is_start else frames + 1
        compression.check(VideoShape(frames=checked, height_px=height, width_px=width, fps=1))

    def _check_latents(self, latents: Video) -> None:
        if latents.shape[1] != self.config.z_dim or not latents.shape[2]:
            rule = f"must have {self.config.z_dim} channels and at least one frame"
            raise InvalidInput("latents", tuple(latents.shape), rule)


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
        return self.conv_out(F.silu(self.norm_out(x)), stream)


class Decoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, config: WanAutoencoderConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_px
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
        """(b c t h w), contiguous."""
        x = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d), stream)
        x = self.mid_block(x, stream)
        for block in self.up_blocks:
            x = block(x, stream)
        x = self.conv_out(F.silu(self.norm_out(x)), stream)
        p = self.patch_px
        return rearrange(x, "b (c q p) t h w -> b c t (h p) (w q)", p=p, q=p).contiguous()
