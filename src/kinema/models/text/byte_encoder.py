"""A text encoder over UTF-8 bytes, for any language: bytes, merged by four, attention, pooled to a few tokens.

Legend: b batch, l bytes (with begin and end, padded), n merged places (l / merge), m output tokens, d width, p pooled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.layers.attention import attend, split_heads
from kinema.models.layers.norms import RmsNorm
from kinema.models.layers.rope import Table, apply_rope, rope_table

BOS, EOS, PAD = 256, 257, 258
VOCABULARY = 259
MAX_BYTES = 256
# Few different lengths, so that a compiled model meets few shapes.
LENGTH_STEP = 16


@dataclass(frozen=True, kw_only=True)
class ByteTextEncoderConfig:
    """Sizes of a byte-level text encoder.

    Attributes:
        num_tokens: tokens that come out, whatever the length.
        merge: bytes that become one place; ``kernel`` of them are looked at, so that a character cut in two is seen whole.
    """

    width: int
    num_heads: int
    num_layers: int
    num_tokens: int
    pooled_dim: int
    mlp_width: int
    merge: int = 4
    kernel: int = 7
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        for field in ("width", "num_heads", "num_tokens", "pooled_dim", "mlp_width", "merge"):
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        if self.num_layers < 0:
            raise InvalidInput("num_layers", self.num_layers, "must be at least 0")
        if self.width % (2 * self.num_heads):
            raise InvalidInput("num_heads", self.num_heads, f"must divide the width {self.width} into even heads")
        if LENGTH_STEP % self.merge:
            raise InvalidInput("merge", self.merge, f"must divide {LENGTH_STEP}")
        if self.kernel <= self.merge:
            raise InvalidInput(
                "kernel", self.kernel, f"must be greater than merge = {self.merge}, so that neighbours overlap"
            )

    @property
    def head_dim(self) -> int:
        """Channels of a head."""
        return self.width // self.num_heads


MINI_TEXT = ByteTextEncoderConfig(width=192, num_heads=3, num_layers=3, num_tokens=24, pooled_dim=192, mlp_width=512)


def tokenize(texts: Sequence[str]) -> tuple[Int[Tensor, "b l"], Bool[Tensor, "b l"]]:
    """(ids, mask): begin, the text's UTF-8 bytes, end, and padding up to a common multiple of 16.

    Of a longer text the first 256 bytes count, less what would cut a character in two. An empty text is valid.
    """
    if not texts:
        raise InvalidInput("texts", [], "must hold at least one text")
    rows = [[BOS, *truncated(text), EOS] for text in texts]
    length = LENGTH_STEP * math.ceil(max(map(len, rows)) / LENGTH_STEP)
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    return ids, ids != PAD


def truncated(text: str, max_bytes: int = MAX_BYTES) -> bytes:
    """The UTF-8 bytes of as many characters of ``text`` as fit in ``max_bytes``; a lone surrogate becomes "?"."""
    data = text[:max_bytes].encode("utf-8", errors="replace")
    return data[:max_bytes].decode("utf-8", errors="ignore").encode("utf-8") if len(data) > max_bytes else data


class ByteTextEncoder(nn.Module):
    """Bytes to ``num_tokens`` tokens and one pooled vector."""

    def __init__(self, config: ByteTextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(VOCABULARY, config.width)
        self.merge = nn.Conv1d(config.width, config.width, config.kernel, stride=config.merge)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.num_layers)])
        self.norm = RmsNorm(config.width)
        self.pool = _Pool(config)
        self.to_pooled = nn.Linear(config.width, config.pooled_dim)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Fills every parameter from ``generator``: variance-keeping weights, zero biases, unit norms, small branches.

        Queries start small beside what they gather: otherwise tokens of different texts are alike at first.
        """
        branch = 1 / math.sqrt(2 * max(1, self.config.num_layers))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            std = 1 / math.sqrt(parameter[0].numel())
            if name in ("embedding.weight", "pool.queries"):
                std = 1.0 if name == "embedding.weight" else 0.2
            elif name.startswith("layers.") and name.endswith(("to_out.weight", "down.weight")):
                std *= branch
            values = torch.empty(parameter.shape)
            nn.init.trunc_normal_(values, std=std, a=-2 * std, b=2 * std, generator=generator)
            parameter.copy_(values)

    def forward(
        self, ids: Int[Tensor, "b l"], mask: Bool[Tensor, "b l"]
    ) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b m"], Float[Tensor, "b p"]]:
        """(tokens, mask, pooled): the mask is True everywhere, and padding changes nothing.

        Raises: InvalidInput for a length that isn't a multiple of ``merge``.
        """
        if ids.shape[1] % self.config.merge:
            raise InvalidInput(
                "ids", tuple(ids.shape), f"the length must be a multiple of {self.config.merge}; see tokenize"
            )
        x = self._merged(ids, mask)
        keys = mask[:, :: self.config.merge]
        rope = rope_table((x.shape[1],), (self.config.head_dim,), theta=self.config.rope_theta, device=x.device)
        for layer in self.layers:
            x = layer(x, keys[:, None, None], rope)
        out = self.pool(self.norm(x), keys[:, None, None])
        tokens, summary = out[:, :-1], out[:, -1]
        pooled = self.to_pooled(summary.to(self.to_pooled.weight.dtype))
        return tokens.to(pooled.dtype), keys.new_ones(tokens.shape[:2]), pooled

    def _merged(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(b n d): one place for every ``merge`` bytes, from the ``kernel`` bytes around them."""
        x = self.embedding(ids) * mask[..., None]
        overlap = self.config.kernel - self.config.merge
        x = F.pad(rearrange(x, "b l d -> b d l"), (math.ceil(overlap / 2), overlap // 2))
        return rearrange(self.merge(x), "b d n -> b n d")


class _Layer(nn.Module):
    """Pre-norm attention over all places, and a gated feed-forward layer."""

    def __init__(self, config: ByteTextEncoderConfig) -> None:
        super().__init__()
        self.norm1 = RmsNorm(config.width)
        self.attn = _Attention(config.width, config.num_heads)
        self.norm2 = RmsNorm(config.width)
        self.mlp = _SwiGlu(config.width, config.mlp_width)

    def forward(self, x: Tensor, mask: Tensor, rope: Table) -> Tensor:
        y = self.norm1(x)
        x = x + self.attn(y, y, mask, rope)
        return x + self.mlp(self.norm2(x))


class _Pool(nn.Module):
    """Learned queries that gather the text; the last one's token is the summary. Tokens come out normed."""

    def __init__(self, config: ByteTextEncoderConfig) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(config.num_tokens + 1, config.width))
        self.norm1 = RmsNorm(config.width)
        self.attn = _Attention(config.width, config.num_heads)
        self.norm2 = RmsNorm(config.width)
        self.mlp = _SwiGlu(config.width, config.mlp_width)
        self.norm3 = RmsNorm(config.width)

    def forward(self, places: Tensor, mask: Tensor) -> Tensor:
        x = self.queries.expand(places.shape[0], -1, -1)
        x = x + self.attn(self.norm1(x), places, mask, None)
        return self.norm3(x + self.mlp(self.norm2(x)))


class _Attention(nn.Module):
    """Attention of ``x`` to ``places``."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, places: Tensor, mask: Tensor, rope: Table | None) -> Tensor:
        x, places = x.to(self.to_q.weight.dtype), places.to(self.to_q.weight.dtype)
        q, k, v = (split_heads(y, self.num_heads) for y in (self.to_q(x), self.to_k(places), self.to_v(places)))
        if rope is not None:
            q, k = apply_rope(q, rope).to(v.dtype), apply_rope(k, rope).to(v.dtype)
        return self.to_out(attend(q, k, v, mask))


class _SwiGlu(nn.Module):
    """Gated feed-forward layer. Source: GLU Variants Improve Transformer (arXiv 2002.05202), eq. 6."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, inner_width, bias=False), nn.Linear(width, inner_width, bias=False)
        self.down = nn.Linear(inner_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.gate.weight.dtype)
        return self.down(F.silu(self.gate(x)) * self.up(x))
