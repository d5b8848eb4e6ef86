"""Causal 3D video autoencoder: HunyuanVideo's, and light ones of the same family at any width and compression.

Legend: pixels (b c t h w) in [-1, 1], latents (b z n y x), p patch. The first frame stands alone: 1 + time_compression * k
frames become 1 + k latent frames, and no latent frame sees a later pixel frame. In memory everything between the first
and the last line of encode and decode is channels-last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders import chunked
from kinema.models.autoencoders.blocks import (
    MidBlock,
    RepeatUpsample,
    ResidualBlock,
    ShuffleDownsample,
    ShuffleUpsample,
    StridedDownsample,
    make_conv,
    make_norm,
)
from kinema.models.autoencoders.chunked import MemoryShelf, Shelf
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.gaussian import GaussianAutoencoder
from kinema.models.autoencoders.initialise import init_autoencoder
from kinema.models.autoencoders.work import OnWork, ignore_work
from kinema.models.layers.causal_conv import Stream, Video


class VideoAutoencoder(GaussianAutoencoder):
    """Pixels (b 3 t h w) to Gaussian latents and back, whole or as a stream of chunks."""

    def __init__(self, config: VideoAutoencoderConfig) -> None:
        super().__init__(config.compression, config.in_channels)
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv3d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = nn.Conv3d(config.latent_channels, config.latent_channels, 1)

    def moments(self, video: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b z2 n y x"]:
        """Mean and logvar in one, before logvar is cut to its range. Raises: InvalidInput as `encode`."""
        if not self._in_chunks():
            return super().moments(video)
        self._check_video(video)
        return torch.cat(list(chunked.run(chunked.encoder_steps(self), _first_alone(video))), dim=2)

    def decode(
        self, latents: Float[Tensor, "b z n y x"], *, on_work: OnWork = ignore_work
    ) -> Float[Tensor, "b c t h w"]:
        """Pixels, about [-1, 1] and not clamped, of latents as `encode` gives them (not normalised).

        Where gradients are off, a published layout runs over chunks of frames (`kinema.models.autoencoders.chunked`):
        the same but for rounding, sooner and in a fraction of the memory, and ``on_work`` is told of it. So does `encode`.
        """
        if not self._in_chunks():
            return super().decode(latents)
        self._check_latents(latents)
        return torch.cat(list(chunked.decode(self, latents, on_work=on_work)), dim=2)

    def encode_stream(self, chunks: Iterable[Video]) -> Iterator[tuple[Video, Video]]:
        """(mean, logvar) for each chunk: the first of 1 + time_compression * k frames, all later of time_compression * k.

        Together they are what `encode` gives for the whole; memory doesn't grow with the number of chunks.
        Raises: InvalidInput if the norm spans time, or for a chunk of another length.
        """
        if not self.config.can_stream:
            rule = 'spans all frames, so a chunk can\'t be normed alone; encode the whole, or use norm "rms"'
            raise InvalidInput("norm", self.config.norm, rule)
        return super().encode_stream(chunks)

    def decode_stream(
        self,
        latents: Video | Iterable[Video],
        *,
        make_shelf: Callable[[], Shelf] = MemoryShelf,
        exact: bool = True,
        on_work: OnWork = ignore_work,
    ) -> Iterator[Video]:
        """Pixels for each latent frame, or for each chunk of latents: one frame for the first, then time_compression.

        Together they are what `decode` gives for the whole; memory doesn't grow with the number of chunks (with mid
        attention, keys and values of every latent frame so far are kept).

        A norm that spans time must see the whole clip first, so ``latents`` is then one tensor, chunks are cut as fits the
        work, and nearly all of it is done before the first comes. What that costs, and what the first two arguments choose
        between, is at the top of `kinema.models.autoencoders.chunked`; without such norms no argument changes anything.

        Args:
            make_shelf: gives what a norm's input waits on, for constant memory elsewhere than in memory.
            exact: if not, a norm takes the statistics of the chunks so far: constant memory, frames as latents come.
            on_work: told of the work of an exact decode.

        Raises: InvalidInput if the norm spans time and the layout isn't the published one, or chunks come one by one.
        """
        if self.config.can_stream:
            return super().decode_stream(latents)
        if not self.config.is_published:
            rule = 'spans all frames, and only the published layout can be cut at its norms; use norm "rms"'
            raise InvalidInput("norm", self.config.norm, rule)
        if not exact:
            return chunked.run_at_once(chunked.decoder_steps(self), self._chunks(latents))
        if not isinstance(latents, Tensor):
            raise InvalidInput("latents", "chunks", "norms span all frames: pass the whole clip, or exact=False")
        self._check_latents(latents)
        return chunked.decode(self, latents, make_shelf=make_shelf, on_work=on_work)

    def init_weights(self, generator: torch.Generator) -> None:
        """Draws all weights from a CPU ``generator``: the same on every device."""
        init_autoencoder(self, self.quant_conv, generator)

    def _moments(self, video: Video, stream: Stream | None) -> Video:
        return self.quant_conv(self.encoder(video, stream))

    def _decode(self, latents: Video, stream: Stream | None) -> Video:
        return self.decoder(self.post_quant_conv(latents), stream)

    def _in_chunks(self) -> bool:
        """Whether to take the way without gradients; a compiler wants the plain one."""
        return self.config.is_published and not torch.is_grad_enabled() and not torch.compiler.is_compiling()

    def _latent_statistics(self, latents: Video) -> tuple[Tensor, Tensor]:
        mean, std = self.config.latent_mean, self.config.latent_std
        if mean is None or std is None:
            return latents.new_zeros(1), latents.new_full((1,), 1 / self.config.scaling_factor)
        return latents.new_tensor(mean).view(-1, 1, 1, 1), latents.new_tensor(std).view(-1, 1, 1, 1)


class Encoder(nn.Module):
    """Pixels to twice latent_channels features."""

    def __init__(self, config: VideoAutoencoderConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_px
        widths = config.block_out_channels
        self.conv_in = make_conv(config, config.in_channels * config.patch_px**2, widths[0], temporal=False)
        self.down_blocks = nn.ModuleList(DownBlock(config, i) for i in range(config.num_levels))
        self.mid_block = MidBlock(config, widths[-1])
        self.conv_norm_out = make_norm(config, widths[-1]) if config.norm_out else None
        self.conv_out = make_conv(config, widths[-1], 2 * config.latent_channels, temporal=False)

    def forward(self, video: Video, stream: Stream | None = None) -> Video:
        """(b c t h w), channels-last in memory."""
        p = self.patch_px
        x = rearrange(video, "b c t (h p) (w q) -> b t h w (p q c)", p=p, q=p).contiguous()
        x = rearrange(x, "b t h w c -> b c t h w")
        x = self.conv_in(x, stream)
        for block in self.down_blocks:
            x = block(x, stream)
        x = self.mid_block(x, stream)
        if self.conv_norm_out is not None:
            x = F.silu(self.conv_norm_out(x))
        return self.conv_out(x, stream)


class Decoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, config: VideoAutoencoderConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_px
        widths = config.decoder_channels
        self.conv_in = make_conv(config, config.latent_channels, widths[-1], temporal=False)
        self.mid_block = MidBlock(config, widths[-1])
        self.up_blocks = nn.ModuleList(UpBlock(config, i) for i in reversed(range(config.num_levels)))
        self.conv_norm_out = make_norm(config, widths[0]) if config.norm_out else None
        self.conv_out = make_conv(config, widths[0], config.out_channels * config.patch_px**2, temporal=False)

    def forward(self, latents: Video, stream: Stream | None = None) -> Video:
        """(b c t h w), contiguous."""
        x = latents.contiguous(memory_format=torch.channels_last_3d)
        x = self.conv_in(x, stream)
        x = self.mid_block(x, stream)
        for block in self.up_blocks:
            x = block(x, stream)
        if self.conv_norm_out is not None:
            x = F.silu(self.conv_norm_out(x))
        x = self.conv_out(x, stream)
        p = self.patch_px
        return rearrange(x, "b (p q c) t h w -> b c t (h p) (w q)", p=p, q=p).contiguous()


class DownBlock(nn.Module):
    """Residual blocks of encoder level ``level`` (0: finest), then the step to the next level."""

    def __init__(self, config: VideoAutoencoderConfig, level: int) -> None:
        super().__init__()
        shuffle = config.resample == "shuffle"
        width = config.block_out_channels[level]
        # A published level widens in its first residual block; a shuffle has widened already.
        first = width if shuffle or level == 0 else config.block_out_channels[level - 1]
        num_layers = config.encoder_layers[level]
        self.resnets = nn.ModuleList(
            ResidualBlock(config, first if i == 0 else width, width) for i in range(num_layers)
        )
        self.downsamplers = nn.ModuleList()
        if level == config.num_levels - 1:
            return
        factor = config.factors[level]
        if shuffle:
            self.downsamplers.append(ShuffleDownsample(width, config.block_out_channels[level + 1], factor))
        elif factor != (1, 1):
            self.downsamplers.append(StridedDownsample(width, factor))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The next level's video."""
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x, stream)
        return x


class UpBlock(nn.Module):
    """Residual blocks of decoder level ``level`` (0: finest), then the step to the next finer level."""

    def __init__(self, config: VideoAutoencoderConfig, level: int) -> None:
        super().__init__()
        shuffle = config.resample == "shuffle"
        widths = config.decoder_channels
        width = widths[level]
        first = width if shuffle or level == config.num_levels - 1 else widths[level + 1]
        num_layers = config.decoder_layers[level]
        self.resnets = nn.ModuleList(
            ResidualBlock(config, first if i == 0 else width, width) for i in range(num_layers)
        )
        self.upsamplers = nn.ModuleList()
        if level == 0:
            return
        factor = config.factors[config.num_levels - 1 - level]
        if shuffle:
            self.upsamplers.append(ShuffleUpsample(width, widths[level - 1], factor))
        elif factor != (1, 1):
            self.upsamplers.append(RepeatUpsample(config, width, factor))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The next finer level's video."""
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x, stream)
        return x


def _first_alone(video: Video) -> list[Video]:
    return [part for part in (video[:, :, :1], video[:, :, 1:]) if part.shape[2]]
