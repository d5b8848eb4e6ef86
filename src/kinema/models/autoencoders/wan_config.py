"""Configuration of Wan's autoencoder and the published ones. Field names are those of published config files."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.core.errors import InvalidInput
from kinema.core.geometry import Compression

# Rows of latents that a decode in strips makes at a time.
STRIP_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class WanAutoencoderConfig:
    """Sizes and kinds of Wan's causal video autoencoder; 1 + 2^k * n frames, k levels halving time.

    Attributes:
        base_dim, dim_mult: width of the encoder's level i, from the finest, is base_dim * dim_mult[i].
        decoder_base_dim: the decoder's; None: the encoder's.
        z_dim: latent channels.
        num_res_blocks: residual blocks of an encoder level; the decoder has one more.
        temperal_downsample: after which levels but the last, finest first, time is halved; space is after all of them.
        latents_mean, latents_std: per channel; what `normalise` takes out.
        is_residual: whether shortcuts that average and repeat channels lead past every level (2.2's 5B).
        in_channels, out_channels: of pixels, after ``patch_size`` folded them into channels.
        patch_size: pixels are folded into channels by this factor; None: not.
        scale_factor_temporal, scale_factor_spatial: frames of a latent frame, and pixels along an edge of a latent one.
        attn_scales, dropout: no published model uses them.
        clip_output: ignored, as the reference ignores it: decoded pixels are always cut to [-1, 1].
    """

    base_dim: int
    decoder_base_dim: int | None = None
    z_dim: int
    dim_mult: tuple[int, ...]
    num_res_blocks: int
    attn_scales: tuple[float, ...] = ()
    temperal_downsample: tuple[bool, ...]
    dropout: float = 0.0
    latents_mean: tuple[float, ...]
    latents_std: tuple[float, ...]
    is_residual: bool = False
    in_channels: int = 3
    out_channels: int = 3
    patch_size: int | None = None
    scale_factor_temporal: int = 4
    scale_factor_spatial: int = 8
    clip_output: bool = True

    def __post_init__(self) -> None:
        for field in ("base_dim", "z_dim", "num_res_blocks", "in_channels", "out_channels"):
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        for field, none in (("attn_scales", ()), ("dropout", 0.0)):
            if getattr(self, field) != none:
                raise InvalidInput(field, getattr(self, field), f"must be {none}, as in every published model")
        if not self.dim_mult or min(self.dim_mult) < 1:
            raise InvalidInput("dim_mult", self.dim_mult, "must be a factor of at least 1 for every level")
        if len(self.temperal_downsample) != len(self.dim_mult) - 1:
            rule = f"must hold {len(self.dim_mult) - 1} values, one per level of dim_mult but the last"
            raise InvalidInput("temperal_downsample", self.temperal_downsample, rule)
        for field in ("latents_mean", "latents_std"):
            if len(getattr(self, field)) != self.z_dim:
                rule = f"must hold {self.z_dim} numbers, one per latent channel"
                raise InvalidInput(field, getattr(self, field), rule)
        if self.patch_size is not None and self.patch_size < 1:
            raise InvalidInput("patch_size", self.patch_size, "must be at least 1, or None")
        for field in ("in_channels", "out_channels"):
            if getattr(self, field) % self.patch_px**2:
                rule = f"must be a multiple of patch_size^2 = {self.patch_px**2}"
                raise InvalidInput(field, getattr(self, field), rule)
        for field, factor in (
            ("scale_factor_temporal", 2 ** sum(self.temperal_downsample)),
            ("scale_factor_spatial", 2 ** (len(self.dim_mult) - 1) * self.patch_px),
        ):
            if getattr(self, field) != factor:
                raise InvalidInput(field, getattr(self, field), f"must be {factor}: what levels and patch make")
        self._check_widths()

    def _check_widths(self) -> None:
        encoder, decoder = self.encoder_widths, self.decoder_widths
        if not self.is_residual:
            for width in decoder[1:-1]:
                if width % 2:
                    raise InvalidInput("dim_mult", self.dim_mult, f"the decoder's width {width} must be even")
            return
        # The shortcuts average or repeat whole groups of channels.
        ups = self.factors[-2::-1]
        pairs = [(a * r * s * s, b) for a, b, (r, s) in zip(encoder, encoder[1:], self.factors, strict=False)]
        pairs += [(b * r * s * s, a) for a, b, (r, s) in zip(decoder[:-2], decoder[1:], ups, strict=False)]
        for channels, divisor in pairs:
            if channels % divisor:
                raise InvalidInput(
                    "dim_mult", self.dim_mult, f"{channels} must be a multiple of {divisor} for shortcuts"
                )

    @property
    def patch_px(self) -> int:
        """Pixels along an edge of what is folded into channels."""
        return self.patch_size or 1

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Channels before the encoder's first level and after each."""
        return tuple(self.base_dim * m for m in (1, *self.dim_mult))

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Channels before the decoder's first level, which is the coarsest, and after each."""
        return tuple((self.decoder_base_dim or self.base_dim) * m for m in (self.dim_mult[-1], *self.dim_mult[::-1]))

    @property
    def factors(self) -> tuple[tuple[int, int], ...]:
        """(time, space) factor after every encoder level, finest first; (1, 1) after the last."""
        return *((1 + halves, 2) for halves in self.temperal_downsample), (1, 1)

    @property
    def compression(self) -> Compression:
        """The geometry of its latents."""
        return Compression(time=self.scale_factor_temporal, space=self.scale_factor_spatial, channels=self.z_dim)

    @property
    def can_stream(self) -> bool:
        """Whether chunk by chunk gives what the whole does: always, since norms and attention stay within a frame."""
        return True


WAN_2_1_VAE = WanAutoencoderConfig(
    base_dim=96,
    z_dim=16,
    dim_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    temperal_downsample=(False, True, True),
    latents_mean=(
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    ),
    latents_std=(
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    ),
)  # fmt: skip

# Source of the 48 means and deviations: the published config of Wan2.2-TI2V-5B's autoencoder.
WAN_2_2_VAE = WanAutoencoderConfig(
    base_dim=160,
    decoder_base_dim=256,
    z_dim=48,
    dim_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    temperal_downsample=(False, True, True),
    is_residual=True,
    in_channels=12,
    out_channels=12,
    patch_size=2,
    scale_factor_spatial=16,
    latents_mean=(
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
        0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
        -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
        -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
    ),
    latents_std=(
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
        0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
        0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
        0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
    ),
)  # fmt: skip
