"""`RunPlan`: how a request is run, and what it will cost. Standard library only.

Same request, same weights, same plan: the same bits. Another plan is equivalent within the stated bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from kinema.core.card import ModelCard
from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape
from kinema.core.memory import (
    DTYPE_BYTES,
    OFFLOADS,
    QUANTISATIONS,
    memory_by_phase,
    num_tokens,
    scratch_bytes,
    traffic_by_phase,
)
from kinema.core.skips import check_level, computed_steps

DTYPES = tuple(DTYPE_BYTES)
DEVICES = ("cpu", "cuda")
GUIDANCE_MODES = ("batched", "split", "off")
DECODES = ("default", "exact", "frugal", "tiles")
LORA_MODES = ("merged", "attached")


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything besides request and weights that can change a bit of the result.

    ``threads`` counts CPU threads; ``isa`` is the processor's widest vector set (other sets sum in another order);
    ``cache_level`` is how boldly denoising steps are left out (0: never; see `kinema.core.skips`).
    ``decode`` is how latents become frames: ``default`` as the model's makers do, ``exact`` as if the whole clip were decoded at
    once, ``frugal`` the same in less memory (what has to wait lies in a temporary file, or a strip of rows is made after another),
    ``tiles`` in blended tiles. Most models' default is exact.
    ``quantise`` is how matrices of the transformer's blocks are kept; ``offload`` where weights lie, which changes no bit.
    ``lora_mode`` is whether LoRAs are added to the weights (merged) or beside them (attached).
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
    decode: Literal["default", "exact", "frugal", "tiles"] = "default"
    quantise: Literal["none", "int8", "fp8"] = "none"
    offload: Literal["none", "component", "layers", "disk"] = "none"
    lora_mode: Literal["merged", "attached"] = "merged"

    def __post_init__(self) -> None:
        for name in ("dtype", "vae_dtype"):
            if getattr(self, name) not in DTYPES:
                raise InvalidInput(name, getattr(self, name), f"must be {choices(DTYPES)}")
        if self.guidance_mode not in GUIDANCE_MODES:
            raise InvalidInput("guidance_mode", self.guidance_mode, f"must be {choices(GUIDANCE_MODES)}")
        if self.decode not in DECODES:
            raise InvalidInput("decode", self.decode, f"must be {choices(DECODES)}")
        if self.device not in DEVICES:
            raise InvalidInput("device", self.device, f"must be {choices(DEVICES)}")
        for name, known in (("quantise", QUANTISATIONS), ("offload", OFFLOADS), ("lora_mode", LORA_MODES)):
            if getattr(self, name) not in known:
                raise InvalidInput(name, getattr(self, name), f"must be {choices(known)}")
        if self.quantise != "none" and self.reads_file:
            rule = (
                f"doesn't go with offload={self.offload} on {self.device}, which reads each block from its file again"
            )
            raise InvalidInput("quantise", self.quantise, f"{rule}; none, or offload=component")
        if not isinstance(self.compile, bool):
            raise InvalidInput("compile", self.compile, "must be true or false")
        if self.compile and self.offload != "none":
            rule = f"must be none with compile: compiled blocks hold on to their weights (it is {self.offload})"
            raise InvalidInput("offload", self.offload, rule)
        if not isinstance(self.isa, str):
            raise InvalidInput("isa", self.isa, "must be text")
        check_level(self.cache_level)
        for name in ("batch", "threads"):
            check_whole(name, getattr(self, name), least=1)

    @property
    def reads_file(self) -> bool:
        """Whether blocks come from the file whenever they run: always from disk, and where the device's memory is the host's."""
        return self.offload == "disk" or (self.offload == "layers" and self.device == "cpu")

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
class Pace:
    """What a machine does in a second: FLOPs of large matrix products and of convolutions, and bytes of weights that come.

    ``read_bytes`` isn't measured: a fast disk gives about that, the system's cache more, a network disk less.
    """

    matmul_flops: float
    conv_flops: float
    read_bytes: float = 2e9


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will cost: FLOPs, peak bytes of the plan's device and, if the machine's pace is known, seconds, by phase.

    ``scratch_bytes`` are of temporary files on the disk.

    The seconds are the least that it can take: small products and all that is neither product nor convolution come on top.
    """

    flops: Mapping[str, float]
    memory_bytes: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
    scratch_bytes: int = 0

    @property
    def total_flops(self) -> float:
        """FLOPs of all phases."""
        return sum(self.flops.values())

    @property
    def peak_bytes(self) -> int:
        """Bytes in the phase that needs most."""
        return max(self.memory_bytes.values())

    @property
    def total_seconds(self) -> float | None:
        """Seconds of all phases, or None where the pace isn't known."""
        return sum(self.seconds.values()) if self.seconds else None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        told = {
            "flops": dict(self.flops),
            "total_flops": self.total_flops,
            "memory_bytes": dict(self.memory_bytes),
            "peak_bytes": self.peak_bytes,
            "scratch_bytes": self.scratch_bytes,
        }
        if self.seconds:
            told |= {"seconds": dict(self.seconds), "total_seconds": self.total_seconds}
        return told


def estimate(
    card: ModelCard,
    video: VideoShape,
    *,
    steps: int,
    is_guided: bool,
    plan: RunPlan,
    num_keyframes: int = 0,
    pace: Pace | None = None,
) -> Estimate:
    """The cost of one clip of shape ``video`` by the card's formulas; see `kinema.core.memory` for the bytes."""
    tokens, cost = num_tokens(card, video), card.cost
    # what runs in a step that is left out is hardly any work
    computed = sum(computed_steps(steps, plan.cache_level))
    passes = computed * (2 if is_guided else 1)
    flops = {
        "encode": cost.text * (2 if is_guided else 1)
        + cost.encode_per_pixel * video.height_px * video.width_px * num_keyframes,
        "denoise": passes
        * (cost.denoise_per_token * tokens + cost.denoise_per_token_pair * tokens**2 + cost.denoise_constant),
        "decode": cost.decode_per_pixel * card.made(video).pixels,
    }
    memory = memory_by_phase(card, video, plan, is_guided=is_guided, num_keyframes=num_keyframes)
    seconds: dict[str, float] = {}
    if pace is not None:
        calls = passes if plan.guidance_mode == "split" else computed
        traffic = traffic_by_phase(card, plan, calls=calls, num_keyframes=num_keyframes)
        for phase, amount in flops.items():
            work = amount / (pace.conv_flops if phase == "decode" else pace.matmul_flops)
            comes = traffic[phase] / pace.read_bytes
            # with a block fetched ahead the two go on at once
            seconds[phase] = max(work, comes) if plan.offload == "layers" and phase == "denoise" else work + comes
    scratch = scratch_bytes(card, video, plan)
    return Estimate(flops=flops, memory_bytes=memory, seconds=seconds, scratch_bytes=scratch)
