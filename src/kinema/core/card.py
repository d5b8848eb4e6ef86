"""`ModelCard`: what a model can do and what it costs, readable without torch. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kinema.core.blocks import BlockSizes
from kinema.core.checks import check_number, check_whole
from kinema.core.errors import InvalidInput, UnsupportedRequest, choices
from kinema.core.geometry import Compression, VideoShape, nearest_size, parse_aspect, parse_size
from kinema.core.request import GenerationRequest


@dataclass(frozen=True, kw_only=True)
class CostFormula:
    """FLOPs of the phases as polynomials of the shape, so that a plan needs no network.

    ``denoise_per_token`` and ``denoise_per_token_pair`` are FLOPs of one transformer evaluation per token and per pair of tokens
    (attention); ``decode_per_pixel`` and ``encode_per_pixel`` of the autoencoder; ``text`` of one prompt. Bytes are of fp32;
    ``kept_bytes_per_pixel`` wait in an exact decode whose norms span the clip; ``strip_px``: a frugal decode goes by strips, and holds
    what a frame of so many rows does.
    """

    denoise_per_token: float
    denoise_per_token_pair: float
    denoise_constant: float = 0.0
    encode_per_pixel: float
    decode_per_pixel: float
    text: float
    activation_bytes_per_token: float
    activation_bytes_per_pixel: float
    kept_bytes_per_pixel: float = 0.0
    strip_px: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            check_number(f.name, getattr(self, f.name), least=0)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model can do (sizes, frame step, fps, conditions, languages, vocabulary, sound) and what it costs.

    ``sizes`` are (width_px, height_px); the first is the default. With ``any_size`` they are what the model was trained for,
    and any other size on its grid is taken, too. ``conditions`` are the inputs that the model was trained on besides the
    prompt; ``needs`` are those of them that it can't do without. ``joint_text``: text tokens stand in one sequence with the
    video's, and don't only answer it. ``embedded_guidance``: guidance is an input of the network and costs no second evaluation.
    ``default_guidance_2``: of a second network for the less noisy steps, if it has one. ``keyframes_at``: the times that keyframes
    may have, in seconds and -1 for the last frame; empty: any. ``one_spelling``: it was trained on prompts as
    `kinema.prompt.normalise` writes them; else they reach it as they were typed. ``blocks``: how the parameters lie in those
    components that can be streamed and quantised; ``adapters``: the numbers in the LoRAs that a model was opened with, by the
    component that they are for. ``decodes``: the ways from latents to frames that it has, as a plan names them.
    ``hidden_latent_frames`` are made with every clip and not shown.
    """

    name: str
    version: str
    family: str
    license: str
    parameters: Mapping[str, int]
    weights_bytes: int
    sizes: tuple[tuple[int, int], ...]
    compression: Compression
    patch: tuple[int, int, int]
    text_tokens: int
    fps: tuple[float, ...]
    default_seconds: float
    max_frames: int
    default_steps: int
    default_guidance: float
    conditions: tuple[str, ...]
    cameras: tuple[str, ...]
    languages: tuple[str, ...]
    cost: CostFormula
    vocabulary: Mapping[str, Any] = field(default_factory=dict)
    has_sound: bool = False
    any_size: bool = False
    needs: tuple[str, ...] = ()
    joint_text: bool = True
    embedded_guidance: bool = False
    default_guidance_2: float | None = None
    keyframes_at: tuple[float, ...] = ()
    one_spelling: bool = True
    decodes: tuple[str, ...] = ("default", "exact")
    hidden_latent_frames: int = 0
    blocks: Mapping[str, BlockSizes] = field(default_factory=dict)
    adapters: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("sizes", "fps"):
            if not getattr(self, name):
                raise InvalidInput(name, getattr(self, name), "must name at least one that the model can do")
        for name, least in (
            ("weights_bytes", 0),
            ("text_tokens", 0),
            ("max_frames", 1),
            ("default_steps", 1),
            ("hidden_latent_frames", 0),
        ):
            check_whole(name, getattr(self, name), least=least)
        for name, values in (
            ("sizes", sum(self.sizes, ())),
            ("patch", self.patch),
            ("parameters", self.parameters.values()),
            ("adapters", self.adapters.values()),
        ):
            for value in values:
                check_whole(name, value, least=0 if name in ("parameters", "adapters") else 1)
        for fps in self.fps:
            check_number("fps", fps, above=0)
        for name in ("default_seconds", "default_guidance"):
            check_number(name, getattr(self, name), least=0)
        if unknown := [n for n in self.needs if n not in self.conditions]:
            raise InvalidInput(
                "needs", unknown, f"must be among its conditions: {', '.join(self.conditions) or 'none'}"
            )
        if not _is_vocabulary(self.vocabulary):
            raise InvalidInput(
                "vocabulary", self.vocabulary, "must map attributes to values, and these to lists of words"
            )

    def made(self, video: VideoShape) -> VideoShape:
        """What is made where ``video`` is asked for: that, and the frames that aren't shown."""
        return replace(video, frames=video.frames + self.hidden_latent_frames * self.compression.time)

    def shape(self, request: GenerationRequest) -> VideoShape:
        """The clip that ``request`` asks this model for, its defaults filled in.

        Raises: UnsupportedRequest naming the nearest that the model can do.
        """
        fps = self._fps(request.fps)
        width, height = self._size(request)
        frames = self._frames(request, fps)
        video = VideoShape(frames=frames, height_px=height, width_px=width, fps=fps)
        self.compression.check(video)
        return video

    def check(self, request: GenerationRequest) -> VideoShape:
        """`shape`, after every condition of ``request`` was found to be one that this model takes. Raises: UnsupportedRequest."""
        wanted = {
            "keyframes": bool(request.keyframes),
            "source": request.source is not None,
            "references": bool(request.references),
            "camera": request.camera is not None,
            "motion": request.motion is not None,
            "controls": bool(request.controls),
            "style": request.style is not None and request.original_prompt is None,  # else its words are in the prompt
            "audio": request.audio != "off",
        }
        for name, is_wanted in wanted.items():
            if is_wanted and name not in self.conditions:
                rule = f"{self.name} was not trained on it; it takes {', '.join(self.conditions) or 'text alone'}"
                value = getattr(request, name)
                raise UnsupportedRequest(name, value if isinstance(value, str | int | float) else "given", rule)
        for name in self.needs:
            if not wanted[name]:
                raise UnsupportedRequest(name, "none", f"{self.name} can't do without; give a picture to begin with")
        if request.camera is not None and request.camera not in self.cameras:
            raise UnsupportedRequest("camera", request.camera, f"must be {choices(self.cameras)}")
        if request.guidance_2 is not None and self.default_guidance_2 is None:
            rule = f"goes with models of two networks, and {self.name} has one"
            raise UnsupportedRequest("guidance_2", request.guidance_2, rule)
        if request.negative_prompt and self.embedded_guidance:
            rule = f"{self.name} has its guidance built in and takes no negative prompt; leave it out"
            raise UnsupportedRequest("negative_prompt", request.negative_prompt, rule)
        video = self.shape(request)
        for keyframe in request.keyframes:
            if self.keyframes_at and keyframe.at_s not in self.keyframes_at:
                times = ", ".join("-1 (the last frame)" if t == -1 else f"{t:g} s" for t in self.keyframes_at)
                raise UnsupportedRequest("keyframes", keyframe.at_s, f"{self.name} takes pictures at {times} alone")
            if not -1 <= keyframe.at_s <= video.seconds:
                rule = f"must lie within the clip's {video.seconds:g} s (or be -1 for the last frame)"
                raise UnsupportedRequest("keyframes", keyframe.at_s, rule)
        if self.keyframes_at and request.keyframes and all(k.at_s != self.keyframes_at[0] for k in request.keyframes):
            rule = f"{self.name} needs a picture at {self.keyframes_at[0]:g} s as well"
            raise UnsupportedRequest("keyframes", request.keyframes[0].at_s, rule)
        return video

    def _fps(self, fps: float | None) -> float:
        if fps is None:
            return self.fps[0]
        if fps not in self.fps:
            raise UnsupportedRequest("fps", fps, f"{self.name} makes {choices(f'{f:g}' for f in self.fps)}")
        return fps

    def _size(self, request: GenerationRequest) -> tuple[int, int]:
        if request.size is not None:
            size = parse_size(request.size)
            if size not in self.sizes and not self.any_size:
                known = ", ".join(f"{w}x{h}" for w, h in self.sizes)
                near = nearest_size(self.sizes, size[0] / size[1])
                rule = f"{self.name} makes {known}; nearest: {near[0]}x{near[1]}"
                raise UnsupportedRequest("size", request.size, rule)
            return size
        if request.aspect_ratio is not None:
            return nearest_size(self.sizes, parse_aspect(request.aspect_ratio))
        return self.sizes[0]

    def _frames(self, request: GenerationRequest, fps: float) -> int:
        longest = self.max_frames
        if request.frames is not None:
            if request.frames > longest:
                raise UnsupportedRequest("frames", request.frames, f"{self.name} makes at most {longest}")
            return request.frames
        seconds = self.default_seconds if request.seconds is None else request.seconds
        frames = self.compression.snap_frames(seconds * fps)
        if frames > longest:
            rule = f"{self.name} makes at most {longest / fps:.3g} s at {fps:g} fps"
            raise UnsupportedRequest("seconds", seconds, rule)
        return frames

    def to_json(self) -> str:
        """The card as JSON text; `from_json` gives the same card back."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, field_name: str = "card") -> ModelCard:
        """The card that `to_json` described. Raises: InvalidInput."""
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise TypeError("it must be a JSON object")
            unknown = set(data) - {f.name for f in fields(cls)}
            if unknown:
                raise InvalidInput("fields", sorted(unknown), "are unknown in a model card")
            data["compression"] = Compression(**data["compression"])
            data["cost"] = CostFormula(**data["cost"])
            data["blocks"] = {name: BlockSizes(**sizes) for name, sizes in data.get("blocks", {}).items()}
            data["sizes"] = tuple((w, h) for w, h in data["sizes"])
            for name in ("patch", "fps", "conditions", "cameras", "languages"):
                data[name] = tuple(data[name])
            for name in ("needs", "keyframes_at", "decodes"):
                if name in data:  # cards of before lack them
                    data[name] = tuple(data[name])
            return cls(**data)
        except InvalidInput as e:
            raise InvalidInput(f"{field_name}: {e.field}", e.value, e.rule) from e
        except (TypeError, ValueError, KeyError, AttributeError) as e:
            raise InvalidInput(field_name, text[:40], f"is not a model card: {e}") from e

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """The card in a file. Raises: InvalidInput if there is none or it can't be read."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), field_name=str(path))
        except OSError as e:
            raise InvalidInput("model", path.parent, f"has no readable {path.name}: {e.strerror}") from e
        except UnicodeDecodeError as e:
            raise InvalidInput("model", path.parent, f"has no readable {path.name}: it is not UTF-8 text") from e


def _is_vocabulary(value: object) -> bool:
    attributes = value.values() if isinstance(value, Mapping) else [None]
    lists = [words for a in attributes for words in (a.values() if isinstance(a, Mapping) else [None])]
    return all(isinstance(words, (list, tuple)) and all(isinstance(w, str) for w in words) for words in lists)
