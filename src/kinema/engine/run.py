"""One run of one batch: read, load, encode, denoise, decode, with its clock, its meter and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from kinema.core.plan import Estimate, RunPlan, estimate
from kinema.engine.clip import Clip
from kinema.engine.clock import RunClock
from kinema.engine.components import Components
from kinema.engine.conditions import Pictures, build_conditions
from kinema.engine.decode import decode_chunks, num_chunks
from kinema.engine.denoise import denoise
from kinema.engine.meter import Meter
from kinema.engine.recipe import make_recipe
from kinema.engine.resolve import ResolvedRequest
from kinema.engine.scope import memory_errors, run_scope
from kinema.engine.state import GenerationState
from kinema.media.digest import frames_digest
from kinema.weights.folder import ModelFolder
from kinema.weights.preview import KEY

OnState = Callable[[GenerationState], None]


@dataclass(kw_only=True)
class Run:
    """A batch on its way: ``requests`` share shape, steps and guidance; ``pictures`` are their keyframes by latent frame."""

    folder: ModelFolder
    requests: Sequence[ResolvedRequest]
    pictures: Sequence[Pictures]
    plan: RunPlan
    clock: RunClock
    meter: Meter
    cost: Estimate

    def latents(
        self,
        load: Callable[[RunPlan, RunClock], Components],
        *,
        resume: GenerationState | None = None,
        on_state: OnState | None = None,
        every: int = 1,
    ) -> tuple[Components, Tensor]:
        """The networks, and the latents of every request. ``on_state`` gets a state after every ``every`` steps but the last."""
        plan, meter = self.plan, self.meter
        with run_scope(plan.threads, device=plan.device):
            with meter.phase("load"), memory_errors("load", self.cost.peak_bytes):
                components = load(plan, self.clock)
            with meter.phase("encode"), memory_errors("encode", self.cost.peak_bytes):
                conditions = build_conditions(components, self.requests, self.pictures, self.clock)
            with meter.phase("denoise"), memory_errors("denoise", self.cost.peak_bytes):
                latents = denoise(
                    components,
                    self.requests,
                    conditions,
                    plan=plan,
                    clock=self.clock,
                    start=None if resume is None else (resume.step, resume.latents),
                    preview=self.folder.card.training.get(KEY),
                    on_state=None if on_state is None else self._tell_state(on_state, every),
                )
        return components, latents

    def chunks(self, components: Components, latents: Tensor, *, sample: int = 0) -> Iterator[np.ndarray]:
        """The frames of one clip, of ``latents`` (1 c t h w), chunk by chunk. Between chunks other runs may go on."""
        chunks = decode_chunks(components, latents)
        self.clock.start("decode", count := num_chunks(components, latents))
        for step in range(count):
            with (
                run_scope(self.plan.threads, device=self.plan.device),
                self.meter.phase("decode"),
                memory_errors("decode", self.cost.peak_bytes),
            ):
                chunk = next(chunks)
            self.clock.done("decode", step + 1, sample=sample)
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
            batch_index=index,
        )

    def _tell_state(self, on_state: OnState, every: int) -> Callable[[int, Tensor], None]:
        request, model_hash = self.requests[0], self.folder.content_hash()

        def tell(step: int, latents: Tensor) -> None:
            if step % every == 0 and step < request.steps:
                kept = latents.detach().to("cpu", copy=True)
                on_state(
                    GenerationState(
                        request=request.request, plan=self.plan, model_hash=model_hash, step=step, latents=kept
                    )
                )

        return tell


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
