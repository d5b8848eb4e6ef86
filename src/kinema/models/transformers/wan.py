"""Wan 2.1's and 2.2's transformer: attention over the video's tokens, then to the text's and an image's.

Legend: b batch, c o channels in and out, t h w latent frames, height and width, n video tokens (row-major in t, h, w),
m text tokens, e text channels, k image tokens, i image channels, d width, f sinusoid channels,
g groups of tokens with a noise level of their own: 1, one per frame of tokens, or n.
Source: Wan (arXiv 2503.20314); names and order of operations are those of its published weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.layers.attention import attend, split_heads
from kinema.models.layers.embeddings import MlpEmbedding, sinusoid
from kinema.models.layers.norms import Fp32LayerNorm, RmsNorm, layer_norm
from kinema.models.layers.patches import PatchConv3d
from kinema.models.layers.rope import Table, apply_rope, rope_table
from kinema.models.transformers.blocks import FeedForward
from kinema.models.transformers.initialise import init_with_tables
from kinema.models.transformers.modulation import add_gated, modulate
from kinema.models.transformers.wan_config import WanTransformerConfig

Tokens = Float[Tensor, "b n d"]
Text = Float[Tensor, "b m d"]
Image = Float[Tensor, "b k d"]


class SelfAttention(nn.Module):
    """Attention among the video's tokens. Norms span all heads."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.norm_q, self.norm_k = RmsNorm(width), RmsNorm(width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tokens, rope: Table) -> Tokens:
        """What every token gathers from all."""
        q = apply_rope(split_heads(self.norm_q(self.to_q(x)), self.num_heads), rope)
        k = apply_rope(split_heads(self.norm_k(self.to_k(x)), self.num_heads), rope)
        v = split_heads(self.to_v(x), self.num_heads)
        return self.to_out[0](attend(q.to(v.dtype), k.to(v.dtype), v, None))


class CrossAttention(nn.Module):
    """Attention of the video's tokens to the text's and, apart, to an image's; the two are added."""

    def __init__(self, width: int, num_heads: int, *, sees_image: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.norm_q, self.norm_k = RmsNorm(width), RmsNorm(width)
        if sees_image:
            self.add_k_proj, self.add_v_proj = nn.Linear(width, width), nn.Linear(width, width)
            self.norm_added_k = RmsNorm(width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tokens, text: Text, image: Image | None) -> Tokens:
        """What every token gathers from the text and the image."""
        q = self.norm_q(self.to_q(x))
        out = self._attend(q, self.norm_k(self.to_k(text)), self.to_v(text))
        if image is not None:
            out = out + self._attend(q, self.norm_added_k(self.add_k_proj(image)), self.add_v_proj(image))
        return self.to_out[0](out)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (split_heads(x.to(v.dtype), self.num_heads) for x in (q, k, v))
        return attend(q, k, v, None)


class WanBlock(nn.Module):
    """Modulated self-attention, plain cross-attention, modulated feed-forward; norms, modulation and sums are fp32."""

    def __init__(self, config: WanTransformerConfig) -> None:
        super().__init__()
        width, heads = config.width, config.num_attention_heads
        self.attn1 = SelfAttention(width, heads)
        self.attn2 = CrossAttention(width, heads, sees_image=config.image_dim is not None)
        self.norm2 = Fp32LayerNorm(width, eps=config.eps)
        self.ffn = FeedForward(width, config.ffn_dim, "gelu")
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 6, width))

    def forward(
        self, x: Tokens, text: Text, image: Image | None, signal: Float[Tensor, "b g 6 d"], rope: Table
    ) -> Tokens:
        """The tokens after the block, in their dtype."""
        vectors = (signal.float() + self.scale_shift_table.float()).unbind(dim=2)
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = vectors

        normed = modulate(layer_norm(x.float()), shift, scale).to(x.dtype)
        x = add_gated(x.float(), gate, self.attn1(normed, rope)).to(x.dtype)
        x = x + self.attn2(self.norm2(x).to(x.dtype), text, image)
        normed = modulate(layer_norm(x.float()), ffn_shift, ffn_scale).to(x.dtype)
        return add_gated(x.float(), ffn_gate, self.ffn(normed)).to(x.dtype)


class ImageEmbedding(nn.Module):
    """An image's tokens, with positions if the configuration says how many there are, brought to the width."""

    def __init__(self, in_dim: int, width: int, num_positions: int | None) -> None:
        super().__init__()
        self.norm1, self.norm2 = Fp32LayerNorm(in_dim), Fp32LayerNorm(width)
        self.ff = FeedForward(in_dim, in_dim, "gelu_exact", out_width=width)
        self.pos_embed = None if num_positions is None else nn.Parameter(torch.zeros(1, num_positions, in_dim))

    def forward(self, x: Float[Tensor, "b k i"]) -> Image:
        """The tokens, in the dtype of the weights."""
        if self.pos_embed is not None:
            x = x + self.pos_embed
        dtype = self.ff.net[2].weight.dtype
        return self.norm2(self.ff(self.norm1(x).to(dtype))).to(dtype)


class ConditionEmbedding(nn.Module):
    """Noise level, text and image, each on its way to the blocks."""

    def __init__(self, config: WanTransformerConfig) -> None:
        super().__init__()
        width, self.freq_dim = config.width, config.freq_dim
        self.time_embedder = MlpEmbedding(config.freq_dim, width)
        self.time_proj = nn.Linear(width, 6 * width)
        self.text_embedder = MlpEmbedding(config.text_dim, width, "gelu")
        self.image_embedder = None
        if config.image_dim is not None:
            self.image_embedder = ImageEmbedding(config.image_dim, width, config.pos_embed_seq_len)

    def forward(
        self, sigma: Float[Tensor, "b g"], text: Float[Tensor, "b m e"], image: Float[Tensor, "b k i"] | None
    ) -> tuple[Float[Tensor, "b g d"], Float[Tensor, "b g 6 d"], Text, Image | None]:
        """(embedded noise level, what modulates the blocks, text, image)."""
        embedded = self.time_embedder(sinusoid(1000 * sigma.float(), self.freq_dim))
        signal = self.time_proj(F.silu(embedded).to(self.time_proj.weight.dtype)).unflatten(-1, (6, -1))
        if image is not None:
            assert self.image_embedder is not None
            image = self.image_embedder(image)
        return embedded, signal, self.text_embedder(text), image


class WanTransformer(nn.Module):
    """Noisy latents, their noise level, text and perhaps an image to the velocity noise - x0.

    The two experts of an A14B model are two of these; which one serves a noise level is the sampler's matter.
    """

    # Parts of a tensor's name ("blocks.3.norm2.weight" has "norm2") that keep it in fp32 when the rest is loaded as
    # bf16; the forward takes any mixture. Source: the reference keeps these.
    fp32_parts: ClassVar[frozenset[str]] = frozenset({"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"})

    def __init__(self, config: WanTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = PatchConv3d(config.in_channels, config.width, config.patch_size)
        self.condition_embedder = ConditionEmbedding(config)
        self.blocks = nn.ModuleList([WanBlock(config) for _ in range(config.num_layers)])
        self.proj_out = nn.Linear(config.width, config.patch_volume * config.out_channels)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 2, config.width))

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
        *,
        image: Float[Tensor, "b k i"] | None = None,
    ) -> Float[Tensor, "b o t h w"]:
        """The velocity, in the dtype of ``latents``.

        Args:
            latents: noisy ones, and for image-to-video the image's mask and latents behind them on the channel axis.
            sigma: noise level in [0, 1]: one for all tokens, one per frame of tokens, or one per token. The published
                samplers round 1000 sigma down to a whole number; here nothing is rounded.
            text: of any length. Padding is zeros and read like words, as in training.
            image: its tokens (CLIP's last layer but one), which a model with ``image_dim`` needs.

        Raises: InvalidInput for an input that the configuration lacks or needs, or a size that patches don't fill.
        """
        grid = self._check(latents, sigma, text, image)
        rope = rope_table(grid, self.config.rope_axes_dim, theta=10000.0, device=latents.device)
        levels = sigma[:, None] if sigma.ndim == 1 else sigma
        embedded, signal, text, image = self.condition_embedder(levels, text, image)

        tokens = self.patch_embedding(latents)
        tokens = self.through_blocks(tokens, text.to(tokens.dtype), image, signal, rope)

        shift, scale = (embedded.float()[:, :, None] + self.scale_shift_table.float()).unbind(dim=2)
        patches = self.proj_out(modulate(layer_norm(tokens.float()), shift, scale).to(tokens.dtype))
        (t, h, w), (pt, ph, pw) = grid, self.config.patch_size
        velocity = rearrange(
            patches, "b (t h w) (pt ph pw o) -> b o (t pt) (h ph) (w pw)", t=t, h=h, w=w, pt=pt, ph=ph, pw=pw
        )
        return velocity.to(latents.dtype)

    def through_blocks(self, tokens: Tensor, text: Tensor, image: Tensor | None, signal: Tensor, rope: Table) -> Tensor:
        """What all blocks make of ``tokens``; `kinema.accel.step_cache` leaves this out in some steps."""
        for block in self.blocks:
            tokens = block(tokens, text, image, signal, rope)
        return tokens

    def _check(self, latents: Tensor, sigma: Tensor, text: Tensor, image: Tensor | None) -> tuple[int, int, int]:
        """The grid of tokens. Raises: InvalidInput for what would otherwise fail deep inside."""
        config, size = self.config, tuple(latents.shape[2:])
        if latents.shape[1] != config.in_channels:
            raise InvalidInput("latents", tuple(latents.shape), f"must have {config.in_channels} channels")
        if any(length % patch or not length for length, patch in zip(size, config.patch_size, strict=True)):
            raise InvalidInput("latents", size, f"(t, h, w) must be multiples of the patch {config.patch_size}")
        t, h, w = (length // patch for length, patch in zip(size, config.patch_size, strict=True))
        if max(t, h, w) > config.rope_max_seq_len:
            raise InvalidInput("latents", size, f"must make at most {config.rope_max_seq_len} tokens along an axis")
        if sigma.ndim == 2 and sigma.shape[1] not in (t, t * h * w):
            rule = f"must have one value, or one for each of {t} frames of tokens, or of all {t * h * w} tokens"
            raise InvalidInput("sigma", tuple(sigma.shape), rule)
        if text.shape[2] != config.text_dim:
            raise InvalidInput("text", tuple(text.shape), f"must have {config.text_dim} channels")
        self._check_image(image)
        return t, h, w

    def _check_image(self, image: Tensor | None) -> None:
        """Raises: InvalidInput."""
        dim, length = self.config.image_dim, self.config.pos_embed_seq_len
        if (image is None) != (dim is None):
            needs = "has no" if dim is None else "needs an"
            raise InvalidInput("image", "None" if image is None else "given", f"this model {needs} image input")
        if image is not None and (image.shape[2] != dim or length not in (None, image.shape[1])):
            rule = f"must be (b, {'any number' if length is None else length}, {dim})"
            raise InvalidInput("image", tuple(image.shape), rule)
