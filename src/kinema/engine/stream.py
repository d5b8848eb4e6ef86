"""`ClipStream`: a clip's frames as they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kinema.core.geometry import VideoShape
from kinema.core.plan import RunPlan

if TYPE_CHECKING:
    import numpy as np

    from kinema.engine.clock import RunClock
    from kinema.engine.families.family import Family
    from kinema.engine.run import Run


class ClipStream:
    """Chunks of frames (t h w c) as they are decoded. The denoise happens when the first is asked for; it can be walked once.

    ``recipe`` is for a writer that asks for it at the end, with the hash of all frames.
    """

    def __init__(self, run: Run, load: Callable[[RunPlan, RunClock], Family], done: Callable[[Run], None]) -> None:
        self._run, self._load, self._done = run, load, done

    @property
    def shape(self) -> VideoShape:
        """The clip's shape."""
        return self._run.requests[0].video

    def __iter__(self) -> Iterator[np.ndarray]:
        family, latents = self._run.latents(self._load)
        yield from self._run.stream(family, latents)
        self._done(self._run)

    def recipe(self, frames_digest: str) -> dict[str, Any]:
        """The recipe of the clip whose frames have this hash."""
        return self._run.recipe(frames_digest)
