"""`RunPlan`: how a request is run, and what it will cost. Standard library only.

Same request, same weights, same plan: the same bits. Another plan is equivalent within the stated bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from kinema.core.card import ModelCard
from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape

DTYPES = ("float32", "bfloat16")
DEVICES = ("cpu", "cuda")
GUIDANCE_MODES = ("batched", "split", "off")
_DTYPE_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything besides request and weights that can change a bit of the result.

    ``threads`` counts CPU threads; ``isa`` is the processor's widest vector set (other sets sum in another order);
    ``cache_level`` is how boldly denoising steps are skipped (0: never).
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    vae_dtype: Literal["float32", "bfloat16"] = "float32"
    batch: int = 1
    guidance_mode: Literal["batched", "split", "off"] = "batched"
    compile: bool = False
    threads: int = 1
    device: Literal["cpu", "cuda"] = "cpu"
    isa: str = "default"
    cache_level: int = 0

    def __post_init__(self) -> None:
        for name in ("dtype", "vae_dtype"):
            if getattr(self, name) not in DTYPES:
                raise InvalidInput(name, getattr(self, name), f"must be {choices(DTYPES)}")
        if self.guidance_mode not in GUIDANCE_MODES:
            raise InvalidInput("guidance_mode", self.guidance_mode, f"must be {choices(GUIDANCE_MODES)}")
        if self.device not in DEVICES:
            raise InvalidInput("device", self.device, f"must be {choices(DEVICES)}")
        if not isinstance(self.compile, bool):
            raise InvalidInput("compile", self.compile, "must be true or false")
        if not isinstance(self.isa, str):
            raise InvalidInput("isa", self.isa, "must be text")
        for name, least in (("batch", 1), ("threads", 1), ("cache_level", 0)):
            check_whole(name, getattr(self, name), least=least)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunPlan:
        """The plan that `to_dict` described. Raises: InvalidInput."""
        if not isinstance(data, Mapping):
            raise InvalidInput("plan", data, "must be an object with the fields of a plan")
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise InvalidInput("plan", sorted(unknown), "unknown fields of a plan")
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will cost: FLOPs by phase and peak bytes."""

    flops: Mapping[str, float]
    peak_bytes: int

    @property
    def total_flops(self) -> float:
        """FLOPs of all phases."""
        return sum(self.flops.values())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "flops": dict(self.flops),
            "total_flops": self.total_flops,
            "peak_bytes": self.peak_bytes,
        }


def estimate(
    card: ModelCard,
    video: VideoShape,
    *,
    steps: int,
    is_guided: bool,
    plan: RunPlan,
    num_keyframes: int = 0,
) -> Estimate:
    """The cost of one clip of shape ``video``: FLOPs from the card's formulas, peak bytes as weights plus the largest activations."""
    tokens = card.compression.latent(video).num_tokens(card.patch) + (card.text_tokens if card.joint_text else 0)
    cost, passes = card.cost, steps * (2 if is_guided else 1)
    frame_pixels = video.height_px * video.width_px
    evaluation = cost.denoise_per_token * tokens + cost.denoise_per_token_pair * tokens**2 + cost.denoise_constant
    flops = {
        "encode": cost.text * (2 if is_guided else 1) + cost.encode_per_pixel * frame_pixels * num_keyframes,
        "denoise": passes * evaluation,
        "decode": cost.decode_per_pixel * video.pixels,
    }
    rows = plan.batch * (2 if is_guided and plan.guidance_mode == "batched" else 1)
    width = _DTYPE_BYTES[plan.dtype] / 4
    activations = max(
        rows * tokens * cost.activation_bytes_per_token * width,
        # the decoder streams: one latent frame's pixels are alive at a time
        card.compression.time * frame_pixels * cost.activation_bytes_per_pixel,
    )
    weights = sum(card.parameters.values()) * _DTYPE_BYTES[plan.dtype]
    return Estimate(flops=flops, peak_bytes=int(weights + activations + video.pixels * 3))
