"""`GenerationRequest`: one frozen value for the command line, Python, the wire and the queue. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from kinema.core.checks import check_number, check_whole
from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import parse_aspect, parse_size
from kinema.core.media_ref import Keyframe, MediaRef

MAX_PROMPT_BYTES = 8192
MAX_SEED = 2**63 - 1
_NUMBERS: dict[str, dict[str, float]] = {
    "seconds": {"above": 0, "most": 3600},
    "fps": {"above": 0, "most": 240},
    "guidance": {"least": 0, "most": 100},
    "guidance_2": {"least": 0, "most": 100},
    "strength": {"least": 0, "most": 1},
}
_WHOLES = {
    "frames": {"least": 1, "most": 86400},
    "steps": {"least": 1, "most": 1000},
    "motion": {"least": 1, "most": 255},
    "seed": {"least": 0, "most": MAX_SEED},
}
CONTROL_KINDS = ("sketch", "depth", "pose", "edges")


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What to make. Features are what is filled in; ``None`` leaves a choice to the model's card.

    One keyframe at 0 s is image-to-video; first and last is in-betweening; a source is extended, edited or restyled.
    ``original_prompt`` is what was typed where ``prompt`` was rewritten or given the words of ``style``; it changes nothing.
    ``guidance_2`` is the guidance of the second of two networks, where a model has one for the noisy steps and one for the rest.
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
    guidance_2: float | None = None
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
    original_prompt: str | None = None

    def __post_init__(self) -> None:
        _check_prompt("prompt", self.prompt, required=True)
        _check_prompt("negative_prompt", self.negative_prompt, required=False)
        if self.original_prompt is not None:
            _check_prompt("original_prompt", self.original_prompt, required=True)
        for name in ("size", "aspect_ratio", "model", "style", "camera"):
            _check_text(name, getattr(self, name), is_optional=name != "model")
        if self.seconds is not None and self.frames is not None:
            raise InvalidInput("frames", self.frames, f"give seconds or frames, not both (seconds is {self.seconds})")
        if self.size is not None and self.aspect_ratio is not None:
            rule = f"give size or aspect_ratio, not both (size is {self.size})"
            raise InvalidInput("aspect_ratio", self.aspect_ratio, rule)
        for name, bounds in _NUMBERS.items():
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), **bounds)
        for name, bounds in _WHOLES.items():
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), **bounds)
        if self.size is not None:
            parse_size(self.size)
        if self.aspect_ratio is not None:
            parse_aspect(self.aspect_ratio)
        _check_items("keyframes", self.keyframes, "a tuple of Keyframe", lambda k: isinstance(k, Keyframe))
        _check_items("references", self.references, "a tuple of (MediaRef, name)", lambda r: _is_pair(r, MediaRef, str))
        _check_items("controls", self.controls, "a tuple of (kind, MediaRef)", lambda c: _is_pair(c, str, MediaRef))
        if self.source is not None and not isinstance(self.source, MediaRef):
            raise InvalidInput("source", self.source, "must be a MediaRef")
        for kind, _ in self.controls:
            if kind not in CONTROL_KINDS:
                raise InvalidInput("controls", kind, f"must be {choices(CONTROL_KINDS)}")
        if not isinstance(self.audio, MediaRef) and self.audio not in ("off", "on"):
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
        if not isinstance(data, Mapping):
            raise InvalidInput("request", data, "must be an object with the fields of a request")
        known = {f.name for f in fields(cls)}
        for name in data:
            if name not in known:
                raise InvalidInput(name, data[name], f"unknown field; {choices(sorted(known))}")
        if "prompt" not in data:
            raise InvalidInput("prompt", None, "is required")
        return cls(**{name: _decode(name, value) for name, value in data.items()})

    def replace(self, **changes: Any) -> GenerationRequest:
        """A copy with ``changes``, checked anew."""
        return replace(self, **changes)


def _decode(name: str, value: Any) -> Any:
    if name not in _DECODERS:
        return value
    rule, decode = _DECODERS[name]
    try:
        return decode(value)
    except InvalidInput as e:
        raise InvalidInput(name, e.value, e.rule) from e
    except (TypeError, ValueError, KeyError, AttributeError) as e:
        raise InvalidInput(name, value, rule) from e


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


def _check_text(name: str, value: object, *, is_optional: bool) -> None:
    if not (isinstance(value, str) or (value is None and is_optional)):
        raise InvalidInput(name, value, "must be text")


def _check_items(name: str, values: object, kind: str, fits: Callable[[Any], bool]) -> None:
    if not isinstance(values, tuple):
        raise InvalidInput(name, values, f"must be {kind}")
    for value in values:
        if not fits(value):
            raise InvalidInput(name, value, f"must be {kind}")


def _is_pair(value: object, first: type, second: type) -> bool:
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return isinstance(value[0], first) and isinstance(value[1], second)


_ENCODERS = {
    "keyframes": lambda ks: [{"media": k.media.ref, "at_s": k.at_s} for k in ks],
    "source": lambda m: m and m.ref,
    "references": lambda rs: [{"media": m.ref, "name": n} for m, n in rs],
    "controls": lambda cs: [{"kind": k, "media": m.ref} for k, m in cs],
    "audio": lambda a: {"media": a.ref} if isinstance(a, MediaRef) else a,
}
# what a field looks like in JSON, and how it is read
_DECODERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "keyframes": (
        'must be a list of {"media": FILE, "at_s": SECONDS}',
        lambda ks: tuple(Keyframe(MediaRef(k["media"]), k.get("at_s", 0.0)) for k in ks),
    ),
    "source": ("must be a path, a URL or sha256:HASH", lambda m: None if m is None else MediaRef(m)),
    "references": (
        'must be a list of {"media": FILE, "name": NAME}',
        lambda rs: tuple((MediaRef(r["media"]), r["name"]) for r in rs),
    ),
    "controls": (
        'must be a list of {"kind": KIND, "media": FILE}',
        lambda cs: tuple((c["kind"], MediaRef(c["media"])) for c in cs),
    ),
    "audio": (
        'must be off, on, or {"media": FILE}',
        lambda a: MediaRef(a["media"]) if isinstance(a, Mapping) else a,
    ),
}
