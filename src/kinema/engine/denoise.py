"""From conditions and seeds to latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from einops import repeat
from jaxtyping import Float
from torch import Tensor

from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.components import Components
from kinema.engine.conditions import Conditions
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.guidance import Condition, Guidance
from kinema.flow.noise import noise
from kinema.flow.sample import sample
from kinema.weights.preview import latent_rgb

Rows = Sequence[Sequence[float]]


def denoise(
    components: Components,
    requests: Sequence[ResolvedRequest],
    conditions: Conditions,
    *,
    plan: RunPlan,
    clock: RunClock,
    start: tuple[int, Tensor] | None = None,
    preview: Rows | None = None,
    on_state: Callable[[int, Tensor], None] | None = None,
) -> Float[Tensor, "b c t h w"]:
    """The normalised latents of ``requests``, in fp32. ``start`` is (steps done, latents) of a run to go on from.

    ``preview`` maps latents to colours; with it every event carries what the middle frames look like so far. ``on_state`` gets
    (steps done, latents) after each step.
    """
    steps = requests[0].steps
    done = 0 if start is None else start[0]
    sigmas = components.sampler.sigmas(steps)
    guidance = Guidance(
        scale=requests[0].guidance,
        method=components.sampler.guidance,  # type: ignore[arg-type]
        mode=plan.guidance_mode,
    )
    predict = guidance.predictor(
        _denoiser(components), cond=conditions.cond, uncond=conditions.uncond, sigmas=sigmas.to(components.device)
    )

    def on_step(step: int, x: Tensor, x0: Tensor) -> None:
        if on_state is not None:
            on_state(step, x)
        picture = None if preview is None else latent_rgb(x0, preview).flatten(0, 1).cpu().numpy()
        clock.done("denoise", step, preview=picture)

    if start is None:
        x = noise(requests[0].latent.as_tuple(), seeds=[r.seed for r in requests], device=components.device)
    else:
        x = start[1].to(components.device)
    clock.start("denoise", steps, done=done)
    return sample(
        predict,
        x,
        sigmas,
        stepper=components.sampler.stepper,
        start_step=done,
        on_step=on_step,
        frozen=conditions.frozen,
        known=conditions.known,
    )


def _denoiser(components: Components) -> Callable[[Tensor, Tensor, Condition], Tensor]:
    """The transformer as `kinema.flow` asks it: fp32 in and out, its own dtype inside."""
    transformer, dtype = components.transformer, components.dtype

    def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        given: Mapping[str, Tensor | None] = condition
        text, pooled = given["text"], given["pooled"]
        assert text is not None, "every request has a text, be it empty"
        assert pooled is not None, "and its summary"
        known, known_mask = given["known"], given["known_mask"]
        if given["camera"] is not None and sigma.ndim == 1:
            # a camera modulates every frame by itself anyway; so does training's noise level
            sigma = repeat(sigma, "b -> b t", t=x.shape[2])
        return transformer(
            x.to(dtype),
            sigma,
            text,
            given["text_mask"],
            pooled,
            known=None if known is None else known.to(dtype),
            known_mask=None if known_mask is None else known_mask.to(dtype),
            camera=given["camera"],
            scalars=given["scalars"],
        )

    return denoiser
