"""LTX-Video's transformer: attention over the video's tokens, whose places are told in seconds and pixels, then to the text's.

Legend: b batch, c o channels in and out, t h w latent frames, height and width, n video tokens (row-major in t, h, w),
m text tokens, k keys, e text channels, d width, f pairs of the width's channels,
g groups of tokens with a noise level of their own: 1, one per latent frame, or n.
Source: LTX-Video (arXiv 2501.00103); names and order of operations are those of its published weights.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.layers.attention import KeyMask, attend, split_heads
from kinema.models.layers.embeddings import LevelEmbedding, MlpEmbedding
from kinema.models.layers.norms import RmsNorm, layer_norm, rms_norm
from kinema.models.layers.rope import Table, apply_rope
from kinema.models.transformers.blocks import FeedForward
from kinema.models.transformers.initialise import init_with_tables
from kinema.models.transformers.ltx_config import LtxTransformerConfig
from kinema.models.transformers.modulation import add_gated, modulate

Tokens = Float[Tensor, "b n d"]
Text = Float[Tensor, "b m d"]
# Seconds of a latent frame, pixels of a latent row and of a latent column.
Spacing = tuple[float, float, float]

_QK_EPS = 1e-5
_THETA = 10000.0
# Places are counted in shares of this many seconds and pixels.
_EXTENT: Spacing = (20.0, 2048.0, 2048.0)


class Attention(nn.Module):
    """Attention of the video's tokens to each other or to the text's. Norms and rotations span all heads."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.norm_q, self.norm_k = RmsNorm(width, eps=_QK_EPS), RmsNorm(width, eps=_QK_EPS)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tokens, seen: Float[Tensor, "b k d"], mask: KeyMask, rope: Table | None) -> Tokens:
        """What every token of ``x`` gathers from those of ``seen`` that ``mask`` leaves."""
        q, k, v = self.norm_q(self.to_q(x)), self.norm_k(self.to_k(seen)), self.to_v(seen)
        if rope is not None:
            q, k = (apply_rope(y[:, :, None], rope)[:, :, 0] for y in (q, k))
        q, k, v = (split_heads(y.to(v.dtype), self.num_heads) for y in (q, k, v))
        return self.to_out[0](attend(q, k, v, mask))


class LtxBlock(nn.Module):
    """Modulated self-attention, plain cross-attention without a norm before it, modulated feed-forward."""

    def __init__(self, config: LtxTransformerConfig) -> None:
        super().__init__()
        width, heads = config.width, config.num_attention_heads
        self.attn1, self.attn2 = Attention(width, heads), Attention(width, heads)
        self.ff = FeedForward(width, 4 * width, "gelu")
        self.scale_shift_table = nn.Parameter(torch.zeros(6, width))

    def forward(self, x: Tokens, text: Text, mask: KeyMask, signal: Float[Tensor, "b g 6 d"], rope: Table) -> Tokens:
        """The tokens after the block."""
        shift, scale, gate, ff_shift, ff_scale, ff_gate = (signal + self.scale_shift_table).unbind(dim=2)
        normed = modulate(rms_norm(x), shift, scale)
        x = add_gated(x, gate, self.attn1(normed, normed, None, rope))
        x = x + self.attn2(x, text, mask, None)
        return add_gated(x, ff_gate, self.ff(modulate(rms_norm(x), ff_shift, ff_scale)))


class LevelSignal(nn.Module):
    """The noise level on its way to the blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = LevelEmbedding(width)
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, sigma: Float[Tensor, "b g"]) -> tuple[Float[Tensor, "b g d"], Float[Tensor, "b g 6 d"]]:
        """(embedded noise level, what modulates the blocks)."""
        embedded = self.emb(1000 * sigma.float())
        return embedded, self.linear(F.silu(embedded)).unflatten(-1, (6, -1))


class LtxTransformer(nn.Module):
    """Noisy latents, their noise level and text to the velocity noise - x0."""

    def __init__(self, config: LtxTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.proj_in = nn.Linear(config.in_channels, config.width)
        self.scale_shift_table = nn.Parameter(torch.zeros(2, config.width))
        self.time_embed = LevelSignal(config.width)
        self.caption_projection = MlpEmbedding(config.caption_channels, config.width, "gelu")
        self.transformer_blocks = nn.ModuleList([LtxBlock(config) for _ in range(config.num_layers)])
        self.proj_out = nn.Linear(config.width, config.out_channels)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Fills every parameter from ``generator``: variance-keeping weights, unit norms, zero biases; the velocity is zero."""
        init_with_tables(self, self.config.width, generator)
        self.proj_out.weight.zero_()

    def forward(
        self,
        latents: Float[Tensor, "b c t h w"],
        sigma: Float[Tensor, " b"] | Float[Tensor, "b g"],
        text: Float[Tensor, "b m e"],
        text_mask: Bool[Tensor, "b m"] | None,
        *,
        spacing: Spacing,
    ) -> Float[Tensor, "b o t h w"]:
        """The velocity, in the dtype of ``latents``.

        Args:
            latents: noisy ones.
            sigma: noise level in [0, 1]: one for all tokens, one per latent frame, or one per token.
            text: of any length, at least one token of which ``text_mask`` leaves in every sample.
            text_mask: True where the text's tokens are words; None: everywhere.
            spacing: what a step along each axis of the latents is in seconds and pixels: a faster clip is one of shorter steps.

        Raises: InvalidInput for inputs of other shapes than the configuration's.
        """
        grid = self._check(latents, sigma, text, spacing)
        rope = place_table(grid, spacing, self.config.width, device=latents.device)
        embedded, signal = self.time_embed(sigma[:, None] if sigma.ndim == 1 else sigma)
        mask = None if text_mask is None else text_mask[:, None, None]

        tokens = self.proj_in(rearrange(latents, "b c t h w -> b (t h w) c").to(self.proj_in.weight.dtype))
        words = self.caption_projection(text).to(tokens.dtype)
        tokens = self.through_blocks(tokens, words, mask, signal.to(tokens.dtype), rope)

        shift, scale = (embedded[:, :, None] + self.scale_shift_table).unbind(dim=2)
        velocity = self.proj_out(modulate(layer_norm(tokens), shift, scale).to(tokens.dtype))
        t, h, w = grid
        return rearrange(velocity, "b (t h w) o -> b o t h w", t=t, h=h, w=w).to(latents.dtype)

    def through_blocks(self, tokens: Tensor, text: Tensor, mask: KeyMask, signal: Tensor, rope: Table) -> Tensor:
        """What all blocks make of ``tokens``; `kinema.accel.step_cache` leaves this out in some steps."""
        for block in self.transformer_blocks:
            tokens = block(tokens, text, mask, signal, rope)
        return tokens

    def _check(self, latents: Tensor, sigma: Tensor, text: Tensor, spacing: Spacing) -> tuple[int, int, int]:
        """The grid of tokens. Raises: InvalidInput for what would otherwise fail deep inside."""
        t, h, w = latents.shape[2:]
        if latents.shape[1] != self.config.in_channels or not t * h * w:
            rule = f"must have {self.config.in_channels} channels and at least one place"
            raise InvalidInput("latents", tuple(latents.shape), rule)
        if sigma.ndim == 2 and sigma.shape[1] not in (1, t, t * h * w):
            rule = f"must have one value, or one for each of {t} frames, or of all {t * h * w} tokens"
            raise InvalidInput("sigma", tuple(sigma.shape), rule)
        if text.shape[2] != self.config.caption_channels:
            raise InvalidInput("text", tuple(text.shape), f"must have {self.config.caption_channels} channels")
        if not all(math.isfinite(step) and step > 0 for step in spacing):
            raise InvalidInput("spacing", spacing, "must be three numbers above 0")
        return t, h, w


def place_table(
    grid: tuple[int, int, int], spacing: Spacing, width: int, *, device: torch.device | None = None
) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n f"]]:
    """(cos, sin) for every token of ``grid``, over the whole width: frequencies one after the other, each for t, h, w in turn.

    A place turns by its share of the extent, from -1 to 1, times pi/2 to pi/2 theta. Pairs that are left over stand still, in front.
    """
    num_frequencies = width // 6
    exponents = torch.linspace(0, 1, num_frequencies, dtype=torch.float32, device=device)
    frequencies = _THETA**exponents * math.pi / 2
    axes = []
    for size, step, extent in zip(grid, spacing, _EXTENT, strict=True):
        places = torch.arange(size, dtype=torch.float32, device=device) * step / extent
        axes.append(frequencies * (places[:, None] * 2 - 1))
    t, h, w = grid
    angles = torch.stack(
        [
            axes[0][:, None, None].expand(t, h, w, num_frequencies),
            axes[1][None, :, None].expand(t, h, w, num_frequencies),
            axes[2][None, None].expand(t, h, w, num_frequencies),
        ],
        dim=-1,
    )
    turned = rearrange(angles, "t h w r a -> (t h w) (r a)")
    still = turned.new_zeros(len(turned), width // 2 - turned.shape[1])
    angles = torch.cat([still, turned], dim=1)
    return angles.cos(), angles.sin()
