"""What rooms need of each other without importing each other; `app` passes the implementations in. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from kinema.core.geometry import VideoShape
from kinema.core.media_ref import MediaRef
from kinema.core.plan import Estimate, RunPlan
from kinema.core.progress import CancelToken, Observer
from kinema.core.request import GenerationRequest


class Clip(Protocol):
    """A finished clip. Read-only, so that a frozen one fits."""

    @property
    def frames(self) -> Any:
        """The pixels, uint8 RGB (t h w c)."""
        ...

    @property
    def shape(self) -> VideoShape:
        """Their shape."""
        ...

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Everything that is needed to make it again."""
        ...


C = TypeVar("C", bound=Clip, covariant=True)


class GenerationEngine(Protocol[C]):
    """What turns requests into clips: the local engine, a worker's, or a test's fake."""

    def plan(self, request: GenerationRequest) -> RunPlan:
        """How ``request`` would be run here."""
        ...

    def estimate(self, request: GenerationRequest, *, plan: RunPlan | None = None) -> Estimate:
        """What ``request`` would cost."""
        ...

    def generate(self, request: GenerationRequest, *, observer: Observer, cancel: CancelToken | None = None) -> C:
        """The clip of ``request``. Raises: KinemaError."""
        ...


class MediaReader(Protocol):
    """Reads a picture at a size, as uint8 RGB (h w c). Raises: MediaError."""

    def __call__(self, media: MediaRef, *, width_px: int, height_px: int) -> Any: ...


class SampleSink(Protocol):
    """Where training puts the pictures it looks at: a sheet of uint8 RGB clips with their captions."""

    def __call__(self, name: str, clips: Sequence[Any], captions: Sequence[str]) -> None: ...
