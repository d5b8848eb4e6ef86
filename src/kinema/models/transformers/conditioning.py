"""From conditions to embeddings: noise level, guidance, pooled text, camera and numbers; and the text's way to the width.

Legend: b batch, t latent frames, g noise levels, u and v embeddings (1 or t), n text tokens, d width,
k camera numbers, s scalars. Noise levels and guidance enter their sinusoids times 1000, as in published weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kinema.models.layers.embeddings import MlpEmbedding, sinusoid
from kinema.models.transformers.blocks import RefinerBlock
from kinema.models.transformers.config import SCALAR_DIM, TIME_DIM, VideoTransformerConfig


class ScalarEmbedding(nn.Module):
    """One number of at least 0, felt by its ratio to others; NaN stands for "not given" and has an embedding of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = MlpEmbedding(SCALAR_DIM, width)
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, value: Float[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """The embedding of ``value``."""
        missing = value.isnan()
        octaves = torch.log2(1 + value.float().masked_fill(missing, 0.0))
        # A hundred radians an octave at the fastest frequency tell 200 from 202; the slower ones carry the size.
        embedded = self.mlp(sinusoid(100 * octaves, SCALAR_DIM))
        return torch.where(missing[:, None], self.null, embedded)


class CameraEmbedding(MlpEmbedding):
    """The camera at every latent frame; a frame with a NaN has none and adds nothing."""

    def forward(self, x: Float[Tensor, "b t k"]) -> Float[Tensor, "b t d"]:
        """The embedding of every frame's camera."""
        missing = x.isnan().any(dim=-1, keepdim=True)
        return super().forward(x.masked_fill(missing, 0.0)).masked_fill(missing, 0.0)


class ConditionEmbedding(nn.Module):
    """The sum of the embeddings of all conditions that aren't tokens."""

    def __init__(self, config: VideoTransformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.timestep_embedder = MlpEmbedding(TIME_DIM, width)
        self.text_embedder = MlpEmbedding(config.pooled_projection_dim, width)
        self.guidance_embedder = MlpEmbedding(TIME_DIM, width) if config.guidance_embeds else None
        self.camera_embedder = CameraEmbedding(config.camera_dim, width) if config.camera_dim else None
        self.scalar_embedders = nn.ModuleDict({name: ScalarEmbedding(width) for name in config.scalar_conditions})

    def forward(
        self,
        sigma: Float[Tensor, "b g"],
        pooled: Float[Tensor, "b p"],
        *,
        guidance: Float[Tensor, " b"] | None,
        camera: Float[Tensor, "b t k"] | None,
        scalars: Float[Tensor, "b s"] | None,
        num_frames: int,
    ) -> tuple[Float[Tensor, "b u d"], Float[Tensor, "b 1 d"], Float[Tensor, "b v d"]]:
        """(video, text, final): what modulates the video's frames, the text, and the video after the last block."""
        clean = self.text_embedder(pooled)[:, None]
        for i, embedder in enumerate(self.scalar_embedders.values()):
            value = pooled.new_full(pooled.shape[:1], torch.nan) if scalars is None else scalars[:, i]
            clean = clean + embedder(value)[:, None]
        common = clean
        if self.guidance_embedder is not None and guidance is not None:
            common = clean + self.guidance_embedder(sinusoid(1000 * guidance.float(), TIME_DIM))[:, None]
        video = text = self._time(sigma) + common
        if sigma.shape[1] > 1:
            text = self._time(sigma.amax(dim=1, keepdim=True)) + common
        if self.camera_embedder is not None and camera is not None:
            video = video + self.camera_embedder(camera)
        if self.config.image_condition_type != "token_replace":
            return video, text, video
        # As published: the first frame is clean, without guidance, in the blocks, but not at the very end.
        first = clean + self._time(torch.zeros_like(sigma[:, :1]))
        return torch.cat([first, video.expand(-1, num_frames, -1)[:, 1:]], dim=1), text, video

    def _time(self, sigma: Tensor) -> Tensor:
        return self.timestep_embedder(sinusoid(1000 * sigma.float(), TIME_DIM))


class _RefinerCondition(nn.Module):
    """The refiner's embedding of the noise level and of the text's mean."""

    def __init__(self, text_dim: int, width: int) -> None:
        super().__init__()
        self.timestep_embedder = MlpEmbedding(TIME_DIM, width)
        self.text_embedder = MlpEmbedding(text_dim, width)

    def forward(self, sigma: Tensor, mean: Tensor) -> Tensor:
        return self.timestep_embedder(sinusoid(1000 * sigma.float(), TIME_DIM)) + self.text_embedder(mean)


class _RefinerBlocks(nn.Module):
    """The list of blocks under its published name."""

    def __init__(self, width: int, num_heads: int, num_blocks: int) -> None:
        super().__init__()
        self.refiner_blocks = nn.ModuleList([RefinerBlock(width, num_heads) for _ in range(num_blocks)])


class TokenRefiner(nn.Module):
    """Text tokens brought to the width, and refined among themselves if there are refiner blocks."""

    def __init__(self, config: VideoTransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.proj_in = nn.Linear(config.text_embed_dim, width)
        self.num_blocks = config.num_refiner_layers
        if self.num_blocks:
            self.time_text_embed = _RefinerCondition(config.text_embed_dim, width)
            self.token_refiner = _RefinerBlocks(width, config.num_attention_heads, self.num_blocks)

    def forward(
        self, text: Float[Tensor, "b n e"], sigma: Float[Tensor, " b"], mask: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b n d"]:
        """Refined tokens; those of the padding are finite and mean nothing."""
        tokens = self.proj_in(text)
        if not self.num_blocks:
            return tokens
        if mask is None:
            mean, keys = text.float().mean(dim=1), None
        else:
            weights = mask.float()[..., None]
            mean = (text.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
            # Without a single key attention would be NaN; an empty text sees its first padding.
            first = mask[:, :1] | ~mask.any(dim=1, keepdim=True)
            keys = torch.cat([first, mask[:, 1:]], dim=1)[:, None, None]
        signal = F.silu(self.time_text_embed(sigma, mean))[:, None]
        for block in self.token_refiner.refiner_blocks:
            tokens = block(tokens, signal, keys)
        return tokens
