"""One run of one batch: read, load, encode, denoise, decode, with its clock, its meter and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.accel.step_cache import StepCache
from kinema.core.errors import InvalidInput, OutOfMemory, choices
from kinema.core.plan import Estimate, RunPlan, estimate
from kinema.core.skips import computed_steps
from kinema.engine.clip import Clip
from kinema.engine.clock import RunClock
from kinema.engine.decode import decode_chunks
from kinema.engine.denoise import denoise
from kinema.engine.families.family import Family, Pictures, Sampling
from kinema.engine.meter import Meter
from kinema.engine.recipe import make_recipe
from kinema.engine.resolve import ResolvedRequest
from kinema.engine.scope import memory_errors, run_scope
from kinema.engine.state import GenerationState
from kinema.flow.steppers import State
from kinema.media.digest import frames_digest
from kinema.weights.folder import ModelFolder
from kinema.weights.preview import KEY

OnState = Callable[[GenerationState], None]


@dataclass(kw_only=True)
class Run:
    """A batch on its way: ``requests`` share shape, steps and guidance; ``pictures`` are their keyframes by latent frame.

    ``notes`` tell what was done otherwise than asked for; where memory runs out in the decode, ``plan`` changes with them.
    """

    folder: ModelFolder
    requests: Sequence[ResolvedRequest]
    pictures: Sequence[Pictures]
    plan: RunPlan
    clock: RunClock
    meter: Meter
    cost: Estimate
    notes: list[str] = field(default_factory=list)

    def latents(
        self,
        load: Callable[[RunPlan, RunClock], Family],
        *,
        resume: GenerationState | None = None,
        on_state: OnState | None = None,
        every: int = 1,
    ) -> tuple[Family, Tensor]:
        """The networks, and the latents of every request. ``on_state`` gets a state after every ``every`` steps and after the last.

        Where steps are left out, a state comes as soon as the next step is computed in full.

        Raises: InvalidInput for a plan that this model can't follow.
        """
        plan, meter = self.plan, self.meter
        with run_scope(plan.threads, device=plan.device):
            with meter.phase("load"), memory_errors("load", self.cost.peak_bytes):
                family = load(plan, self.clock)
            if plan.decode not in family.decode_modes:
                rule = f"is no way in which this model decodes; must be {choices(family.decode_modes)}"
                raise InvalidInput("decode", plan.decode, rule)
            with meter.phase("encode"), memory_errors("encode", self.cost.peak_bytes):
                sampling = family.prepare(self.requests, self.pictures, plan, self.clock)
            with (
                meter.phase("denoise"),
                memory_errors("denoise", self.cost.peak_bytes),
                self._step_cache(family, sampling) as sampling,
            ):
                latents = denoise(
                    sampling,
                    clock=self.clock,
                    start=None if resume is None else _as_sampled(resume, family.device),
                    preview=self.folder.card.training.get(KEY),
                    on_state=None if on_state is None else self._tell_state(on_state, every),
                )
        return family, latents

    def frames(self, family: Family, latents: Tensor) -> list[np.ndarray]:
        """The frames of every clip. Where memory runs out all are decoded anew in a way that needs less, and a note says so."""
        while True:
            try:
                return [
                    np.concatenate(list(self.chunks(family, latents[i : i + 1], sample=i)))
                    for i in range(len(self.requests))
                ]
            except OutOfMemory as e:
                self._decode_smaller(family, e)

    def stream(self, family: Family, latents: Tensor) -> Iterator[np.ndarray]:
        """The frames of one clip, chunk by chunk; where memory runs out before the first, as `frames`."""
        while True:
            chunks = self.chunks(family, latents)
            try:
                first = next(chunks)
            except OutOfMemory as e:
                self._decode_smaller(family, e)
                continue
            yield first
            yield from chunks
            return

    def chunks(self, family: Family, latents: Tensor, *, sample: int = 0) -> Iterator[np.ndarray]:
        """The frames of one clip, of ``latents`` (1 c t h w), chunk by chunk. Between chunks other runs may go on.

        Raises: OutOfMemory.
        """
        video, compression = self.requests[sample].video, self.folder.card.compression
        chunks = decode_chunks(family, latents, self.plan.decode, self.requests[sample])
        self.clock.start("decode", self.requests[sample].latent.frames)
        num_frames = 0
        while num_frames < video.frames:
            with (
                run_scope(self.plan.threads, device=self.plan.device),
                self.meter.phase("decode"),
                memory_errors("decode", self.cost.peak_bytes),
            ):
                chunk = next(chunks)
            num_frames += len(chunk)
            self.clock.done("decode", 1 + compression.latent_frame_of(num_frames - 1), sample=sample)
            yield chunk

    def clip(self, frames: np.ndarray, *, index: int = 0) -> Clip:
        """The clip of request ``index`` with its recipe; to be called when all clips of the batch are decoded."""
        metrics = self.meter.metrics(flops=self.cost.total_flops, share=len(self.requests))
        recipe = self.recipe(frames_digest(frames), index=index)
        return Clip(frames=frames, shape=self.requests[index].video, recipe=recipe, metrics=metrics)

    def recipe(self, digest: str, *, index: int = 0) -> dict[str, Any]:
        """The recipe of request ``index``, whose frames have the hash ``digest``."""
        return make_recipe(
            self.requests[index].request,
            plan=self.plan,
            model=self.folder,
            metrics=self.meter.metrics(flops=self.cost.total_flops, share=len(self.requests)),
            frames_digest=digest,
            inputs=input_hashes(self.requests[index], self.pictures[index]),
            notes=self.notes,
            batch_index=index,
        )

    @contextmanager
    def _step_cache(self, family: Family, sampling: Sampling) -> Iterator[Sampling]:
        """``sampling`` with the steps left out that the plan leaves out. Raises: InvalidInput where that can't be."""
        if self.plan.cache_level == 0:
            yield sampling
            return
        if sampling.stepper.evaluations(2) != 2:
            rule = f"goes with one evaluation a step, and {type(sampling.stepper).__name__} asks more; must be 0"
            raise InvalidInput("cache_level", self.plan.cache_level, rule)
        with StepCache(family.denoisers, self._computed) as cache:
            yield replace(sampling, predict=cache.predictor(sampling.predict, sampling.sigmas))

    @property
    def _computed(self) -> tuple[bool, ...]:
        """For every step whether it is computed in full."""
        return computed_steps(self.requests[0].steps, self.plan.cache_level)

    def _decode_smaller(self, family: Family, error: OutOfMemory) -> None:
        """Changes the plan to a decode that needs less memory. Raises: ``error`` if there is none."""
        before, after = self.plan.decode, family.decode_modes[self.plan.decode]
        if after is None:
            raise error
        self.plan = replace(self.plan, decode=after)
        self.notes.append(f"memory ran out in the decode ({before}), so it was done again with less ({after})")

    def _tell_state(self, on_state: OnState, every: int) -> Callable[[State], None]:
        request, model_hash = self.requests[0], self.folder.content_hash()
        # what a step cache holds isn't kept: a run goes on from where it needs none
        is_whole, is_due = (*self._computed, True), False

        def tell(state: State) -> None:
            nonlocal is_due
            is_due = is_due or state.step % every == 0 or state.step == request.steps
            if is_due and is_whole[state.step]:
                is_due = False
                on_state(
                    GenerationState(
                        request=request.request,
                        plan=self.plan,
                        model_hash=model_hash,
                        step=state.step,
                        latents=_kept(state.x),
                        memory=tuple(_kept(t) for t in state.memory),
                    )
                )

        return tell


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _as_sampled(state: GenerationState, device: torch.device) -> State:
    """``state`` as the sampler takes it."""
    return State(step=state.step, x=state.latents.to(device), memory=tuple(t.to(device) for t in state.memory))


def make_run(
    folder: ModelFolder,
    requests: Sequence[ResolvedRequest],
    pictures: Sequence[Pictures],
    *,
    plan: RunPlan,
    clock_of: Callable[[float], RunClock],
) -> Run:
    """The run of ``requests`` under ``plan``; ``clock_of`` makes its clock from the decode's cost over one denoising step's."""
    first = requests[0]
    cost = estimate(
        folder.card,
        first.video,
        steps=first.steps,
        is_guided=first.is_guided,
        plan=plan,
        num_keyframes=max(len(p) for p in pictures),
    )
    share = cost.flops["decode"] * first.steps / max(cost.flops["denoise"], 1.0)
    return Run(
        folder=folder,
        requests=requests,
        pictures=pictures,
        plan=plan,
        clock=clock_of(share),
        meter=Meter(),
        cost=cost,
    )


def input_hashes(request: ResolvedRequest, pictures: Pictures) -> dict[str, str]:
    """Reference -> hash of the pixels that were read from it, at the clip's size."""
    places = request.keyframes
    return {places[place].media.ref: frames_digest(picture) for place, picture in pictures.items()}
