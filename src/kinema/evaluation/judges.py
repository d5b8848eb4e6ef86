"""Reading a clip: `Judges` says of any frames what they show, with the names of `kinema.world.nature`.

The networks are `kinema.models.judges`, trained on true renders by `kinema.training.judges`. How often they are right is measured by
`kinema.evaluation.floors`: no score of a model can be better than that floor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from kinema.core.errors import InvalidInput, WeightsError, storage_errors
from kinema.data.load.shards import write_atomically
from kinema.evaluation.tracks import Track, detections, tracks
from kinema.models.judges.clip import ClipJudge, ClipJudgeConfig
from kinema.models.judges.frame import MULTIPLE, FrameJudge, FrameJudgeConfig
from kinema.training.judges import CAMERA_NAMES as CAMERAS
from kinema.training.judges import CLIP, FRAME, KIND_NAMES, PATH_SCALE, WHOLE
from kinema.weights.build import read_config
from kinema.world.nature import ACTIONS, COLOURS

SIDE_PX = 96  # the shorter side that the networks look at
FPS = 8.0
WINDOW = 17  # frames that the clip judge has learned from
_CONFIG, _WEIGHTS = "judges.json", "judges.safetensors"
SHIPPED = Path(__file__).parent / "trained"


@dataclass(frozen=True, kw_only=True)
class SubjectVerdict:
    """One subject: words, how sure of them (0 to 1), and where it is.

    ``boxes`` are centre x, y, width and height as shares of the picture in each looked-at frame; ``places`` its foot in subject
    heights from the second of them on; ``velocity`` the mean change of place a second.
    """

    kind: str
    colour: str
    action: str
    sureness: Mapping[str, float]
    boxes: Float[Tensor, "t 4"]
    places: Float[Tensor, "u 3"]
    velocity: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a clip shows. ``camera_path`` is that of `kinema.world.camera.camera_features`, a row a looked-at frame.

    ``times_s`` are the moments of the looked-at frames. Subjects come with the surest first.
    """

    subjects: tuple[SubjectVerdict, ...]
    place: str
    time: str
    weather: str
    style: str
    camera: str
    camera_path: Float[Tensor, "t 7"]
    motion_score: int
    times_s: tuple[float, ...]
    sureness: Mapping[str, float]

    @property
    def count(self) -> int:
        """How many subjects are seen."""
        return len(self.subjects)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""

        def plain(value: object) -> object:
            if isinstance(value, Tensor):
                return [[round(x, 4) for x in row] for row in value.tolist()]
            return value

        subjects = [{k: plain(v) for k, v in vars(s).items()} for s in self.subjects]
        return {k: plain(v) for k, v in vars(self).items()} | {"subjects": subjects, "count": self.count}


class Judges:
    """Both networks, ready to look."""

    def __init__(self, frame: FrameJudge, clip: ClipJudge) -> None:
        self.frame, self.clip = frame.eval().requires_grad_(False), clip.eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, frames: UInt8[Tensor, "t h w 3"], *, fps: float) -> Verdict:
        """What ``frames`` at ``fps`` show. Raises: InvalidInput for no frames, or a frame rate that is no positive number."""
        numbers = looked_at(len(frames), fps)
        pictures = prepared(frames[numbers])
        logits = self.frame(pictures)
        seen = tracks(detections(logits))
        words, sure = _whole_words(logits)
        if len(pictures) == 1:
            pictures = pictures.expand(2, -1, -1, -1)  # a picture is a clip in which nothing moves
        camera, motion, path, actions, places = self._over_time(pictures, logits.features, seen)
        words["camera"], sure["camera"] = _word(camera, CAMERAS)
        return Verdict(
            subjects=tuple(_subject(t, a, p) for t, a, p in zip(seen, actions, places, strict=True)),
            camera_path=path[: len(numbers)],
            motion_score=max(1, min(255, round(255 * motion))),
            times_s=tuple(n / fps for n in numbers),
            sureness=sure,
            **words,
        )

    def _over_time(
        self, pictures: Tensor, features: Tensor, seen: Sequence[Track]
    ) -> tuple[Tensor, float, Tensor, list[Tensor], list[Tensor]]:
        """(camera's probabilities, motion, path, action's probabilities and places of each track), averaged over windows."""
        count = len(pictures)
        cameras, motions, steps = [], [], torch.zeros(count - 1, 7)
        actions: list[list[Tensor]] = [[] for _ in seen]
        places: list[list[Tensor]] = [[] for _ in seen]
        features = features.expand(count, -1, -1, -1) if len(features) == 1 else features
        for start in range(0, max(1, count - 1), WINDOW - 1):
            part = slice(start, min(count, start + WINDOW))
            if part.stop - part.start < 2:
                continue
            motion = self.clip.motion(pictures[None, part])
            signs = self.clip.of_camera(motion)
            cameras.append(signs.camera[0].softmax(-1))
            motions.append(float(signs.motion[0]))
            steps[part.start : part.stop - 1] = signs.path[0] / PATH_SCALE
            if seen:
                boxes = torch.stack([_stretched(t.boxes, count)[part] for t in seen])[None]
                kinds = torch.stack([t.kind for t in seen])[None]
                acts, where = self.clip.of_tracks(motion, features[None, part], boxes, kinds, signs.sequence)
                for i in range(len(seen)):
                    actions[i].append(acts[0, i].softmax(-1))
                    places[i].append(where[0, i])
        path = torch.cat([torch.zeros(1, 7), steps.cumsum(0)])
        camera, mean = torch.stack(cameras).mean(0), sum(motions) / len(motions)
        return camera, mean, path, [torch.stack(a).mean(0) for a in actions], [torch.cat(p) for p in places]


@cache
def load_judges(folder: Path = SHIPPED) -> Judges:
    """The judges in ``folder``. Raises: WeightsError."""
    try:
        configs = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / _WEIGHTS)
        frame = FrameJudge(read_config(FrameJudgeConfig, configs[FRAME], FRAME))
        clip = ClipJudge(read_config(ClipJudgeConfig, configs[CLIP], CLIP))
        for name, module in ((FRAME, frame), (CLIP, clip)):
            own = {k[len(name) + 1 :]: v.float() for k, v in tensors.items() if k.startswith(f"{name}.")}
            module.load_state_dict(own)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise WeightsError(str(folder), "judges", f"can't be read: {e}") from e
    return Judges(frame, clip)


def save_judges(
    weights: Mapping[str, Mapping[str, Tensor]], folder: Path, *, card: Mapping[str, Any], configs: Mapping[str, Any]
) -> None:
    """Writes the weights in half precision and ``card`` (data, recipe, steps, scores) beside their configs. Raises: StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    flat = {f"{name}.{k}": v.half().contiguous() for name, own in weights.items() for k, v in own.items()}
    write_atomically(folder / _WEIGHTS, save(flat))
    facts = {name: asdict(config) for name, config in configs.items()} | {"card": dict(card)}
    write_atomically(folder / _CONFIG, json.dumps(facts, indent=1, ensure_ascii=False).encode())


def looked_at(count: int, fps: float) -> list[int]:
    """The frames that are looked at: those nearest to every eighth of a second. Raises: InvalidInput."""
    if count < 1:
        raise InvalidInput("frames", count, "must be at least one")
    if not 0 < fps < float("inf"):
        raise InvalidInput("fps", fps, "must be a number above zero")
    moments = int((count - 1) / fps * FPS + 1e-6) + 1
    numbers = [min(count - 1, round(k * fps / FPS)) for k in range(moments)]
    return list(dict.fromkeys(numbers))


def prepared(frames: UInt8[Tensor, "t h w 3"]) -> Float[Tensor, "t 3 y x"]:
    """Pictures in [-1, 1] whose shorter side is near `SIDE_PX`, with sides that the networks can fold."""
    pictures = rearrange(frames, "t h w c -> t c h w").float() / 127.5 - 1
    scale = SIDE_PX / min(pictures.shape[-2:])
    size = [max(MULTIPLE, round(n * scale / MULTIPLE) * MULTIPLE) for n in pictures.shape[-2:]]
    if list(pictures.shape[-2:]) == size:
        return pictures
    return F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)


def _whole_words(logits: Any) -> tuple[dict[str, str], dict[str, float]]:
    words, sure = {}, {}
    for name, options in WHOLE.items():
        words[name], sure[name] = _word(getattr(logits, name).softmax(-1).mean(0), options)
    return words, sure


def _word(probabilities: Tensor, options: Sequence[str]) -> tuple[str, float]:
    best = int(probabilities.argmax())
    return options[best], round(float(probabilities[best]), 4)


def _subject(track: Track, action: Tensor, places: Tensor) -> SubjectVerdict:
    kind, colour, act = _word(track.kind, KIND_NAMES), _word(track.colour, COLOURS), _word(action, ACTIONS)
    seconds = max(1, len(places) - 1) / FPS
    moved = ((places[-1] - places[0]) / seconds).tolist() if len(places) > 1 else [0.0, 0.0, 0.0]
    return SubjectVerdict(
        kind=kind[0], colour=colour[0], action=act[0],
        sureness={"kind": kind[1], "colour": colour[1], "action": act[1], "there": round(track.heat, 4)},
        boxes=track.boxes, places=places, velocity=(moved[0], moved[1], moved[2]),
    )  # fmt: skip


def _stretched(boxes: Tensor, count: int) -> Tensor:
    return boxes if len(boxes) == count else boxes.expand(count, -1)
