"""HunyuanVideo's dual-stream then single-stream transformer, at any width: one class for the shipped model and the 13B.

Legend: b batch, c channels, t h w latent frames, height and width, p patch, n text tokens, e text channels, q pooled text
channels, k camera numbers, s scalars, d width. Tokens are video first (row-major in t, h, w), then text.
Source: HunyuanVideo (arXiv 2412.03603), section 4.3; names and order of operations are those of its published weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.layers.attention import KeyMask
from kinema.models.layers.norms import layer_norm
from kinema.models.layers.patches import PatchConv3d
from kinema.models.layers.rope import Table, rope_table
from kinema.models.transformers.blocks import DualBlock, SingleBlock
from kinema.models.transformers.conditioning import ConditionEmbedding, TokenRefiner
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.initialise import init_transformer
from kinema.models.transformers.modulation import Modulation, modulate

# (of the video, of the text): what the modulations of the dual blocks, or those of the single ones, are made from
_Signals = tuple[Tensor, Tensor]


class PatchEmbedding(nn.Module):
    """Patches of latents to tokens."""

    def __init__(self, channels: int, width: int, patch: tuple[int, int, int]) -> None:
        super().__init__()
        self.proj = PatchConv3d(channels, width, patch)

    def forward(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b n d"]:
        """A token for every patch."""
        return self.proj(latents)


class SharedModulation(nn.Module):
    """The projections that all blocks of a kind share."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.video = nn.Linear(width, 6 * width)
        self.text = nn.Linear(width, 6 * width)
        self.single = nn.Linear(width, 3 * width)


class VideoTransformer(nn.Module):
    """Noisy latents, their noise level, text and other conditions to the velocity noise - x0."""

    def __init__(self, config: VideoTransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.num_attention_heads
        self.x_embedder = PatchEmbedding(config.embedded_channels, width, config.patch)
        self.context_embedder = TokenRefiner(config)
        self.time_text_embed = ConditionEmbedding(config)
        shared = config.shared_modulation
        self.shared_modulation = SharedModulation(width) if shared else None
        self.transformer_blocks = nn.ModuleList(
            [DualBlock(width, heads, config.mlp_width, shared_modulation=shared) for _ in range(config.num_layers)]
        )
        self.single_transformer_blocks = nn.ModuleList(
            [
                SingleBlock(width, heads, config.mlp_width, shared_modulation=shared)
                for _ in range(config.num_single_layers)
            ]
        )
        self.norm_out = Modulation(width, 2, shared=False)
        self.proj_out = nn.Linear(width, config.patch_volume * config.out_channels)

    def init_weights(self, generator: torch.Generator) -> None:
        """Fills every parameter from ``generator``; every block is then the identity and the velocity zero."""
        init_transformer(self, generator)

    def forward(  # noqa: PLR0913 - every condition is one named tensor
        self,
        latents: Float[Tensor, "b c t h w"],
        sigma: Float[Tensor, " b"] | Float[Tensor, "b t"],
        text: Float[Tensor, "b n e"],
        text_mask: Bool[Tensor, "b n"] | None,
        pooled: Float[Tensor, "b q"],
        *,
        guidance: Float[Tensor, " b"] | None = None,
        known: Float[Tensor, "b c2 t h w"] | None = None,
        known_mask: Float[Tensor, "b 1 t h w"] | None = None,
        camera: Float[Tensor, "b t k"] | None = None,
        scalars: Float[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b o t h w"]:
        """The velocity, in the dtype of ``latents``.

        Args:
            sigma: noise level in [0, 1], one for all frames or one per latent frame. Text takes the largest.
            text_mask: which text tokens are real; None: all, which is faster.
            guidance: the scale a guidance-distilled model was asked for.
            known: latents that are given, and ``known_mask`` where (1) and where not (0); zeros if None.
            camera: per latent frame; a frame with NaN has none.
            scalars: in the order of ``config.scalar_conditions``; NaN: not given.

        Raises: InvalidInput for an input that the configuration lacks or needs, or a size that patches don't fill.
        """
        self._check(latents, sigma, known, known_mask, camera)
        self._check_vectors(guidance, scalars)
        grid = tuple(size // patch for size, patch in zip(latents.shape[2:], self.config.patch, strict=True))
        axes, theta = self.config.rope_axes_dim, self.config.rope_theta
        rope = rope_table(grid, axes, theta=theta, num_unrotated=text.shape[1], device=latents.device)
        # A patch in time has the largest noise level of its frames, and their mean camera.
        levels = sigma[:, None] if sigma.ndim == 1 else sigma.unflatten(1, (grid[0], -1)).amax(dim=2)
        camera = None if camera is None else camera.unflatten(1, (grid[0], -1)).mean(dim=2)
        video_embedding, text_embedding, final_embedding = self.time_text_embed(
            levels, pooled, guidance=guidance, camera=camera, scalars=scalars, num_frames=grid[0]
        )

        text_mask = _mask_if_needed(text_mask)
        video_tokens = self.x_embedder(self._with_known(latents, known, known_mask))
        text_tokens = self.context_embedder(text.to(video_tokens.dtype), levels.amax(dim=1), text_mask)
        mask = None if text_mask is None else F.pad(text_mask, (video_tokens.shape[1], 0), value=True)[:, None, None]

        signals = self._signals(F.silu(video_embedding), F.silu(text_embedding))
        video_tokens = self.through_blocks(video_tokens, text_tokens, signals, mask, rope)

        scale, shift = self.norm_out(F.silu(final_embedding))
        patches = self.proj_out(modulate(layer_norm(video_tokens), shift, scale))
        (t, h, w), (pt, ph, pw) = grid, self.config.patch
        velocity = rearrange(
            patches, "b (t h w) (c pt ph pw) -> b c (t pt) (h ph) (w pw)", t=t, h=h, w=w, pt=pt, ph=ph, pw=pw
        )
        return velocity.to(latents.dtype)

    def through_blocks(
        self, video: Tensor, text: Tensor, signals: tuple[_Signals, _Signals], mask: KeyMask, rope: Table
    ) -> Tensor:
        """What all blocks make of the ``video`` tokens; `kinema.accel.step_cache` leaves this out in some steps."""
        dual, single = signals
        for block in self.transformer_blocks:
            video, text = block(video, text, dual, mask, rope)
        for block in self.single_transformer_blocks:
            video, text = block(video, text, single, mask, rope)
        return video

    def _signals(self, video: Tensor, text: Tensor) -> tuple[_Signals, _Signals]:
        """What the modulations of the dual and of the single blocks are made from, each (of video, of text)."""
        shared = self.shared_modulation
        if shared is None:
            return (video, text), (video, text)
        return (shared.video(video), shared.text(text)), (shared.single(video), shared.single(text))

    def _with_known(self, latents: Tensor, known: Tensor | None, known_mask: Tensor | None) -> Tensor:
        if not self.config.known_channels:
            return latents
        b, _, t, h, w = latents.shape
        if known is None or known_mask is None:
            return torch.cat([latents, latents.new_zeros(b, self.config.known_channels + 1, t, h, w)], dim=1)
        return torch.cat([latents, known.to(latents.dtype), known_mask.to(latents.dtype)], dim=1)

    def _check(
        self, latents: Tensor, sigma: Tensor, known: Tensor | None, known_mask: Tensor | None, camera: Tensor | None
    ) -> None:
        """Raises: InvalidInput for what would otherwise be ignored in silence or fail deep inside."""
        config, size = self.config, latents.shape[2:]
        if latents.shape[1] != config.in_channels:
            raise InvalidInput("latents", tuple(latents.shape), f"must have {config.in_channels} channels")
        if any(length % patch or not length for length, patch in zip(size, config.patch, strict=True)):
            raise InvalidInput("latents", tuple(size), f"(t, h, w) must be multiples of the patch {config.patch}")
        if sigma.ndim == 2 and sigma.shape[1] != size[0]:
            raise InvalidInput(
                "sigma", tuple(sigma.shape), f"must have one value, or one for each of {size[0]} latent frames"
            )
        if (known is None) != (known_mask is None):
            raise InvalidInput("known_mask", "None" if known_mask is None else "given", "goes together with known")
        for field, value, shape in (
            ("known", known, (config.known_channels, *size)),
            ("known_mask", known_mask, (1, *size)),
            ("camera", camera, (size[0], config.camera_dim)),
        ):
            if value is not None and (value.shape[1:] != shape or 0 in shape):
                rule = "this model has no such input" if 0 in shape else f"must be (b, {', '.join(map(str, shape))})"
                raise InvalidInput(field, tuple(value.shape), rule)

    def _check_vectors(self, guidance: Tensor | None, scalars: Tensor | None) -> None:
        """Raises: InvalidInput."""
        if (guidance is not None) != self.config.guidance_embeds:
            needs = "needs a" if self.config.guidance_embeds else "has no"
            raise InvalidInput(
                "guidance", "None" if guidance is None else "given", f"this model {needs} guidance input"
            )
        names = self.config.scalar_conditions
        if scalars is not None and (not names or scalars.shape[1:] != (len(names),)):
            rule = f"must be (b, {len(names)}): {', '.join(names)}" if names else "this model has no such input"
            raise InvalidInput("scalars", tuple(scalars.shape), rule)


def _mask_if_needed(text_mask: Tensor | None) -> Tensor | None:
    """None if every token is real. Not asked where the answer would break a compiled graph or wait for a device."""
    if text_mask is None or torch.compiler.is_compiling() or text_mask.device.type != "cpu":
        return text_mask
    return None if bool(text_mask.all()) else text_mask
