"""One run of one batch: read, load, encode, denoise, decode, with its clock, its meter and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.accel.shelf import check_room
from kinema.accel.step_cache import StepCache
from kinema.core.errors import InvalidInput, OutOfMemory, StorageError
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
from kinema.flow.sample import walk
from kinema.flow.steppers import State
from kinema.media.digest import frames_digest
from kinema.weights.folder import ModelFolder
from kinema.weights.preview import KEY

OnStates = Callable[[Sequence[GenerationState]], None]


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
    _watchers_error: BaseException | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """What runs have in common whose networks are asked for tensors of the same shapes."""
        rows = tuple((tuple(r.keyframes), r.request.camera is None, r.request.motion is None) for r in self.requests)
        return self.folder.content_hash(), self.plan, self.requests[0].group, rows

    def check(self, resume: Sequence[GenerationState]) -> None:
        """Raises: InvalidInput unless ``resume`` is empty or has a state for every request."""
        for one, pictures, state in zip(self.requests, self.pictures, resume, strict=bool(resume)):
            inputs = input_hashes(one, pictures)
            state.check(one.request, replace(self.plan, batch=1), self.folder.content_hash(), inputs)

    def latents(
        self,
        load: Callable[[RunPlan, RunClock], Family],
        *,
        resume: Sequence[GenerationState] = (),
        on_states: OnStates | None = None,
        every: int = 1,
    ) -> tuple[Family, Tensor]:
        """The networks, and the latents of every request. ``on_states`` gets a state of each after every ``every`` steps and the last.

        Where steps are left out, states come as soon as the next step is computed in full. ``resume`` are states to go on from, one of
        each request after the same number of steps.
        """
        plan, meter = self.plan, self.meter
        with run_scope(plan.threads, device=plan.device):
            with meter.phase("load"), memory_errors("load", self.cost.peak_bytes):
                family = load(plan, self.clock)
            if resume and resume[0].step == self.requests[0].steps:
                return family, _as_sampled(resume, family.device).x
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
                    start=_as_sampled(resume, family.device) if resume else None,
                    preview=self.folder.card.training.get(KEY),
                    on_state=None if on_states is None else self._tell_states(on_states, every),
                )
        return family, latents

    def has_bits_of_each_alone(
        self, load: Callable[[RunPlan, RunClock], Family], *, resume: Sequence[GenerationState] = ()
    ) -> bool:
        """Whether the networks say of every request, in a step of the batch, bit for bit what they say of it alone.

        The next step and the last are made both ways and compared: kernels are chosen, and sums put in order, by shapes and not by what
        is in them. The last has the second of two networks and its guidance, and asks where the first step stands still.
        """
        rows = range(len(self.requests))
        with run_scope(self.plan.threads, device=self.plan.device):
            with self.meter.phase("load"), memory_errors("load", self.cost.peak_bytes):
                family = load(self.plan, self.clock)
            with self.meter.phase("denoise"), memory_errors("denoise", self.cost.peak_bytes):
                together = self._two_steps(family, rows, resume)
                return all(
                    torch.equal(theirs[row : row + 1], mine)
                    for row in rows
                    for theirs, mine in zip(together, self._two_steps(family, [row], resume), strict=True)
                )

    def _two_steps(self, family: Family, rows: Sequence[int], resume: Sequence[GenerationState]) -> list[Tensor]:
        """What the networks say in the next step of the requests ``rows`` and in the last, and where these lead."""
        plan = replace(self.plan, batch=len(rows))
        requests, pictures = [self.requests[i] for i in rows], [self.pictures[i] for i in rows]
        sampling = family.prepare(requests, pictures, plan, self.clock)
        said: list[Tensor] = []

        def predict(x: Tensor, sigma: Tensor) -> Tensor:
            said.append(sampling.predict(x, sigma))
            return said[-1]

        start = State(step=0, x=sampling.start)
        if resume:
            start = _as_sampled([resume[i] for i in rows], family.device)
        last = self.requests[0].steps - 1
        # the last from the same latents: what is in them matters to no kernel
        for state in {last: State(step=last, x=start.x), start.step: start}.values():
            states = walk(
                predict,
                state,
                sampling.sigmas,
                stepper=sampling.stepper,
                frozen=sampling.frozen,
                known=sampling.known,
            )
            next(states)
            said.append(next(states).x)
        return said

    def frames(self, family: Family, latents: Tensor) -> list[np.ndarray]:
        """The frames of every clip. Where memory or disk runs out all are decoded anew in a way that needs less, and a note says so."""
        while True:
            try:
                return [
                    np.concatenate(list(self.chunks(family, latents[i : i + 1], sample=i)))
                    for i in range(len(self.requests))
                ]
            except OutOfMemory as e:
                self._decode_smaller(family, e)

    def stream(self, family: Family, latents: Tensor) -> Iterator[np.ndarray]:
        """The frames of one clip, chunk by chunk; where memory or disk runs out before the first, as `frames`."""
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

        A step of the clock is a latent frame, or as much of the work, where that is done before there are frames.
        Raises: OutOfMemory, also where the disk is full that a frugal decode needs; Cancelled.
        """
        video, compression = self.requests[sample].video, self.folder.card.compression
        num_done, num_frames, num_latent_frames = 0, 0, self.requests[sample].latent.frames

        def tell(num: int) -> None:
            nonlocal num_done
            try:
                if num > num_done:
                    num_done = num
                    self.clock.done("decode", num, sample=sample)
                else:
                    self.clock.still()
            except BaseException as e:
                self._watchers_error = e
                raise

        def on_work(share: float) -> None:
            tell(int(share * num_latent_frames))
            # whoever was told may have asked the engine for something
            family.parts.bring("vae")

        if self.cost.scratch_bytes:
            check_room(self.cost.scratch_bytes)
        chunks = decode_chunks(family, latents, self.plan.decode, self.requests[sample], on_work)
        self.clock.start("decode", num_latent_frames, sample=sample)
        while num_frames < video.frames:
            with (
                run_scope(self.plan.threads, device=self.plan.device),
                self.meter.phase("decode"),
                memory_errors("decode", self.cost.peak_bytes),
            ):
                chunk = next(chunks)
            num_frames += len(chunk)
            tell(1 + compression.latent_frame_of(num_frames - 1))
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
        """Changes the plan to a decode that needs less memory. Raises: ``error`` if there is none, or what a watcher raised."""
        if self._watchers_error is not None and self._watchers_error in (error, error.__cause__):
            raise self._watchers_error
        before, after = self.plan.decode, family.decode_modes[self.plan.decode]
        if after is None:
            raise error
        self.plan = replace(self.plan, decode=after)
        self.cost = _cost(self.folder, self.requests, self.pictures, self.plan)
        what = "disk" if isinstance(error.__cause__, StorageError) else "memory"
        self.notes.append(f"{what} ran out in the decode ({before}), so it was done again with less ({after})")

    def _tell_states(self, on_states: OnStates, every: int) -> Callable[[State], None]:
        steps, model_hash = self.requests[0].steps, self.folder.content_hash()
        inputs = [input_hashes(one, pictures) for one, pictures in zip(self.requests, self.pictures, strict=True)]
        # each goes on alone if need be
        plan = replace(self.plan, batch=1)
        # what a step cache holds isn't kept: a run goes on from where it needs none
        is_whole, is_due = (*self._computed, True), False

        def tell(state: State) -> None:
            nonlocal is_due
            is_due = is_due or state.step % every == 0 or state.step == steps
            if is_due and is_whole[state.step]:
                is_due = False
                spent = self.meter.metrics(flops=0.0, share=len(self.requests))
                on_states(
                    [
                        GenerationState(
                            request=one.request,
                            plan=plan,
                            model_hash=model_hash,
                            step=state.step,
                            latents=_kept(state.x[row : row + 1]),
                            memory=tuple(_kept(t[row : row + 1]) for t in state.memory),
                            inputs=inputs[row],
                            spent=spent,
                        )
                        for row, one in enumerate(self.requests)
                    ]
                )

        return tell


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _as_sampled(states: Sequence[GenerationState], device: torch.device) -> State:
    """``states``, after one number of steps, as the sampler takes them. Raises: InvalidInput."""
    if len(steps := {state.step for state in states}) > 1:
        raise InvalidInput("resume", sorted(steps), "must be one number of steps within a batch")
    memory = zip(*(state.memory for state in states), strict=True)
    return State(
        step=states[0].step,
        x=torch.cat([state.latents for state in states]).to(device),
        memory=tuple(torch.cat(rows).to(device) for rows in memory),
    )


def make_run(
    folder: ModelFolder,
    requests: Sequence[ResolvedRequest],
    pictures: Sequence[Pictures],
    *,
    plan: RunPlan,
    clock_of: Callable[[float], RunClock],
    meter: Meter,
) -> Run:
    """The run of ``requests`` under ``plan``; ``clock_of`` makes its clock from the decode's cost over one denoising step's.

    Raises: OutOfMemory where the disk has no room for its temporary files.
    """
    first, cost = requests[0], _cost(folder, requests, pictures, plan)
    # now, and not after the denoise
    if cost.scratch_bytes:
        check_room(cost.scratch_bytes)
    share = cost.flops["decode"] * first.steps / max(cost.flops["denoise"], 1.0)
    return Run(
        folder=folder,
        requests=requests,
        pictures=pictures,
        plan=plan,
        clock=clock_of(share),
        meter=meter,
        cost=cost,
    )


def _cost(
    folder: ModelFolder, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], plan: RunPlan
) -> Estimate:
    first = requests[0]
    return estimate(
        folder.card,
        first.video,
        steps=first.steps,
        is_guided=first.is_guided,
        plan=plan,
        num_keyframes=max(len(p) for p in pictures),
    )


def input_hashes(request: ResolvedRequest, pictures: Pictures) -> dict[str, str]:
    """Reference -> hash of the pixels that were read from it, at the clip's size."""
    places = request.keyframes
    return {places[place].media.ref: frames_digest(picture) for place, picture in pictures.items()}
