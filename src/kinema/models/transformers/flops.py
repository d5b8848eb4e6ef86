"""How many floating-point operations a forward of the video transformer takes. Standard library only."""

from __future__ import annotations

from kinema.models.transformers.config import SCALAR_DIM, TIME_DIM, VideoTransformerConfig


def flops(
    config: VideoTransformerConfig,
    num_video_tokens: int,
    num_text_tokens: int,
    batch: int = 1,
    *,
    num_frames: int = 1,
    per_frame_sigma: bool = False,
    camera: bool = False,
) -> int:
    """Operations of the matrix products and attention of one forward, a multiplication and an addition counted as two.

    A training step is about three times as many. Norms, activations and rotations aren't counted.

    Args:
        num_video_tokens: of one sample, over all frames.
        num_frames: token frames; they matter where frames have their own modulation.
        per_frame_sigma: whether the noise level is given per frame.
        camera: whether the camera is given.
    """
    d, tokens = config.width, num_video_tokens + num_text_tokens
    attention = 4 * tokens**2 * d
    dual = tokens * (8 * d * d + 4 * d * config.mlp_width) + attention
    single = tokens * (6 * d * d + 2 * d * config.mlp_width + 2 * (d + config.mlp_width) * d) + attention
    ends = 2 * num_video_tokens * config.patch_volume * d * (config.embedded_channels + config.out_channels)
    per_sample = config.num_layers * dual + config.num_single_layers * single + ends
    per_sample += _text(config, num_text_tokens)
    per_sample += _conditions(config, num_frames, per_frame_sigma, camera)
    return batch * per_sample


def _text(config: VideoTransformerConfig, tokens: int) -> int:
    d = config.width
    total = 2 * tokens * config.text_embed_dim * d
    if config.num_refiner_layers:
        total += _mlp(TIME_DIM, d) + _mlp(config.text_embed_dim, d)
        # Four projections, a feed-forward layer of ratio 4, attention, and a modulation of two vectors.
        total += config.num_refiner_layers * (24 * tokens * d * d + 4 * tokens**2 * d + 4 * d * d)
    return total


def _conditions(config: VideoTransformerConfig, num_frames: int, per_frame_sigma: bool, camera: bool) -> int:
    d = config.width
    levels = num_frames if per_frame_sigma else 1
    clean = config.image_condition_type == "token_replace"
    final_groups = num_frames if per_frame_sigma or camera else 1
    groups = num_frames if clean else final_groups
    # With a level per frame the text takes the largest, and a clean first frame has another embedding.
    total = (levels + (levels > 1) + clean + config.guidance_embeds) * _mlp(TIME_DIM, d)
    total += _mlp(config.pooled_projection_dim, d) + len(config.scalar_conditions) * _mlp(SCALAR_DIM, d)
    if camera:
        total += num_frames * _mlp(config.camera_dim, d)
    num_dual, num_single = (1, 1) if config.shared_modulation else (config.num_layers, config.num_single_layers)
    total += (groups + 1) * 2 * d * d * (6 * num_dual + 3 * num_single)
    return total + final_groups * 4 * d * d


def _mlp(in_dim: int, width: int) -> int:
    return 2 * width * (in_dim + width)
