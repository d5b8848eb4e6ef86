"""Configuration of LTX-Video's transformer and the published ones. Field names are those of published config files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kinema.core.errors import InvalidInput

# that of `kinema.models.layers.norms`, which needs torch
_EPS = 1e-6
# What every published file says, and no network here does otherwise.
_ONLY = {
    "patch_size": 1, "patch_size_t": 1, "activation_fn": "gelu-approximate", "qk_norm": "rms_norm_across_heads",
    "norm_elementwise_affine": False, "norm_eps": _EPS, "attention_bias": True, "attention_out_bias": True,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LtxTransformerConfig:
    """Sizes of LTX-Video's transformer. Its patches are the autoencoder's: every place of the latents is a token.

    Attributes:
        in_channels, out_channels: of the latents.
        cross_attention_dim: channels of the text in attention, which is the width.
        caption_channels: channels of the text as it comes in.
        The others but sizes are fields of published files, and what `_ONLY` says.
    """

    in_channels: int = 128
    out_channels: int = 128
    num_attention_heads: int = 32
    attention_head_dim: int = 64
    cross_attention_dim: int = 2048
    num_layers: int = 28
    caption_channels: int = 4096
    patch_size: int = 1
    patch_size_t: int = 1
    activation_fn: str = "gelu-approximate"
    qk_norm: str = "rms_norm_across_heads"
    norm_elementwise_affine: bool = False
    norm_eps: float = _EPS
    attention_bias: bool = True
    attention_out_bias: bool = True

    def __post_init__(self) -> None:
        for field in ("in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "num_layers",
                      "caption_channels"):  # fmt: skip
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        for field, only in _ONLY.items():
            if getattr(self, field) != only:
                raise InvalidInput(field, getattr(self, field), f"must be {only}, as in every published model")
        if self.width < 6 or self.width % 2:
            rule = f"with {self.num_attention_heads} heads makes a width of {self.width}, which must be even and at least 6"
            raise InvalidInput("attention_head_dim", self.attention_head_dim, rule)
        if self.cross_attention_dim != self.width:
            raise InvalidInput("cross_attention_dim", self.cross_attention_dim, f"must be the width, {self.width}")

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim


LTX_2B = LtxTransformerConfig()
LTX_13B = replace(LTX_2B, attention_head_dim=128, cross_attention_dim=4096, num_layers=48)
