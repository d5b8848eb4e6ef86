"""Configuration of Wan's transformer and the published ones. Field names are those of published config files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kinema.core.errors import InvalidInput
from kinema.models.layers.norms import EPS

# What every published file says, and no network here does otherwise.
_ONLY = {"qk_norm": "rms_norm_across_heads", "cross_attn_norm": True, "eps": EPS}


@dataclass(frozen=True, kw_only=True)
class WanTransformerConfig:
    """Sizes and conditions of Wan's transformer.

    Attributes:
        patch_size: (t, h, w) of the latents that make a token.
        in_channels: channels of ``latents`` as they are passed: with an image's mask and latents behind the noisy
            ones for image-to-video (36 = 16 + 4 + 16).
        ffn_dim: channels inside the feed-forward layers.
        freq_dim: size of the noise level's sinusoid.
        image_dim, added_kv_proj_dim: channels of the image's tokens, and the width that they are brought to, which
            is the network's; both None: no such input.
        pos_embed_seq_len: how many image tokens there must be, each with a position of its own (first and last
            frame: 2 x 257); None: any number, without positions.
        rope_max_seq_len: the largest size of the grid of tokens along an axis.
    """

    patch_size: tuple[int, int, int]
    num_attention_heads: int
    attention_head_dim: int
    in_channels: int
    out_channels: int
    text_dim: int
    freq_dim: int
    ffn_dim: int
    num_layers: int
    cross_attn_norm: bool = True
    qk_norm: str = "rms_norm_across_heads"
    eps: float = EPS
    image_dim: int | None = None
    added_kv_proj_dim: int | None = None
    rope_max_seq_len: int = 1024
    pos_embed_seq_len: int | None = None

    def __post_init__(self) -> None:
        for field in ("num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "text_dim", "freq_dim",
                      "ffn_dim", "rope_max_seq_len"):  # fmt: skip
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        if self.num_layers < 0:
            raise InvalidInput("num_layers", self.num_layers, "must be at least 0")
        if len(self.patch_size) != 3 or min(self.patch_size) < 1:
            raise InvalidInput("patch_size", self.patch_size, "must be three numbers of at least 1: (t, h, w)")
        for field in ("attention_head_dim", "freq_dim"):
            if getattr(self, field) % 2:
                raise InvalidInput(field, getattr(self, field), "must be even: channels turn in pairs")
        for field, only in _ONLY.items():
            if getattr(self, field) != only:
                raise InvalidInput(field, getattr(self, field), f"must be {only}, as in every published model")
        if self.added_kv_proj_dim != (None if self.image_dim is None else self.width):
            rule = f"must be None without image_dim and the width {self.width} with it"
            raise InvalidInput("added_kv_proj_dim", self.added_kv_proj_dim, rule)
        if self.pos_embed_seq_len is not None and self.image_dim is None:
            raise InvalidInput("pos_embed_seq_len", self.pos_embed_seq_len, "needs image_dim")

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def patch_volume(self) -> int:
        """Latent places that make a token."""
        t, h, w = self.patch_size
        return t * h * w

    @property
    def rope_axes_dim(self) -> tuple[int, int, int]:
        """How a head's channels are shared between time, height and width: a third each, time takes what is left."""
        space = 2 * (self.attention_head_dim // 6)
        return self.attention_head_dim - 2 * space, space, space


WAN_T2V_14B = WanTransformerConfig(
    patch_size=(1, 2, 2),
    num_attention_heads=40,
    attention_head_dim=128,
    in_channels=16,
    out_channels=16,
    text_dim=4096,
    freq_dim=256,
    ffn_dim=13824,
    num_layers=40,
)
WAN_T2V_1_3B = replace(WAN_T2V_14B, num_attention_heads=12, ffn_dim=8960, num_layers=30)
WAN_I2V_14B = replace(WAN_T2V_14B, in_channels=36, image_dim=1280, added_kv_proj_dim=5120)
WAN_TI2V_5B = replace(
    WAN_T2V_14B, num_attention_heads=24, in_channels=48, out_channels=48, ffn_dim=14336, num_layers=30
)
