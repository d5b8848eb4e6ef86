"""`GenerationRequest`: one frozen value for the command line, Python, the wire and the queue. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import parse_aspect, parse_size
from kinema.core.media_ref import Keyframe, MediaRef

MAX_PROMPT_BYTES = 8192
MAX_SEED = 2**63 - 1
CONTROL_KINDS = ("sketch", "depth", "pose", "edges")


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What to make. Features are what is filled in; ``None`` leaves a choice to the model's card.

    One keyframe at 0 s is image-to-video; first and last is in-betweening; a source is extended, edited or restyled.
    ``size`` is ``"WIDTHxHEIGHT"``, ``aspect_ratio`` ``"W:H"``, ``motion`` a score from 1 to 255, ``camera`` a class of camera motion.

    Raises: InvalidInput, naming the field, the value and the rule.
    """

    prompt: str
    negative_prompt: str = ""
    seconds: float | None = None
    frames: int | None = None
    size: str | None = None
    aspect_ratio: str | None = None
    fps: float | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    model: str = "kinema-mini"
    style: str | None = None
    keyframes: tuple[Keyframe, ...] = ()
    source: MediaRef | None = None
    strength: float | None = None
    references: tuple[tuple[MediaRef, str], ...] = ()
    camera: str | None = None
    motion: int | None = None
    controls: tuple[tuple[str, MediaRef], ...] = ()
    audio: str | MediaRef = "off"

    def __post_init__(self) -> None:
        _check_prompt("prompt", self.prompt, required=True)
        _check_prompt("negative_prompt", self.negative_prompt, required=False)
        if self.seconds is not None and self.frames is not None:
            raise InvalidInput("frames", self.frames, f"give seconds or frames, not both (seconds is {self.seconds:g})")
        if self.size is not None and self.aspect_ratio is not None:
            raise InvalidInput("aspect_ratio", self.aspect_ratio, f"give size or aspect_ratio, not both (size is {self.size})")
        _check_number("seconds", self.seconds, above=0, most=3600)
        _check_number("fps", self.fps, above=0, most=240)
        _check_number("guidance", self.guidance, least=0, most=100)
        _check_number("strength", self.strength, least=0, most=1)
        _check_whole("frames", self.frames, least=1, most=86400)
        _check_whole("steps", self.steps, least=1, most=1000)
        _check_whole("motion", self.motion, least=1, most=255)
        _check_whole("seed", self.seed, least=0, most=MAX_SEED)
        if self.size is not None:
            parse_size(self.size)
        if self.aspect_ratio is not None:
            parse_aspect(self.aspect_ratio)
        for kind, _ in self.controls:
            if kind not in CONTROL_KINDS:
                raise InvalidInput("controls", kind, f"must be {choices(CONTROL_KINDS)}")
        if isinstance(self.audio, str) and self.audio not in ("off", "on"):
            raise InvalidInput("audio", self.audio, "must be off, on, or a MediaRef")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict of the fields that are set; `from_dict` gives the same request back."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "prompt" or value != f.default:
                out[f.name] = _ENCODERS.get(f.name, lambda v: v)(value)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GenerationRequest:
        """The request that `to_dict` described. Raises: InvalidInput for unknown or ill-typed fields."""
        known = {f.name for f in fields(cls)}
        for name in data:
            if name not in known:
                raise InvalidInput(name, data[name], f"unknown field; {choices(sorted(known))}")
        if "prompt" not in data:
            raise InvalidInput("prompt", None, "is required")
        try:
            return cls(**{k: _DECODERS[k](v) if k in _DECODERS else v for k, v in data.items()})
        except (TypeError, ValueError, KeyError) as e:
            raise InvalidInput("request", dict(data), f"could not be read: {e}") from e

    def replace(self, **changes: Any) -> GenerationRequest:
        """A copy with ``changes``, checked anew."""
        return replace(self, **changes)


def _check_prompt(name: str, value: object, *, required: bool) -> None:
    if not isinstance(value, str):
        raise InvalidInput(name, value, "must be text")
    if required and not value.strip():
        raise InvalidInput(name, value, "is empty; describe the clip in English or Chinese")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError as e:
        raise InvalidInput(name, ascii(value), "is not valid Unicode text") from e
    if size > MAX_PROMPT_BYTES:
        raise InvalidInput(name, value[:40] + "...", f"is {size} bytes long; at most {MAX_PROMPT_BYTES} are read")


def _check_number(
    name: str, value: object, *, above: float | None = None, least: float | None = None, most: float
) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidInput(name, value, "must be a number")
    if value > most or (above is not None and value <= above) or (least is not None and value < least):
        low = f"above {above:g}" if above is not None else f"at least {least:g}"
        raise InvalidInput(name, value, f"must be {low} and at most {most:g}")


def _check_whole(name: str, value: object, *, least: int, most: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(name, value, "must be a whole number")
    if not least <= value <= most:
        raise InvalidInput(name, value, f"must be from {least} to {most}")


_ENCODERS = {
    "keyframes": lambda ks: [{"media": k.media.ref, "at_s": k.at_s} for k in ks],
    "source": lambda m: m and m.ref,
    "references": lambda rs: [{"media": m.ref, "name": n} for m, n in rs],
    "controls": lambda cs: [{"kind": k, "media": m.ref} for k, m in cs],
    "audio": lambda a: {"media": a.ref} if isinstance(a, MediaRef) else a,
}
_DECODERS = {
    "keyframes": lambda ks: tuple(Keyframe(MediaRef(k["media"]), float(k.get("at_s", 0.0))) for k in ks),
    "source": lambda m: None if m is None else MediaRef(m),
    "references": lambda rs: tuple((MediaRef(r["media"]), r["name"]) for r in rs),
    "controls": lambda cs: tuple((c["kind"], MediaRef(c["media"])) for c in cs),
    "audio": lambda a: MediaRef(a["media"]) if isinstance(a, Mapping) else a,
}
