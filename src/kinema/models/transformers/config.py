"""The video transformer's configuration and the published and shipped ones. Field names are those of published config files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kinema.core.errors import InvalidInput, choices

IMAGE_CONDITIONS = (None, "latent_concat", "token_replace")

# Sinusoids of noise levels and guidance, and of the numbers in ``scalars``.
TIME_DIM = 256
SCALAR_DIM = 64


@dataclass(frozen=True, kw_only=True)
class VideoTransformerConfig:
    """Sizes and conditions of a dual-stream then single-stream video transformer.

    Attributes:
        in_channels: channels of ``latents`` as they are passed, without the known frames that the model adds itself.
        num_layers: dual-stream blocks.
        num_single_layers: single-stream blocks.
        num_refiner_layers: blocks over the text alone, before the first dual block; 0 leaves a plain projection.
        guidance_embeds: whether the guidance scale is an input (a guidance-distilled model).
        rope_axes_dim: how a head's channels are shared between time, height and width.
        image_condition_type: "latent_concat": the caller concatenates a picture's latents and mask to the channels;
            "token_replace": the first latent frame is the given picture, at noise level 0.
        known_channels: channels of the known frames, concatenated with their one-channel mask; 0: no such input.
        camera_dim: numbers that describe the camera at a latent frame; 0: no such input.
        scalar_conditions: names of the numbers in ``scalars``, in their order.
        shared_modulation: one modulation for all dual blocks (a projection per stream) and one for all single blocks,
            plus a table per block. See `kinema.models.transformers.modulation`.
    """

    in_channels: int = 16
    out_channels: int = 16
    num_attention_heads: int
    attention_head_dim: int
    num_layers: int
    num_single_layers: int
    num_refiner_layers: int = 2
    mlp_ratio: float = 4.0
    patch_size: int = 2
    patch_size_t: int = 1
    guidance_embeds: bool = False
    text_embed_dim: int
    pooled_projection_dim: int
    rope_theta: float = 256.0
    rope_axes_dim: tuple[int, int, int]
    image_condition_type: str | None = None
    known_channels: int = 0
    camera_dim: int = 0
    scalar_conditions: tuple[str, ...] = ()
    shared_modulation: bool = False

    def __post_init__(self) -> None:
        for field in ("in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "patch_size", "patch_size_t",
                      "text_embed_dim", "pooled_projection_dim"):  # fmt: skip
            if getattr(self, field) < 1:
                raise InvalidInput(field, getattr(self, field), "must be at least 1")
        for field in ("num_layers", "num_single_layers", "num_refiner_layers", "known_channels", "camera_dim"):
            if getattr(self, field) < 0:
                raise InvalidInput(field, getattr(self, field), "must be at least 0")
        if self.image_condition_type not in IMAGE_CONDITIONS:
            raise InvalidInput(
                "image_condition_type", self.image_condition_type, f"must be {choices(IMAGE_CONDITIONS)}"
            )
        if sum(self.rope_axes_dim) != self.attention_head_dim or any(d % 2 or d < 0 for d in self.rope_axes_dim):
            rule = f"must be three even numbers whose sum is attention_head_dim = {self.attention_head_dim}"
            raise InvalidInput("rope_axes_dim", self.rope_axes_dim, rule)
        if len(set(self.scalar_conditions)) != len(self.scalar_conditions):
            raise InvalidInput("scalar_conditions", self.scalar_conditions, "must not repeat a name")

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def mlp_width(self) -> int:
        """Channels inside the feed-forward layers of the dual and single blocks."""
        return int(self.width * self.mlp_ratio)

    @property
    def patch(self) -> tuple[int, int, int]:
        """(t, h, w) of the latents that make a token."""
        return self.patch_size_t, self.patch_size, self.patch_size

    @property
    def patch_volume(self) -> int:
        """Latent places that make a token."""
        return self.patch_size_t * self.patch_size**2

    @property
    def embedded_channels(self) -> int:
        """Channels that the patch embedding sees: the latents, and the known frames with their mask."""
        return self.in_channels + (self.known_channels + 1 if self.known_channels else 0)


HUNYUAN_VIDEO = VideoTransformerConfig(
    num_attention_heads=24,
    attention_head_dim=128,
    num_layers=20,
    num_single_layers=40,
    guidance_embeds=True,
    text_embed_dim=4096,
    pooled_projection_dim=768,
    rope_axes_dim=(16, 56, 56),
)

# Image-to-video: first published with the picture on the channel axis, then with it in place of the first latent frame.
HUNYUAN_VIDEO_I2V_33CH = replace(
    HUNYUAN_VIDEO, in_channels=33, guidance_embeds=False, image_condition_type="latent_concat"
)
HUNYUAN_VIDEO_I2V = replace(HUNYUAN_VIDEO, image_condition_type="token_replace")

MINI = VideoTransformerConfig(
    num_attention_heads=4,
    attention_head_dim=64,
    num_layers=2,
    num_single_layers=7,
    num_refiner_layers=0,
    text_embed_dim=192,
    pooled_projection_dim=192,
    rope_axes_dim=(16, 24, 24),
    known_channels=16,
    camera_dim=7,
    scalar_conditions=("motion", "fps", "width", "height"),
    shared_modulation=True,
)
