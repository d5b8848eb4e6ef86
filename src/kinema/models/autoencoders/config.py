"""The autoencoder's configuration and the shipped and published ones. No network here."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import Compression

NORMS = ("group", "rms")
CONVS = ("full", "factorised")
RESAMPLERS = ("conv", "shuffle")


@dataclass(frozen=True, kw_only=True)
class VideoAutoencoderConfig:
    """Sizes and kinds of a causal video autoencoder; 1 + time_compression * k frames.

    Attributes:
        block_out_channels: width of every level, from the finest to the coarsest.
        layers_per_block: residual blocks of an encoder level: one number for all or one for each.
        decoder_block_out_channels: the decoder's widths, finest first; None: the encoder's.
        decoder_layers_per_block: residual blocks of a decoder level, finest first; None: one more than the encoder's.
        time_compression, space_compression: powers of two. Space is halved after the first levels, time after the last.
        patch_px: pixels are folded into channels by this factor before the first convolution (1: not).
        norm: "group" spans time, as published, so a stream can't be exact; "rms" is per pixel.
        norm_out: whether a norm and SiLU come before the last convolution, as published. Without them, and with
            "shuffle", a linear path leads from pixels to latents and back: 22.7 dB instead of 20.2 after 200 steps on
            single frames (measured from an initial log-variance of 0).
        conv: "full" 3D kernels, or "factorised" into 2D and 1D ones.
        temporal_convs: how many of the two convolutions of a residual block mix time, if factorised.
        resample: "conv" strides and repeats pixels, as published; "shuffle" folds space and time into channels, with a
            shortcut past the projection that averages or repeats channels.
        mid_layers: residual blocks at the coarsest level between which ``mid_attention`` puts frame-causal attention.
        latent_mean, latent_std: per channel; what `normalise` takes out. Without them it multiplies by scaling_factor.
    """

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 16
    block_out_channels: tuple[int, ...]
    layers_per_block: int | tuple[int, ...] = 2
    decoder_block_out_channels: tuple[int, ...] | None = None
    decoder_layers_per_block: int | tuple[int, ...] | None = None
    time_compression: int = 4
    space_compression: int = 8
    patch_px: int = 1
    norm: str = "group"
    norm_num_groups: int = 32
    norm_out: bool = True
    conv: str = "full"
    temporal_convs: int = 2
    resample: str = "conv"
    mid_layers: int = 2
    mid_attention: bool = True
    scaling_factor: float = 1.0
    latent_mean: tuple[float, ...] | None = None
    latent_std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for field, table in (("norm", NORMS), ("conv", CONVS), ("resample", RESAMPLERS)):
            if getattr(self, field) not in table:
                raise InvalidInput(field, getattr(self, field), f"must be {choices(table)}")
        for field in ("in_channels", "out_channels", "latent_channels", "norm_num_groups"):
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        for field, widths in (
            ("block_out_channels", self.block_out_channels),
            ("decoder_block_out_channels", self.decoder_channels),
        ):
            if not widths or min(widths) < 1:
                raise InvalidInput(field, widths, "must be a width of at least 1 for every level")
        for field in ("time_compression", "space_compression", "patch_px"):
            value = getattr(self, field)
            if value < 1 or value & (value - 1):
                raise InvalidInput(field, value, "must be a power of two")
        self._check_levels()
        if (self.latent_mean is None) != (self.latent_std is None):
            raise InvalidInput("latent_std", self.latent_std, "latent_mean and latent_std go together")
        for field in ("latent_mean", "latent_std"):
            value = getattr(self, field)
            if value is not None and len(value) != self.latent_channels:
                raise InvalidInput(field, value, f"must hold {self.latent_channels} numbers, one per latent channel")

    def _check_levels(self) -> None:
        halvings = self.num_levels - 1
        for field, needed in (
            ("space_compression", self.num_space_halvings),
            ("time_compression", self.num_time_halvings),
        ):
            if not 0 <= needed <= halvings:
                raise InvalidInput(
                    field,
                    getattr(self, field),
                    f"needs {needed} halvings; {self.num_levels} levels have 0 to {halvings}",
                )
        for field in ("decoder_block_out_channels", "layers_per_block", "decoder_layers_per_block"):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != self.num_levels:
                raise InvalidInput(field, value, f"must hold {self.num_levels} numbers, one per level")
        if self.resample == "shuffle":
            self._check_shortcuts()
        else:
            self._check_widening()
        if self.norm == "group":
            for width in {*self.block_out_channels, *self.decoder_channels}:
                if width % self.norm_num_groups:
                    raise InvalidInput(
                        "norm_num_groups",
                        self.norm_num_groups,
                        f"must divide every width, and {width} isn't a multiple",
                    )
        if self.temporal_convs not in (0, 1, 2):
            raise InvalidInput("temporal_convs", self.temporal_convs, "must be 0, 1 or 2")

    def _check_shortcuts(self) -> None:
        for field, widths, factors in (
            ("block_out_channels", self.block_out_channels, self.factors),
            ("decoder_block_out_channels", self.decoder_channels, self.factors[::-1]),
        ):
            for fine, coarse, (time, space) in zip(widths, widths[1:], factors, strict=False):
                if fine * time * space**2 % coarse:
                    rule = f"{fine} x {time * space**2} channels must be a multiple of the next level's {coarse}"
                    raise InvalidInput(field, widths, rule)

    def _check_widening(self) -> None:
        for field, widths, layers in (
            ("layers_per_block", (self.block_out_channels[0], *self.block_out_channels), self.encoder_layers),
            ("decoder_layers_per_block", (*self.decoder_channels, self.decoder_channels[-1]), self.decoder_layers),
        ):
            for before, after, num_layers in zip(widths[:-1], widths[1:], layers, strict=True):
                if before != after and num_layers == 0:
                    rule = f'a level from {before} to {after} channels needs a residual block, or resample "shuffle"'
                    raise InvalidInput(field, layers, rule)

    @property
    def num_levels(self) -> int:
        """Levels of resolution."""
        return len(self.block_out_channels)

    @property
    def num_space_halvings(self) -> int:
        """How often the levels halve height and width."""
        return (self.space_compression // self.patch_px).bit_length() - 1

    @property
    def num_time_halvings(self) -> int:
        """How often the levels halve the frames."""
        return self.time_compression.bit_length() - 1

    @property
    def factors(self) -> tuple[tuple[int, int], ...]:
        """(time, space) factor after every level but the last, in the order the encoder or the decoder runs them."""
        last = self.num_levels - 1
        return tuple((1 + (i >= last - self.num_time_halvings), 1 + (i < self.num_space_halvings)) for i in range(last))

    @property
    def encoder_layers(self) -> tuple[int, ...]:
        """Residual blocks of every encoder level, finest first."""
        return _per_level(self.layers_per_block, self.num_levels)

    @property
    def decoder_layers(self) -> tuple[int, ...]:
        """Residual blocks of every decoder level, finest first."""
        if self.decoder_layers_per_block is None:
            return tuple(n + 1 for n in self.encoder_layers)
        return _per_level(self.decoder_layers_per_block, self.num_levels)

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """Widths of the decoder's levels, finest first."""
        return self.decoder_block_out_channels or self.block_out_channels

    @property
    def compression(self) -> Compression:
        """The geometry of its latents."""
        return Compression(time=self.time_compression, space=self.space_compression, channels=self.latent_channels)

    @property
    def can_stream(self) -> bool:
        """Whether chunk by chunk gives what the whole does."""
        return self.norm != "group"

    @property
    def is_published(self) -> bool:
        """Whether every layer is of the published kind, at whatever width."""
        return (self.norm, self.conv, self.resample, self.norm_out) == ("group", "full", "conv", True)


def _per_level(layers: int | tuple[int, ...], num_levels: int) -> tuple[int, ...]:
    return layers if isinstance(layers, tuple) else (layers,) * num_levels


HUNYUAN_VIDEO_VAE = VideoAutoencoderConfig(block_out_channels=(128, 256, 512, 512), scaling_factor=0.476986)

MINI_VAE = VideoAutoencoderConfig(
    block_out_channels=(24, 96, 192),
    layers_per_block=(1, 2, 0),
    decoder_block_out_channels=(48, 96, 192),
    decoder_layers_per_block=(3, 4, 0),
    patch_px=2,
    norm="rms",
    conv="factorised",
    temporal_convs=1,
    resample="shuffle",
    mid_layers=3,
    mid_attention=False,
)
