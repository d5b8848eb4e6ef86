"""From conditions and seeds to latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor

from kinema.engine.clock import RunClock
from kinema.engine.families.family import Sampling
from kinema.flow.sample import walk
from kinema.flow.steppers import State
from kinema.weights.preview import latent_rgb

Rows = Sequence[Sequence[float]]


def denoise(
    sampling: Sampling,
    *,
    clock: RunClock,
    start: State | None = None,
    preview: Rows | None = None,
    on_state: Callable[[State], None] | None = None,
) -> Float[Tensor, "b c t h w"]:
    """The normalised latents, in fp32. ``start`` is the state of a run to go on from.

    ``preview`` maps latents to colours; with it every event carries what the middle frames look like so far. ``on_state`` gets
    the state after each step.
    """
    states = walk(
        sampling.predict,
        start or State(step=0, x=sampling.start),
        sampling.sigmas,
        stepper=sampling.stepper,
        frozen=sampling.frozen,
        known=sampling.known,
    )
    state = next(states)
    clock.start("denoise", len(sampling.sigmas) - 1, done=state.step)
    for state in states:
        if on_state is not None:
            on_state(state)
        picture = None
        if preview is not None and state.x0 is not None:
            picture = latent_rgb(state.x0, preview).flatten(0, 1).cpu().numpy()
        clock.done("denoise", state.step, preview=picture)
    return state.x
