"""Kinema: words, pictures, sound and footage into video, on your own machine.

Names are looked up when they are first used, so that ``import kinema`` costs next to nothing and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from kinema.core.version import VERSION as __version__

if TYPE_CHECKING:
    from kinema.app.local import generate
    from kinema.core.card import ModelCard
    from kinema.core.errors import Cancelled, InvalidInput, KinemaError
    from kinema.core.geometry import VideoShape
    from kinema.core.media_ref import Keyframe, MediaRef
    from kinema.core.plan import RunPlan
    from kinema.core.progress import CancelToken, Progress
    from kinema.core.request import GenerationRequest
    from kinema.engine.engine import Engine

_HOMES = {
    "Cancelled": "kinema.core.errors",
    "CancelToken": "kinema.core.progress",
    "Engine": "kinema.engine.engine",
    "GenerationRequest": "kinema.core.request",
    "InvalidInput": "kinema.core.errors",
    "Keyframe": "kinema.core.media_ref",
    "KinemaError": "kinema.core.errors",
    "MediaRef": "kinema.core.media_ref",
    "ModelCard": "kinema.core.card",
    "Progress": "kinema.core.progress",
    "RunPlan": "kinema.core.plan",
    "VideoShape": "kinema.core.geometry",
    "generate": "kinema.app.local",
}

__all__ = [
    "CancelToken",
    "Cancelled",
    "Engine",
    "GenerationRequest",
    "InvalidInput",
    "Keyframe",
    "KinemaError",
    "MediaRef",
    "ModelCard",
    "Progress",
    "RunPlan",
    "VideoShape",
    "__version__",
    "generate",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kinema' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
