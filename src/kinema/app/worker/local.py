"""This machine's engine as a worker's: models kept in memory, pictures read from blobs, runs taken up from checkpoints."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinema.app.states import check_place, read_state, state_to_bytes
from kinema.app.worker.hold import SaveState
from kinema.app.worker.settings import WorkerSettings
from kinema.core.errors import InvalidInput, MediaError
from kinema.core.media_ref import MediaRef
from kinema.core.progress import Observer, Progress
from kinema.core.request import GenerationRequest
from kinema.engine.choose import current_isa
from kinema.engine.engine import Engine
from kinema.engine.machine import memory_room_bytes
from kinema.engine.meter import Meter, RunMetrics
from kinema.media.picture import read_picture
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.job import Job
from kinema.weights.folder import open_model

if TYPE_CHECKING:
    from kinema.engine.clip import Clip
    from kinema.engine.state import GenerationState

# models stay beside each other while their weights take no more of the device's memory: the one that runs needs the rest
_FOR_WEIGHTS = 0.25


class LocalEngine:
    """Engines of models on one device: small ones stay in memory together, a large one alone; those used longest ago go first."""

    def __init__(self, settings: WorkerSettings, blobs: BlobStore, *, room_bytes: int | None = None) -> None:
        self._settings, self._blobs, self._room_bytes = settings, blobs, room_bytes
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        # a device that isn't there is better said before a job is taken
        _use_device(settings)

    @property
    def warm(self) -> Collection[str]:
        """The models in memory."""
        return self._engines.keys()

    def open(self, job: Job) -> LocalGeneration:
        """``job`` on the engine of its model. Raises: InvalidInput."""
        request = request_of(job)
        engine = self._engine(job.order.model)
        engine.plan(request)
        return LocalGeneration(engine, request, owner=f"{job.id} {job.fence}", device=self._settings.device_kind)

    def together(
        self,
        generations: Sequence[LocalGeneration],
        *,
        observer: Callable[[Sequence[Progress]], None],
        on_states: Callable[[int, Sequence[SaveState]], None],
    ) -> bool:
        """See `JobEngine`."""
        engine, states = generations[0].engine, [g.state for g in generations if g.state is not None]
        # who was together has spent the same
        meter, number = Meter(generations[0].spent), len(generations)

        def tell(states: Sequence[GenerationState]) -> None:
            for generation, state in zip(generations, states, strict=True):
                generation.state = state
            on_states(states[0].step, [g.saver(s) for g, s in zip(generations, states, strict=True)])

        def watch(event: Progress) -> None:
            previews = [None] * number if event.preview is None else np.split(event.preview, number)
            observer([replace(event, preview=preview) for preview in previews])

        try:
            return engine.denoise_together(
                [g.request for g in generations], resume=states, on_states=tell, observer=watch, meter=meter
            )
        finally:
            # where no step was made together, the trial was for the one that goes on alone
            share = 1 if generations[0].state is None else number
            for generation in generations:
                generation.spent = meter.metrics(flops=0.0, share=share)

    def _engine(self, model: str) -> Engine:
        if model not in self._engines:
            needed = open_model(model).card.weights_bytes
            if self._room_bytes is None:
                self._room_bytes = _room_bytes(self._settings.device_kind)
            while self._engines and self._weights_bytes() + needed > _FOR_WEIGHTS * self._room_bytes:
                self._engines.popitem(last=False)
            self._engines[model] = Engine(
                model,
                threads=self._settings.threads,
                device=self._settings.device_kind,
                read_picture=self._read_picture,
            )
        self._engines.move_to_end(model)
        return self._engines[model]

    def _weights_bytes(self) -> int:
        return sum(engine.card.weights_bytes for engine in self._engines.values())

    def _read_picture(self, media: MediaRef, *, width_px: int, height_px: int) -> Any:
        # a path or a URL in a job would be read with the server's rights
        if media.kind != "blob":
            raise MediaError("media", media.ref, "must be an uploaded file, by its sha256:HASH")
        path = self._blobs.path(media.ref)
        try:
            return read_picture(MediaRef(str(path)), width_px=width_px, height_px=height_px)
        except MediaError as e:
            raise MediaError("media", media.ref, e.rule) from e


class LocalGeneration:
    """One request on one engine, with the state to go on from and what was spent up to there, if any."""

    def __init__(self, engine: Engine, request: GenerationRequest, *, owner: str, device: str) -> None:
        self.engine, self._asked, self._owner, self._device = engine, request, owner, device
        self.state: GenerationState | None = None
        self.spent: RunMetrics | None = None

    @property
    def request(self) -> GenerationRequest:
        """What is asked for; a state's has the seed and every default that the first attempt filled in."""
        return self._asked if self.state is None else self.state.request

    def resume(self, checkpoint: Path) -> int:
        """See `Generation`: weights, device, its instructions and pictures must be those of the checkpoint, or bits would differ."""
        state = read_state(checkpoint)
        check_place(state, model_hash=self.engine.folder.content_hash(), device=self._device)
        if (found := self.engine.read_inputs(state.request)) != state.inputs:
            raise InvalidInput("checkpoint", state.inputs, f"was made with other pictures; here they would be {found}")
        self.state, self.spent = state, state.spent
        return state.step

    def run(self, *, observer: Observer, on_state: Callable[[int, SaveState], None]) -> Clip:
        """See `Generation`."""
        state, request = self.state, self.request
        return self.engine.generate(
            request,
            resume=state,
            # where weights lie is of this moment, and changes no bit
            plan=None if state is None else self.engine.place(request, state.plan),
            observer=observer,
            on_state=lambda s: on_state(s.step, self.saver(s)),
            spent=self.spent,
        )

    def saver(self, state: GenerationState) -> SaveState:
        """What writes a checkpoint of ``state``."""
        return partial(state_to_bytes, state, owner=self._owner)


def request_of(job: Job) -> GenerationRequest:
    """What ``job`` runs: what was resolved, or else what was asked for, with a seed that is the same in every attempt.

    Raises: InvalidInput.
    """
    request = GenerationRequest.from_dict(job.order.resolved.get("request", job.order.request))
    if request.seed is not None:
        return request
    return request.replace(seed=int.from_bytes(hashlib.sha256(job.id.encode()).digest()[:4], "big") >> 1)


def _use_device(settings: WorkerSettings) -> None:
    """Makes the device that ``settings`` name the one that this thread runs on. Raises: InvalidInput if it isn't there."""
    current_isa(settings.device_kind)
    if settings.device_index is None:
        return
    import torch

    if settings.device_index >= (count := torch.cuda.device_count()):
        raise InvalidInput("device", settings.device, f"isn't there; this machine has {count} GPUs, from cuda:0 on")
    torch.cuda.set_device(settings.device_index)


def _room_bytes(device: str) -> int:
    """The memory of ``device`` that this process may use; 0 where the system doesn't say."""
    if device == "cpu":
        return memory_room_bytes() or 0
    import torch

    return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
