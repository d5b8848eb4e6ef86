"""`Resumable`: an engine that keeps its run in a file, and goes on from there after whatever ended it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.core.errors import Cancelled, InvalidInput, StorageError
from kinema.core.placement import AUTO
from kinema.core.plan import Estimate, RunPlan
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.core.request import GenerationRequest

if TYPE_CHECKING:
    from kinema.engine.clip import Clip
    from kinema.engine.engine import Engine
    from kinema.engine.state import GenerationState

# how often a run is kept: what a kill costs, beside what writing does
_EVERY_S = 10.0


class Resumable:
    """``engine`` for one clip, whose run is in ``file`` every ``every_s`` seconds, before the decode, and when it is canceled or fails.

    Where the file is there already the run goes on from it and ends with the bits that it would have had. `forget` it when the clip is
    written. A request comes from `resumed_request`. A ``dtype`` that somebody asked for must be the kept run's; one that was measured
    need not.
    """

    def __init__(self, engine: Engine, file: Path, *, dtype: str = AUTO, every_s: float = _EVERY_S) -> None:
        self.engine, self.file, self._every_s = engine, file, every_s
        self._named = ("cache_level", "quantise", "lora_mode", *(() if dtype == AUTO else ("dtype", "vae_dtype")))

    def plan(self, request: GenerationRequest) -> RunPlan:
        """How ``request`` would be run."""
        return self.engine.plan(request)

    def estimate(self, request: GenerationRequest, *, plan: RunPlan | None = None) -> Estimate:
        """What ``request`` would cost, from its beginning."""
        return self.engine.estimate(request, plan=plan)

    def generate(
        self, request: GenerationRequest, *, observer: Observer = ignore_progress, cancel: CancelToken | None = None
    ) -> Clip:
        """The clip. Raises: InvalidInput for a kept run of another request, of other weights or of another machine; KinemaError.

        A `Cancelled` says where the run is kept.
        """
        from kinema.media.files import AtomicFile

        state = _kept(self.file)
        AtomicFile(self.file).discard()  # a place that can't be written shows before any work
        keeper = _Keeper(self.file, self._every_s)
        try:
            return self.engine.generate(
                request,
                resume=state,
                # where weights lie changes no bit, and how latents are decoded none of theirs
                plan=None if state is None else self._place(request, state),
                observer=observer,
                cancel=cancel,
                on_state=keeper,
            )
        except Cancelled as e:
            if keeper.write() or state is not None:
                e.args = (f"{e}; the run is kept in {self.file}, and goes on from there when it is asked for again",)
            raise
        except InvalidInput as e:
            if e.field != "resume":
                raise
            raise _refused(self.file, f"{e.rule}: {e.value}") from e
        except BaseException:
            with suppress(StorageError):  # that may be what ended it
                keeper.write()
            raise

    def forget(self) -> None:
        """Removes the file."""
        self.file.unlink(missing_ok=True)

    def _place(self, request: GenerationRequest, state: GenerationState) -> RunPlan:
        from kinema.app.states import check_place

        plan = self.engine.plan(request)
        try:
            check_place(state, model_hash=self.engine.folder.content_hash(), device=plan.device)
        except InvalidInput as e:
            raise _refused(self.file, e.rule) from e
        # what it is computed in is the kept run's; what somebody asks for by name must be the same
        for name in self._named:
            mine, kept = getattr(plan, name), getattr(state.plan, name)
            if mine != kept:
                raise _refused(self.file, f"was made with {name} {kept}, and not {mine}")
        return self.engine.place(request, replace(state.plan, decode=plan.decode), offload=plan.offload)


class _Keeper:
    """Writes states that it is given into ``file``: the last step's, and else not oftener than every ``every_s`` seconds."""

    def __init__(self, file: Path, every_s: float) -> None:
        self._file, self._every_s, self._written = file, every_s, time.monotonic()
        self._newest: GenerationState | None = None
        self._wrote = False

    def __call__(self, state: GenerationState) -> None:
        """Raises: StorageError."""
        self._newest = state
        if state.step == state.request.steps or time.monotonic() - self._written >= self._every_s:
            self.write()

    def write(self) -> bool:
        """Writes the newest state if it wasn't; whether there ever was one. Raises: StorageError."""
        from kinema.app.states import state_to_bytes
        from kinema.data.load.shards import write_atomically

        if self._newest is not None:
            write_atomically(self._file, state_to_bytes(self._newest, owner=""))
            self._newest, self._wrote = None, True
            self._written = time.monotonic()
        return self._wrote


def resumed_request(request: GenerationRequest, file: Path, *, count: int = 1, best_of: int = 1) -> GenerationRequest:
    """``request`` with the seed of the run that ``file`` keeps, if it asks for none and there is one.

    Raises: InvalidInput for a file that keeps no run of this version, and for more than one clip.
    """
    if (count, best_of) != (1, 1):
        raise InvalidInput("checkpoint", file, "keeps the run of one clip; ask for one, without --count and --best-of")
    state = _kept(file) if request.seed is None else None
    return request if state is None else request.replace(seed=state.request.seed)


def _kept(file: Path) -> GenerationState | None:
    if not file.exists():
        return None
    from kinema.app.states import read_state

    try:
        return read_state(file)
    except InvalidInput as e:
        raise _refused(file, e.rule) from e


def _refused(file: Path, rule: str) -> InvalidInput:
    return InvalidInput("checkpoint", file, f"{rule}; remove it, or name another file")
