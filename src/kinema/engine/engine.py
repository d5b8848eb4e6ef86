"""`Engine`: requests to clips with one model, which stays in memory between them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kinema.core.card import ModelCard
from kinema.core.checks import check_number
from kinema.core.errors import InvalidInput, UnsupportedRequest, choices
from kinema.core.memory import OFFLOADS, QUANTISATIONS, runtime_bytes
from kinema.core.placement import AUTO, Placement, choose_placement, placements
from kinema.core.plan import DTYPES, LORA_MODES, Estimate, RunPlan, estimate
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.core.protocols import MediaReader
from kinema.core.request import GenerationRequest
from kinema.core.skips import check_level
from kinema.engine.choose import DtypeChoice, cache_file, choose_dtypes, current_isa, known_choice
from kinema.engine.machine import device_room_bytes, memory_room_bytes, num_cores
from kinema.engine.meter import Meter, RunMetrics
from kinema.engine.resolve import ResolvedRequest, check_group, check_plan, default_plan, resolve
from kinema.engine.stream import ClipStream
from kinema.weights.folder import ModelFolder, open_model

if TYPE_CHECKING:
    import numpy as np

    from kinema.engine.clip import Clip
    from kinema.engine.clock import RunClock
    from kinema.engine.families.family import Family
    from kinema.engine.run import Run
    from kinema.engine.state import GenerationState

DEVICES = ("cpu", "cuda")


class Engine:
    """The model of a shipped name or in a folder. Making one reads the card alone; the first clip loads the weights.

    Args:
        model: a shipped model's name or a model folder; or what `kinema.weights.folder.open_model` gave, which may have LoRAs and a
            transformer from elsewhere.
        threads: CPU threads; the machine's cores if not given.
        dtype, vae_dtype: of the networks; without them the faster ones by measurement (see `kinema.engine.choose`), kept in
            ``cache`` so that they stay the same. A ``dtype`` alone holds for both.
        device: ``"cpu"`` unless asked otherwise: what a clip looks like shouldn't depend on whether a GPU is there.
        compile: compiles the transformer's blocks: slower to start, faster for many clips.
        cache_level: leaves out denoising steps: 1 nearly every second, 2 two of three; the clip changes somewhat.
        decode: how latents become frames, one of the card's ``decodes``: see `kinema.core.plan.RunPlan`.
        quantise: keeps the matrices of a transformer's blocks as "int8" or "fp8"; the clip changes somewhat.
        offload: where weights lie, which changes no bit: "none" (all in memory), "component", "layers", "disk"
            (`kinema.core.memory`), or "auto": the fastest that fits in memory.
        lora_mode: "merged" adds LoRAs to the weights, "attached" has them beside the weights, which agrees within rounding; "auto"
            attaches them where ``quantise`` is asked for.
        memory_limit_gb: as if the device's memory had no more; a plan that needs more is refused.
        read_picture: reads keyframes; local files if not given.

    Raises: InvalidInput for an unknown model or setting.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        model: str | os.PathLike[str] | ModelFolder = "kinema-mini",
        *,
        threads: int | None = None,
        dtype: str | None = None,
        vae_dtype: str | None = None,
        device: str = "cpu",
        compile: bool = False,
        cache_level: int = 0,
        decode: str = "default",
        quantise: str = "none",
        offload: str = AUTO,
        lora_mode: str = AUTO,
        memory_limit_gb: float | None = None,
        read_picture: MediaReader | None = None,
        cache: Path | None = None,
    ) -> None:
        self.folder: ModelFolder = model if isinstance(model, ModelFolder) else open_model(model)
        for name, value, known in (
            ("dtype", dtype, DTYPES),
            ("vae_dtype", vae_dtype, DTYPES),
            ("device", device, DEVICES),
            ("decode", decode, self.card.decodes),
            ("quantise", quantise, QUANTISATIONS),
            ("offload", offload, (AUTO, *OFFLOADS)),
            ("lora_mode", lora_mode, (AUTO, *LORA_MODES)),
        ):
            if value is not None and value not in known:
                raise InvalidInput(name, value, f"must be {choices(known)}")
        if lora_mode == "attached" and not self.folder.loras:
            raise InvalidInput("lora_mode", lora_mode, "needs a LoRA; give one, or leave it out")
        if threads is not None and threads < 1:
            raise InvalidInput("threads", threads, "must be at least 1")
        self._threads = threads or num_cores()
        self._dtypes = (dtype, vae_dtype or dtype)
        check_level(cache_level)
        if memory_limit_gb is not None:
            check_number("memory_limit_gb", memory_limit_gb, above=0, most=1e12)
        self._quantise, self._offload, self._memory_limit_gb = quantise, offload, memory_limit_gb
        self._lora_mode = lora_mode
        self._device, self._compile, self._cache_level, self._decode = device, compile, cache_level, decode
        self._read_picture = read_picture
        self._cache = cache or cache_file()
        self._resident: tuple[tuple[object, ...], Family] | None = None
        # of batches that were tried: whether each request has the bits that it has alone
        self._is_exact: dict[tuple[object, ...], bool] = {}
        # of the networks that are here: under which plan they ran, and the most bytes that a run of theirs counts
        self._ran: tuple[RunPlan, int] | None = None

    @property
    def card(self) -> ModelCard:
        """What the model can do."""
        return self.folder.card

    def plan(self, request: GenerationRequest) -> RunPlan:
        """How ``request`` would be run here. The same machine gives the same plan, but for where weights lie, which changes no bit.

        Raises: UnsupportedRequest, also where no plan fits in memory; WeightsError for a LoRA of another model.
        """
        if self.folder.loras:
            from kinema.engine.families.parts import read_loras

            read_loras(self.folder)
        return self._plan(self._resolve(request))

    def place(self, request: GenerationRequest, plan: RunPlan, *, offload: str = AUTO) -> RunPlan:
        """``plan`` with weights where ``offload`` says, by default where they fit. Raises: UnsupportedRequest where that doesn't fit."""
        return self._placed(self._resolve(request), replace(plan, offload="none"), offload)

    def estimate(self, request: GenerationRequest, *, plan: RunPlan | None = None) -> Estimate:
        """What ``request`` would cost: FLOPs and peak bytes, without torch and without a tensor being read.

        Before anything was measured on this machine, and without a ``plan``, the networks are taken to be float32; and seconds aren't
        known.
        """
        resolved, known = self._resolve(request), known_choice(self._cache)
        plan = plan or self._guess_plan(resolved)
        return estimate(
            self.card, resolved.video, steps=resolved.steps, is_guided=resolved.is_guided, plan=plan,
            num_keyframes=len(resolved.keyframes), pace=None if known is None else known.pace(plan),
        )  # fmt: skip

    def generate(
        self,
        request: GenerationRequest,
        *,
        observer: Observer = ignore_progress,
        cancel: CancelToken | None = None,
        plan: RunPlan | None = None,
        resume: GenerationState | None = None,
        on_state: Callable[[GenerationState], None] | None = None,
        every: int = 1,
        spent: RunMetrics | None = None,
    ) -> Clip:
        """The clip of ``request``. Same request, same weights, same plan: the same bits.

        ``on_state`` gets a state every ``every`` steps and after the last, before the decode; given back as ``resume`` with its own
        request, the run goes on from there and ends with the bits that it would have had. ``spent`` is what it cost up to there, where that
        is more than the state knows of.

        Raises: InvalidInput, MediaError, WeightsError; Cancelled within one step of ``cancel``; KinemaError out of memory.
        """
        if every < 1:
            raise InvalidInput("every", every, "must be at least 1")
        plan = plan if resume is None else (plan or resume.plan)
        meter = Meter(spent if spent is not None or resume is None else resume.spent)
        run = self._run([request], observer, cancel, plan=plan, meter=meter)
        states = () if resume is None else (resume,)
        run.check(states)
        on_states = None if on_state is None else lambda states: on_state(states[0])
        family, latents = run.latents(self._load, resume=states, on_states=on_states, every=every)
        frames = run.frames(family, latents)[0]
        self._served(run)
        return run.clip(frames)

    def generate_batch(
        self,
        requests: Sequence[GenerationRequest],
        *,
        observer: Observer = ignore_progress,
        cancel: CancelToken | None = None,
        plan: RunPlan | None = None,
    ) -> list[Clip]:
        """The clips of ``requests``, denoised together; they must share size, length, steps and guidance.

        Each depends on its own request and seed, and equals the clip that `generate` makes up to the rounding of its dtype:
        matrix products of another size sum in another order. A batch of the same size gives the same bits again.
        """
        run = self._run(requests, observer, cancel, plan=plan)
        family, latents = run.latents(self._load)
        every = run.frames(family, latents)
        self._served(run)
        return [run.clip(frames, index=i) for i, frames in enumerate(every)]

    def denoise_together(
        self,
        requests: Sequence[GenerationRequest],
        *,
        resume: Sequence[GenerationState] = (),
        on_states: Callable[[Sequence[GenerationState]], None],
        observer: Observer = ignore_progress,
        meter: Meter | None = None,
    ) -> bool:
        """Whether ``requests`` were denoised together, each with the bits that it has alone; if not, nothing was done.

        That isn't so everywhere: a batch's matrix products have other sizes, for which a kernel may sum in another order. So before the
        first batch of its kind two steps are made both ways and compared. Nor are they where a batch needs another plan, for its memory.

        ``on_states`` gets a state of each after every step, from which `generate` goes on; after the last step that is the decode.
        What it or ``observer`` raises ends the run. ``resume`` are states of all, after one number of steps, to go on from. ``meter``
        counts the time.

        Raises: as `generate`.
        """
        resolved = [self._resolve(r) for r in requests]
        alone = self._plan(resolved[0])
        try:
            plan = self._plan(resolved[0], batch=len(resolved))
        except UnsupportedRequest:
            return False
        if replace(plan, batch=1) != alone or any(r.group != resolved[0].group for r in resolved):
            return False
        run = self._run(requests, observer, None, plan=plan, meter=meter)
        run.check(resume)
        if resume and resume[0].step == resolved[0].steps:
            return True
        if run.kind not in self._is_exact:
            self._is_exact[run.kind] = run.has_bits_of_each_alone(self._load, resume=resume)
        if self._is_exact[run.kind]:
            run.latents(self._load, resume=resume, on_states=on_states)
            self._served(run)
        return self._is_exact[run.kind]

    def stream(
        self,
        request: GenerationRequest,
        *,
        observer: Observer = ignore_progress,
        cancel: CancelToken | None = None,
        plan: RunPlan | None = None,
    ) -> ClipStream:
        """The frames of ``request`` as they are decoded, for a writer that encodes meanwhile; together the bits of `generate`."""
        run = self._run([request], observer, cancel, plan=plan)
        return ClipStream(run, self._load, self._served)

    def read_inputs(self, request: GenerationRequest) -> dict[str, str]:
        """Reference -> hash of the pictures that ``request`` names, as a recipe has them. Raises: MediaError."""
        from kinema.engine.run import input_hashes

        resolved = self._resolve(request)
        return input_hashes(resolved, self._pictures(resolved))

    def _run(
        self,
        requests: Sequence[GenerationRequest],
        observer: Observer,
        cancel: CancelToken | None,
        *,
        plan: RunPlan | None,
        meter: Meter | None = None,
    ) -> Run:
        """A run, checked in full and with its pictures read, before any tensor is."""
        if not requests:
            raise InvalidInput("requests", [], "must hold at least one request")
        resolved = [self._resolve(r) for r in requests]
        check_group(resolved)
        if plan is None:
            plan = self._plan(resolved[0], batch=len(resolved))
        plan = replace(plan, batch=len(resolved))
        check_plan(plan, resolved[0], self.card)
        pictures = [self._pictures(r) for r in resolved]

        from kinema.engine.clock import RunClock
        from kinema.engine.run import make_run

        # what the machine is, no plan can choose
        plan = replace(plan, isa=current_isa(plan.device))
        return make_run(
            self.folder,
            resolved,
            pictures,
            plan=plan,
            clock_of=lambda share: RunClock(observer, cancel, decode_share=share),
            meter=meter or Meter(),
        )

    def _resolve(self, request: GenerationRequest) -> ResolvedRequest:
        return resolve(request, self.card, model=self.folder.name)

    def _plan(self, resolved: ResolvedRequest, *, batch: int = 1) -> RunPlan:
        if None in self._dtypes:
            plan = self._plan_with(resolved, choose_dtypes(self._threads, device=self._device, cache=self._cache))
        else:
            plan = self._plan_with(resolved, None, isa=current_isa(self._device))
        return self._placed(resolved, replace(plan, batch=batch), self._offload)

    def _placed(self, resolved: ResolvedRequest, plan: RunPlan, offload: str) -> RunPlan:
        if offload != AUTO and self._memory_limit_gb is None:
            return replace(plan, offload=offload)  # type: ignore[arg-type]  # whoever chooses knows
        # the networks that are here now would go, or are those that the plan counts
        room, host = memory_room_bytes(runtime_bytes(self.card, plan) + self._resident_bytes()), None
        if plan.device == "cuda":
            room, host = device_room_bytes(), room
        if (kept := self._kept(resolved, plan)) is not None:
            # what ran here runs again: of memory that a run leaves to its process, the system's numbers don't tell
            room = None if room is None else max(room, kept.peak_bytes)
            host = None if host is None else max(host, kept.host_bytes)
        if self._memory_limit_gb is not None:
            limit = int(self._memory_limit_gb * 1e9)
            # the limit is for the plan that was asked for; what is free, for one that is chosen
            room = limit if room is None or offload != AUTO else min(limit, room)
        if room is None:
            return plan
        return choose_placement(
            self.card,
            resolved.video,
            max(1, room),
            plan=plan,
            is_guided=resolved.is_guided,
            num_keyframes=len(resolved.keyframes),
            offload=offload,
            host_memory_bytes=host,
        )

    def _guess_plan(self, resolved: ResolvedRequest) -> RunPlan:
        plan = self._plan_with(resolved, known_choice(self._cache))
        return plan if self._offload == AUTO else replace(plan, offload=self._offload)

    def _plan_with(self, resolved: ResolvedRequest, choice: DtypeChoice | None, *, isa: str = "default") -> RunPlan:
        choice = choice or DtypeChoice(dtype="float32", vae_dtype="float32", isa=isa)
        plan = default_plan(
            resolved,
            dtype=self._dtypes[0] or choice.dtype,
            vae_dtype=self._dtypes[1] or choice.vae_dtype,
            threads=self._threads,
            device=self._device,
            compile=self._compile,
            isa=choice.isa,
            cache_level=self._cache_level,
            decode=self._decode,
            quantise=self._quantise,
        )
        return replace(plan, lora_mode=self._chosen_lora_mode(plan))

    def _chosen_lora_mode(self, plan: RunPlan) -> Literal["merged", "attached"]:
        """By what changes bits anyhow: where weights lie, and what memory happens to be free, must not."""
        if self._lora_mode != AUTO:
            return "attached" if self._lora_mode == "attached" else "merged"
        return "attached" if self.folder.loras and plan.quantise != "none" else "merged"

    def _pictures(self, resolved: ResolvedRequest) -> dict[int, np.ndarray]:
        if (read := self._read_picture) is None:
            from kinema.media.picture import read_picture as read
        width_px, height_px = resolved.video.width_px, resolved.video.height_px
        keyframes = sorted(resolved.keyframes.items())
        return {place: read(k.media, width_px=width_px, height_px=height_px) for place, k in keyframes}

    def _resident_bytes(self) -> int:
        """Bytes of the weights that are in memory now."""
        return 0 if self._resident is None else self._resident[1].parts.num_bytes()

    def _kept(self, resolved: ResolvedRequest, plan: RunPlan) -> Placement | None:
        """The placement of the networks that are here, if ``plan`` is for them and they ran with as much memory as it counts."""
        if self._ran is None:
            return None
        from kinema.engine.families.family import residency_key

        ran, most = self._ran
        if residency_key(replace(ran, offload="none")) != residency_key(replace(plan, offload="none")):
            return None
        ways = placements(
            self.card, resolved.video, plan, is_guided=resolved.is_guided, num_keyframes=len(resolved.keyframes)
        )
        kept = next(w for w in ways if (w.plan.offload, w.plan.quantise) == (ran.offload, ran.quantise))
        return kept if kept.peak_bytes <= most else None

    def _served(self, run: Run) -> None:
        """Notes what the networks that are here were enough for."""
        from kinema.engine.families.family import residency_key

        if self._resident is not None and self._resident[0][0] == residency_key(run.plan):
            self._ran = run.plan, max(run.cost.peak_bytes, 0 if self._ran is None else self._ran[1])

    def _load(self, plan: RunPlan, clock: RunClock) -> Family:
        from kinema.engine.families.family import load_family, residency_key

        # files may change while their networks are in memory
        key = residency_key(plan), self.folder.content_hash()
        if self._resident is None or self._resident[0] != key:
            if self._resident is not None:
                self._resident = self._ran = None  # the old networks go before the new ones come
                gc.collect()  # those that come and go refer to themselves
            self._resident = key, load_family(self.folder, plan, clock)
        return self._resident[1]
