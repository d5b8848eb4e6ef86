from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import HunyuanVideoPipeline
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.flow.experts import expert_guidance, experts, first_expert_steps
from kinema.flow.guidance import Condition, Guidance
from kinema.flow.noise import batch_noise, noise
from kinema.flow.published import read_scheduler, timestep_at
from kinema.flow.sample import sample

SHAPE = (4, 3, 4, 6)
WAN: Any = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 11,
    "freq_dim": 16,
    "ffn_dim": 20,
    "num_layers": 1,
    "cross_attn_norm": True,
}


def wan(seed: int) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return WanTransformer3DModel(**WAN).eval()


def pipeline(**parts: Any) -> Any:
    """The reference's pipeline, with latents in and out."""
    rest: Any = {"tokenizer": None, "text_encoder": None, "vae": None}
    made = WanPipeline(**parts, **rest)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize(
    "boundary,scales",
    [
        (None, (4.0, None)),
        (0.875, (4.0, 3.0)),
        (0.875, (4.0, None)),
        (0.875, (4.0, 1.0)),
        (0.875, (1.0, 5.0)),
        (0.0, (4.0, 3.0)),
        (1.0, (4.0, 3.0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("seeds", [[7], [7, 8]], ids=str)
@torch.no_grad()
def test_wan_samples_as_its_pipeline(
    boundary: float | None, scales: tuple[float, float | None], seeds: list[int]
) -> None:
    """Noise, levels, steps, guidance and the change of experts, with the reference's own networks."""
    first, second, steps, batch = wan(1), wan(2), 6, 2
    text, empty = noise((5, 11), seeds=[3, 4]), noise((5, 11), seeds=[5, 6])
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=12.0)
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    expected = pipeline(
        transformer=first,
        transformer_2=None if boundary is None else second,
        scheduler=scheduler,
        boundary_ratio=boundary,
    )(
        prompt_embeds=text,
        negative_prompt_embeds=empty,
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=steps,
        guidance_scale=scales[0],
        guidance_scale_2=scales[1],
        generator=generators if len(generators) > 1 else generators[0],
        output_type="latent",
    ).frames

    sampler = read_scheduler(json.loads(scheduler.to_json_string()), from_pipeline=False)
    sigmas, timesteps = sampler.sigmas(steps), sampler.timesteps(steps)

    def asked(network: WanTransformer3DModel, guidance: Guidance) -> Any:
        def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
            t = timestep_at(sigma, sigmas, timesteps).long()
            return network(x, t, condition["text"], return_dict=False)[0]

        return guidance.predictor(denoiser, cond={"text": text}, uncond={"text": empty}, sigmas=sigmas)

    one, two = expert_guidance(Guidance(scale=scales[0]), scales[1])
    own = 6 if boundary is None else first_expert_steps(timesteps, boundary)
    assert own == {None: 6, 0.875: 4, 0.0: 6, 1.0: 0}[boundary]
    predict = experts(asked(first, one), asked(second, two), sigmas=sigmas, num_first_steps=own)
    start = noise(SHAPE, seeds=seeds) if len(seeds) > 1 else batch_noise(SHAPE, batch=batch, seed=seeds[0])
    end = sample(predict, start, sigmas, stepper=sampler.stepper)
    assert (end - expected).abs().max() <= 5e-6 * expected.abs().max()


@pytest.mark.parametrize("true_scale", [1.0, 6.0])
@torch.no_grad()
def test_hunyuan_video_samples_as_its_pipeline(true_scale: float) -> None:
    torch.manual_seed(1)
    network = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=2,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=11,
        pooled_projection_dim=7,
        rope_axes_dim=(2, 4, 4),
    ).eval()
    steps = 5
    scheduler = FlowMatchEulerDiscreteScheduler(shift=7.0)
    parts: Any = {"text_encoder": None, "tokenizer": None, "text_encoder_2": None, "tokenizer_2": None, "vae": None}
    made: Any = HunyuanVideoPipeline(transformer=network, scheduler=scheduler, **parts)
    made.set_progress_bar_config(disable=True)

    def words(seed: int) -> dict[str, Tensor]:
        mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
        return {
            "text": noise((5, 11), seeds=[seed, seed + 1]),
            "pooled": noise((7,), seeds=[seed, seed + 1]),
            "mask": mask,
        }

    cond, uncond = words(3), words(30)
    expected = made(
        prompt_embeds=cond["text"],
        pooled_prompt_embeds=cond["pooled"],
        prompt_attention_mask=cond["mask"],
        negative_prompt_embeds=uncond["text"],
        negative_pooled_prompt_embeds=uncond["pooled"],
        negative_prompt_attention_mask=uncond["mask"],
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=steps,
        guidance_scale=6.0,
        true_cfg_scale=true_scale,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).frames

    sampler = read_scheduler(json.loads(scheduler.to_json_string()), from_pipeline=True)
    sigmas, timesteps = sampler.sigmas(steps), sampler.timesteps(steps)

    def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        t, guidance = timestep_at(sigma, sigmas, timesteps), torch.full((len(x),), 6000.0)
        return network(x, t, condition["text"], condition["mask"], condition["pooled"], guidance, return_dict=False)[0]

    predict = Guidance(scale=true_scale).predictor(denoiser, cond=cond, uncond=uncond, sigmas=sigmas)
    end = sample(predict, batch_noise(SHAPE, batch=2, seed=7), sigmas, stepper=sampler.stepper)
    assert (end - expected).abs().max() <= 5e-6 * expected.abs().max()


def test_the_boundary_is_the_first_experts() -> None:
    timesteps = torch.tensor([999.0, 900.0, 875.0, 874.0, 10.0])
    assert first_expert_steps(timesteps, 0.875) == 3
    assert first_expert_steps(timesteps, 0.9) == 2
    assert first_expert_steps(timesteps / 2, 0.875, num_timesteps=500) == 3
    for boundary in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="boundary"):
            first_expert_steps(timesteps, boundary)


def test_the_second_scale_is_the_first_unless_given() -> None:
    whole = Guidance(scale=4.0, mode="split")
    assert expert_guidance(whole) == (whole, whole)
    assert expert_guidance(whole, 3.0) == (whole, Guidance(scale=3.0, mode="split"))
    for scale in (0.0, 1.0):
        assert not any(g.is_on for g in expert_guidance(Guidance(scale=scale), 3.0))
