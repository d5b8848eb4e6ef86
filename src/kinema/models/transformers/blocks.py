"""Blocks of the video transformer. Attribute names are those of published weights.

Legend: b batch, n (video) tokens, m text tokens, h heads, e channels of a head, d width,
g groups of modulation, i signal channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from kinema.models.layers.attention import KeyMask, attend, split_heads
from kinema.models.layers.linear import GeluLinear
from kinema.models.layers.norms import EPS, RmsNorm, layer_norm
from kinema.models.layers.rope import Table, apply_rope
from kinema.models.transformers.modulation import Modulation, add_gated, modulate

Tokens = Float[Tensor, "b n d"]
Text = Float[Tensor, "b m d"]
# (of the video, of the text): what the blocks' modulations are made from.
Signals = tuple[Float[Tensor, "b g i"], Float[Tensor, "b 1 i"]]


class SelfAttention(nn.Module):
    """Attention within one stream, with or without QK norm and output projection."""

    def __init__(self, width: int, num_heads: int, *, qk_norm: bool, project: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.norm_q = RmsNorm(width // num_heads) if qk_norm else None
        self.norm_k = RmsNorm(width // num_heads) if qk_norm else None
        self.to_out = nn.ModuleList([nn.Linear(width, width)]) if project else None

    def forward(self, x: Tokens, mask: KeyMask, rope: Table | None) -> Tokens:
        """What every token gathers from those that ``mask`` leaves."""
        q, k, v = (split_heads(to(x), self.num_heads) for to in (self.to_q, self.to_k, self.to_v))
        if self.norm_q is not None and self.norm_k is not None:
            q, k = self.norm_q(q), self.norm_k(k)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        out = attend(q, k, v, mask)
        return out if self.to_out is None else self.to_out[0](out)


class JointAttention(nn.Module):
    """Attention over video and text together, each with its own projections."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(width, width) for _ in range(3))
        self.norm_q, self.norm_k, self.norm_added_q, self.norm_added_k = (RmsNorm(width // num_heads) for _ in range(4))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.to_add_out = nn.Linear(width, width)

    def forward(self, video: Tokens, text: Text, mask: KeyMask, rope: Table) -> tuple[Tokens, Text]:
        """What video and text tokens gather from both."""
        q, k, v = (split_heads(to(video), self.num_heads) for to in (self.to_q, self.to_k, self.to_v))
        text_q, text_k, text_v = (
            split_heads(to(text), self.num_heads) for to in (self.add_q_proj, self.add_k_proj, self.add_v_proj)
        )
        q = apply_rope(torch.cat([self.norm_q(q), self.norm_added_q(text_q)], dim=1), rope)
        k = apply_rope(torch.cat([self.norm_k(k), self.norm_added_k(text_k)], dim=1), rope)
        out = attend(q, k, torch.cat([v, text_v], dim=1), mask)
        num_video = video.shape[1]
        return self.to_out[0](out[:, :num_video]), self.to_add_out(out[:, num_video:])


class _InProjection(nn.Module):
    """A linear layer under the name ``proj``, as published weights have it; with its activation where that is "gelu"."""

    def __init__(self, in_dim: int, out_dim: int, activation: str) -> None:
        super().__init__()
        self.proj = (GeluLinear if activation == "gelu" else nn.Linear)(in_dim, out_dim)

    def forward(self, x: Tokens) -> Float[Tensor, "b n o"]:
        return self.proj(x)


class FeedForward(nn.Module):
    """Two linear layers with an activation: "gelu" (its tanh approximation), "gelu_exact" or "silu"."""

    def __init__(self, width: int, inner_width: int, activation: str, *, out_width: int | None = None) -> None:
        super().__init__()
        self.activation = activation
        # Published weights have a dropout between the two.
        self.net = nn.ModuleList(
            [_InProjection(width, inner_width, activation), nn.Identity(), nn.Linear(inner_width, out_width or width)]
        )

    def forward(self, x: Tokens) -> Float[Tensor, "b n o"]:
        """The layer's update."""
        x = self.net[0](x)
        if self.activation != "gelu":
            x = F.silu(x) if self.activation == "silu" else F.gelu(x)
        return self.net[2](x)


class DualBlock(nn.Module):
    """Video and text each with their own weights, joined in attention."""

    def __init__(self, width: int, num_heads: int, mlp_width: int, *, shared_modulation: bool) -> None:
        super().__init__()
        self.norm1 = Modulation(width, 6, shared=shared_modulation)
        self.norm1_context = Modulation(width, 6, shared=shared_modulation)
        self.attn = JointAttention(width, num_heads)
        self.ff = FeedForward(width, mlp_width, "gelu")
        self.ff_context = FeedForward(width, mlp_width, "gelu")

    def forward(self, video: Tokens, text: Text, signals: Signals, mask: KeyMask, rope: Table) -> tuple[Tokens, Text]:
        """(video, text) after the block."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.norm1(signals[0])
        text_shift, text_scale, text_gate, text_mlp_shift, text_mlp_scale, text_mlp_gate = self.norm1_context(
            signals[1]
        )

        attended, text_attended = self.attn(
            modulate(layer_norm(video), shift, scale), modulate(layer_norm(text), text_shift, text_scale), mask, rope
        )
        video = add_gated(video, gate, attended)
        text = add_gated(text, text_gate, text_attended)

        video = add_gated(video, mlp_gate, self.ff(modulate(layer_norm(video), mlp_shift, mlp_scale)))
        text = add_gated(
            text, text_mlp_gate, self.ff_context(modulate(layer_norm(text), text_mlp_shift, text_mlp_scale))
        )
        return video, text


class SingleBlock(nn.Module):
    """Video and text in one sequence, attention beside the feed-forward layer.

    The streams stay apart outside the sequence: frames have their own modulation, text has its own, and the residual
    needs no copy.
    """

    def __init__(self, width: int, num_heads: int, mlp_width: int, *, shared_modulation: bool) -> None:
        super().__init__()
        self.norm = Modulation(width, 3, shared=shared_modulation)
        self.attn = SelfAttention(width, num_heads, qk_norm=True, project=False)
        self.proj_mlp = GeluLinear(width, mlp_width)
        self.proj_out = nn.Linear(width + mlp_width, width)

    def forward(self, video: Tokens, text: Text, signals: Signals, mask: KeyMask, rope: Table) -> tuple[Tokens, Text]:
        """(video, text) after the block."""
        (shift, scale, gate), (text_shift, text_scale, text_gate) = self.norm(signals[0]), self.norm(signals[1])
        x = torch.cat(
            [modulate(layer_norm(video), shift, scale), modulate(layer_norm(text), text_shift, text_scale)], dim=1
        )
        update = self.proj_out(torch.cat([self.attn(x, mask, rope), self.proj_mlp(x)], dim=-1))
        num_video = video.shape[1]
        return add_gated(video, gate, update[:, :num_video]), add_gated(text, text_gate, update[:, num_video:])


class RefinerBlock(nn.Module):
    """Attention and feed-forward over the text alone, gated by the noise level and the text's mean."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = SelfAttention(width, num_heads, qk_norm=False, project=True)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.ff = FeedForward(width, 4 * width, "silu")
        self.norm_out = Modulation(width, 2, shared=False)

    def forward(self, text: Tokens, signal: Float[Tensor, "b 1 d"], mask: KeyMask) -> Tokens:
        """The text after the block."""
        gate, mlp_gate = self.norm_out(signal)
        text = add_gated(text, gate, self.attn(self.norm1(text), mask, None))
        return add_gated(text, mlp_gate, self.ff(self.norm2(text)))
