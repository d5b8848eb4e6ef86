"""Configuration of LTX-Video's autoencoder and the published ones. Field names are those of published config files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import Compression

# What every published file says, and no network here does otherwise.
_ONLY = {"patch_size_t": 1, "encoder_causal": True}
# how a level of the encoder steps down -> (time, space) factor
STEPS = {"conv": (2, 2), "spatial": (1, 2), "temporal": (2, 1), "spatiotemporal": (2, 2)}
_OLD_DOWN, _NEW_DOWN = "LTXVideoDownBlock3D", "LTXVideo095DownBlock3D"


class Down(NamedTuple):
    """A level of the encoder; ``step`` is a key of `STEPS`, or None where it doesn't step down."""

    in_channels: int
    out_channels: int
    num_blocks: int
    step: str | None


class Up(NamedTuple):
    """A level of the decoder. ``factor`` divides the channels in its step up, which ``adds_residual`` passes by."""

    in_channels: int
    out_channels: int
    num_blocks: int
    steps_up: bool
    has_noise: bool
    adds_residual: bool
    factor: int


@dataclass(frozen=True, kw_only=True)
class LtxAutoencoderConfig:
    """Sizes and kinds of LTX-Video's video autoencoder; 1 + 2^k * n frames, k steps down in time.

    Attributes:
        in_channels, out_channels: of pixels, before ``patch_size`` folds them into channels.
        block_out_channels: widths of the encoder's levels, finest first; with the kind of version 0.9.5 the one before them, too.
        down_block_types: one of the two published kinds for every level.
        decoder_block_out_channels: widths of the decoder's levels, finest first, before ``upsample_factor`` divides them.
        layers_per_block, decoder_layers_per_block: residual blocks of every level, and of the one in the middle.
        spatio_temporal_scaling, decoder_spatio_temporal_scaling: which levels step down, and up.
        downsample_type: how those of the newer kind step down.
        decoder_inject_noise: which levels of the decoder, and the one in the middle, get noise.
        timestep_conditioning: the decoder is told how noisy the latents are.
        scaling_factor: normalised latents are multiplied by it.
        encoder_causal, decoder_causal: whether convolutions see later frames; no encoder does.
        spatial_compression_ratio, temporal_compression_ratio: what the levels make; None: not said.
    """

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 128
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    down_block_types: tuple[str, ...] = (_OLD_DOWN,) * 4
    decoder_block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: tuple[int, ...] = (4, 3, 3, 3, 4)
    decoder_layers_per_block: tuple[int, ...] = (4, 3, 3, 3, 4)
    spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, False)
    decoder_spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, False)
    decoder_inject_noise: tuple[bool, ...] = (False,) * 5
    downsample_type: tuple[str, ...] = ("conv",) * 4
    upsample_residual: tuple[bool, ...] = (False,) * 4
    upsample_factor: tuple[int, ...] = (1,) * 4
    timestep_conditioning: bool = False
    patch_size: int = 4
    patch_size_t: int = 1
    resnet_norm_eps: float = 1e-6
    scaling_factor: float = 1.0
    encoder_causal: bool = True
    decoder_causal: bool = False
    spatial_compression_ratio: int | None = None
    temporal_compression_ratio: int | None = None

    def __post_init__(self) -> None:
        for field, only in _ONLY.items():
            if getattr(self, field) != only:
                raise InvalidInput(field, getattr(self, field), f"must be {only}, as in every published model")
        for field in ("in_channels", "out_channels", "latent_channels", "patch_size"):
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        for field in ("resnet_norm_eps", "scaling_factor"):
            if not getattr(self, field) > 0:
                raise InvalidInput(field, getattr(self, field), "must be above 0")
        if not self.block_out_channels or not self.decoder_block_out_channels:
            raise InvalidInput("block_out_channels", self.block_out_channels, "must hold a width for every level")
        if len(set(self.down_block_types)) != 1 or self.down_block_types[0] not in (_OLD_DOWN, _NEW_DOWN):
            rule = f"must be {choices((_OLD_DOWN, _NEW_DOWN))}, one for all levels"
            raise InvalidInput("down_block_types", self.down_block_types, rule)
        for step in self.downsample_type:
            if step not in STEPS:
                raise InvalidInput("downsample_type", step, f"must be {choices(STEPS)}")
        self._check_encoder()
        self._check_decoder()
        self._check_factors()

    def _check_encoder(self) -> None:
        for level in self.downs:
            if min(level.in_channels, level.out_channels) < 1:
                raise InvalidInput("block_out_channels", self.block_out_channels, "must be at least 1")
            if not self.is_new:
                continue
            keeps_width, (time, space) = level.step in (None, "conv"), STEPS[level.step or "conv"]
            folded = time * space**2
            fits = level.out_channels % folded == 0 and level.in_channels * folded % level.out_channels == 0
            if level.in_channels != level.out_channels if keeps_width else not fits:
                rule = f"{level.in_channels} can't become {level.out_channels} by a step down of {level.step}"
                raise InvalidInput("block_out_channels", self.block_out_channels, rule)

    def _check_decoder(self) -> None:
        ups = self.ups
        above_all = (self.decoder_block_out_channels[-1], *(level.out_channels for level in ups))
        for above, level in zip(above_all, ups, strict=False):
            changes = level.in_channels != level.out_channels
            if level.factor > 1 and (changes or not level.steps_up or above % level.factor):
                rule = f"{above} can't be divided by {level.factor} in a step up to {level.out_channels}"
                raise InvalidInput("upsample_factor", self.upsample_factor, rule)
            rule = "goes with levels whose step up makes the next one's width"
            if changes and self.timestep_conditioning:
                raise InvalidInput("timestep_conditioning", True, rule)
            if changes and level.has_noise:
                raise InvalidInput("decoder_inject_noise", self.decoder_inject_noise, rule)
            if level.steps_up and 8 % level.factor:
                raise InvalidInput("upsample_factor", level.factor, "must be 1, 2, 4 or 8")
            if level.adds_residual and level.in_channels * level.factor % 8:
                rule = f"needs a width that is a multiple of 8 before it, not {level.in_channels * level.factor}"
                raise InvalidInput("upsample_residual", True, rule)

    def _check_factors(self) -> None:
        made = self._factors([STEPS[level.step] for level in self.downs if level.step])
        back = self._factors([(2, 2) for level in self.ups if level.steps_up])
        if made != back:
            rule = f"steps up by {back} (time, space), and the encoder steps down by {made}"
            raise InvalidInput("decoder_spatio_temporal_scaling", self.decoder_spatio_temporal_scaling, rule)
        for field, factor in zip(("temporal_compression_ratio", "spatial_compression_ratio"), made, strict=True):
            said = getattr(self, field)
            if (factor if said is None else said) != factor:
                raise InvalidInput(field, said, f"must be {factor}: what levels and patch make")

    def _factors(self, steps: Sequence[tuple[int, int]]) -> tuple[int, int]:
        time, space = 1, self.patch_size
        for in_time, in_space in steps:
            time, space = time * in_time, space * in_space
        return time, space

    @property
    def is_new(self) -> bool:
        """Whether the encoder's levels are of version 0.9.5's kind."""
        return self.down_block_types[0] == _NEW_DOWN

    @property
    def downs(self) -> tuple[Down, ...]:
        """The encoder's levels, finest first."""
        widths = self.block_out_channels
        count = len(widths) - self.is_new
        ins = widths[:count]
        # the older kind changes the width after its step down, to that of the level below
        outs = widths[1:] if self.is_new else (*widths[1:], widths[-1])
        scaled = self._first("spatio_temporal_scaling", count)
        steps = self._first("downsample_type", count) if self.is_new else ("conv",) * count
        layers = self._first("layers_per_block", count)
        return tuple(
            Down(a, b, num, step if scales else None)
            for a, b, num, step, scales in zip(ins, outs, layers, steps, scaled, strict=True)
        )

    @property
    def ups(self) -> tuple[Up, ...]:
        """The decoder's levels, coarsest first, as they run."""
        widths = self.decoder_block_out_channels[::-1]
        count = len(widths)
        factors = self._last("upsample_factor", count)
        if min(factors) < 1:
            raise InvalidInput("upsample_factor", self.upsample_factor, "must be at least 1")
        outs = [width // factor for width, factor in zip(widths, factors, strict=True)]
        before = (widths[0], *outs[:-1])
        return tuple(
            Up(above // factor, out, num, bool(steps_up), bool(noise), bool(residual), factor)
            for above, out, num, steps_up, noise, residual, factor in zip(
                before,
                outs,
                self._last("decoder_layers_per_block", count + 1)[1:],
                self._last("decoder_spatio_temporal_scaling", count),
                self._last("decoder_inject_noise", count + 1)[1:],
                self._last("upsample_residual", count),
                factors,
                strict=True,
            )
        )

    @property
    def num_middle_blocks(self) -> tuple[int, int]:
        """Residual blocks in the middle of (encoder, decoder)."""
        return self.layers_per_block[-1], self.decoder_layers_per_block[-1]

    @property
    def middle_has_noise(self) -> bool:
        """Whether the decoder's middle gets noise."""
        return bool(self.decoder_inject_noise[-1])

    @property
    def compression(self) -> Compression:
        """The geometry of its latents."""
        time, space = self._factors([STEPS[level.step] for level in self.downs if level.step])
        return Compression(time=time, space=space, channels=self.latent_channels)

    @property
    def can_stream(self) -> bool:
        """Whether chunk by chunk gives what the whole does: always, since norms stay within a pixel."""
        return True

    def _first(self, field: str, count: int) -> tuple[Any, ...]:
        return self._enough(field, count)[:count]

    def _last(self, field: str, count: int) -> tuple[Any, ...]:
        """The last ``count`` values, last first: a decoder's lists are read from their end, as published."""
        return self._enough(field, count)[::-1][:count]

    def _enough(self, field: str, count: int) -> tuple[Any, ...]:
        values = getattr(self, field)
        if len(values) < count:
            raise InvalidInput(field, values, f"must hold {count} values")
        return values


LTX_0_9_VAE = LtxAutoencoderConfig()
LTX_0_9_1_VAE = LtxAutoencoderConfig(
    decoder_block_out_channels=(256, 512, 1024),
    decoder_layers_per_block=(5, 6, 7, 8),
    decoder_spatio_temporal_scaling=(True, True, True),
    decoder_inject_noise=(True, True, True, False),
    upsample_residual=(True, True, True),
    upsample_factor=(2, 2, 2),
    timestep_conditioning=True,
)
LTX_0_9_5_VAE = LtxAutoencoderConfig(
    block_out_channels=(128, 256, 512, 1024, 2048),
    down_block_types=(_NEW_DOWN,) * 4,
    decoder_block_out_channels=(256, 512, 1024),
    layers_per_block=(4, 6, 6, 2, 2),
    decoder_layers_per_block=(5, 5, 5, 5),
    spatio_temporal_scaling=(True, True, True, True),
    decoder_spatio_temporal_scaling=(True, True, True),
    decoder_inject_noise=(False, False, False, False),
    downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    upsample_residual=(True, True, True),
    upsample_factor=(2, 2, 2),
    timestep_conditioning=True,
    spatial_compression_ratio=32,
    temporal_compression_ratio=8,
)
