"""What rooms need of each other without importing each other; `app` passes the implementations in. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from kinema.core.card import ModelCard
from kinema.core.geometry import VideoShape
from kinema.core.media_ref import MediaRef
from kinema.core.plan import RunPlan
from kinema.core.progress import CancelToken, Observer
from kinema.core.request import GenerationRequest


class Clip(Protocol):
    """A finished clip: ``frames`` is uint8 RGB (t h w c), ``recipe`` everything that is needed to make it again."""

    frames: Any
    shape: VideoShape
    recipe: Mapping[str, Any]


@runtime_checkable
class GenerationEngine(Protocol):
    """What turns requests into clips: the local engine, a worker's, or a test's fake."""

    def plan(self, request: GenerationRequest) -> RunPlan: ...

    def generate(
        self, request: GenerationRequest, *, observer: Observer, cancel: CancelToken | None = None
    ) -> Clip: ...


class MediaReader(Protocol):
    """Reads a picture at a size, as uint8 RGB (h w c). Raises: MediaError."""

    def __call__(self, media: MediaRef, *, width_px: int, height_px: int) -> Any: ...


class ClipScorer(Protocol):
    """Scores clips against a prompt, higher is better; what best-of-N and validation ask."""

    def __call__(self, frames: Any, *, prompt: str, fps: float) -> float: ...


class SampleSink(Protocol):
    """Where training puts the pictures it looks at: a sheet of uint8 RGB clips with their captions."""

    def __call__(self, name: str, clips: Sequence[Any], captions: Sequence[str]) -> None: ...


class PromptRewriter(Protocol):
    """Turns free text into what a model was trained on. Returns the text and warnings."""

    def __call__(self, prompt: str, card: ModelCard) -> tuple[str, tuple[str, ...]]: ...


class FrameStream(Protocol):
    """Frames as they are decoded, in order: uint8 RGB chunks (t h w c)."""

    def __iter__(self) -> Iterator[Any]: ...
