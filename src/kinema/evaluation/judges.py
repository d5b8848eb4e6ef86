"""Reading a clip: `Judges` says of any frames what they show, with the names of `kinema.world.nature`.

The networks are `kinema.models.judges`, trained on true renders by `kinema.training.judges`. How often they are right is measured by
`kinema.evaluation.floors`: no score of a model can be better than that floor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
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
from kinema.evaluation.tracks import Track, agreement, detections, tracks
from kinema.models.judges.clip import ClipJudge, ClipJudgeConfig
from kinema.models.judges.frame import MULTIPLE, FrameJudge, FrameJudgeConfig, FrameLogits
from kinema.training.judge_truth import CAMERA_NAMES as CAMERAS
from kinema.training.judge_truth import FPS, KIND_NAMES, WHOLE
from kinema.training.judges import CLIP, FRAME, PATH_SCALE
from kinema.weights.build import read_config
from kinema.world.events import EVENTS
from kinema.world.nature import ACTIONS, COLOURS

SIDE_PX = 96  # the shorter side that the networks look at
WINDOW = 17  # frames that the clip judge has learned from
KEPT = 0.35  # a subject or background that stays the same at least this much is kept
_HAPPENS = 0.5  # the probability from which on something is said to happen
_CONFIG, _WEIGHTS = "judges.json", "judges.safetensors"
SHIPPED = Path(__file__).parent / "trained"
# what the numbers that come out stand for; kept with the weights
_WORDS = {name: list(words) for name, words in WHOLE.items()} | {
    "kind": list(KIND_NAMES), "colour": list(COLOURS), "action": list(ACTIONS), "event": list(EVENTS), "camera": list(CAMERAS),
}  # fmt: skip
_MOST_ASPECT = 8.0
_AT_ONCE = 64  # frames that the frame judge looks at together


@dataclass(frozen=True, kw_only=True)
class SubjectVerdict:
    """One subject: words, how sure of them (0 to 1), and where it is.

    ``boxes`` are centre x, y, width and height as shares of the picture in each looked-at frame; ``places`` its foot in subject
    heights in the second of them and up to 15 more, two seconds in all; ``velocity`` the mean change of place a second in that
    time; ``events`` what happens to it and when in seconds, in order. ``kept`` is how much it stays to the end, of one kind and colour,
    from 0 to 1.
    """

    kind: str
    colour: str
    action: str
    sureness: Mapping[str, float]
    boxes: Float[Tensor, "t 4"]
    places: Float[Tensor, "u 3"]
    velocity: tuple[float, float, float]
    events: tuple[tuple[str, float], ...]
    kept: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a clip shows. ``camera_path`` is that of `kinema.world.camera.camera_features`, a row a looked-at frame.

    ``times_s`` are the moments of the looked-at frames. Subjects come with the surest first. ``background_kept`` is how much place,
    time, weather and style stay the same, from 0 to 1.
    """

    subjects: tuple[SubjectVerdict, ...]
    place: str
    time: str
    weather: str
    style: str
    camera: str
    camera_path: Float[Tensor, "t 7"]
    motion_score: int
    background_kept: float
    times_s: tuple[float, ...]
    sureness: Mapping[str, float]

    @property
    def count(self) -> int:
        """How many subjects are seen."""
        return len(self.subjects)

    @property
    def identity_kept(self) -> float:
        """How much all subjects stay what they are, from 0 to 1: that of the one that does least; 0 if there is none."""
        return min((s.kept for s in self.subjects), default=0.0)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The attributes that the clip is too short to show: a picture has no camera's movement and no action."""
        return ("camera", "action") if len(self.times_s) == 1 else ()

    @property
    def events(self) -> tuple[tuple[str, float, int], ...]:
        """(what, seconds, number of the subject) of all that happens, in order."""
        every = [(what, time_s, n) for n, s in enumerate(self.subjects) for what, time_s in s.events]
        return tuple(sorted(every, key=lambda e: e[1]))

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""

        def plain(value: object) -> object:
            if isinstance(value, Tensor):
                return [[round(x, 4) for x in row] for row in value.tolist()]
            return value

        subjects = [{k: plain(v) for k, v in vars(s).items()} for s in self.subjects]
        return {k: plain(v) for k, v in vars(self).items()} | {"subjects": subjects, "count": self.count}


@dataclass(kw_only=True)
class _Signs:
    """What the clip judge says of all windows, one after another; a row of each list a window."""

    camera: list[Tensor]  # k
    motion: list[Tensor]  # a share
    path: list[Tensor]  # u 7
    action: list[Tensor]  # n a
    places: list[Tensor]  # n u 3
    events: list[Tensor]  # n u e

    def mean(self, rows: Sequence[Tensor]) -> Tensor:
        """The mean of what is said of each window, a window counting as much as it has steps."""
        steps = torch.tensor([float(len(path)) for path in self.path])
        return torch.einsum("w,w...->...", steps / steps.sum(), torch.stack(list(rows)))


class Judges:
    """Both networks, ready to look. ``card`` says what they learned from."""

    def __init__(self, frame: FrameJudge, clip: ClipJudge, card: Mapping[str, Any] | None = None) -> None:
        self.card = card or {}
        self.frame, self.clip = frame.eval().requires_grad_(False), clip.eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, frames: UInt8[Tensor, "t h w 3"], *, fps: float) -> Verdict:
        """What ``frames`` at ``fps`` show. Raises: InvalidInput for no frames, or a frame rate that is no positive number."""
        numbers = looked_at(len(frames), fps)
        pictures = prepared(frames[numbers])
        logits = _joined_logits([self.frame(part) for part in pictures.split(_AT_ONCE)])
        seen = tracks(detections(logits))
        words, sure, kept = _whole_words(logits)
        signs = self._over_time(pictures, logits.features, seen)
        words["camera"], sure["camera"] = _word(signs.mean(signs.camera), CAMERAS)
        times_s = tuple(n / fps for n in numbers)
        return Verdict(
            subjects=tuple(_subject(track, signs, n, times_s) for n, track in enumerate(seen)),
            camera_path=joined(signs.path)[: len(numbers)],
            motion_score=_motion_score(float(signs.mean(signs.motion)), times_s),
            background_kept=kept,
            times_s=times_s,
            sureness=sure,
            **words,
        )

    def _over_time(self, pictures: Tensor, features: Tensor, seen: Sequence[Track]) -> _Signs:
        """What happens, read in windows of `WINDOW` frames that share one frame with the next."""
        if len(pictures) == 1:  # a picture is a clip in which nothing moves
            pictures, features = pictures.expand(2, -1, -1, -1), features.expand(2, -1, -1, -1)
        count = len(pictures)
        signs = _Signs(camera=[], motion=[], path=[], action=[], places=[], events=[])
        boxes = torch.stack([_stretched(t.boxes, count) for t in seen])[None] if seen else None
        for start in range(0, count - 1, WINDOW - 1):
            part = slice(start, min(count, start + WINDOW))
            motion = self.clip.motion(pictures[None, part])
            camera = self.clip.of_camera(motion)
            signs.camera.append(camera.camera[0].softmax(-1))
            signs.motion.append(camera.motion[0])
            signs.path.append(camera.path[0] / PATH_SCALE)
            if boxes is not None:
                kinds = torch.stack([t.kind for t in seen])[None]
                found = self.clip.of_tracks(motion, features[None, part], boxes[:, :, part], kinds, camera.sequence)
                signs.action.append(found.action[0].softmax(-1))
                signs.places.append(found.places[0])
                signs.events.append(found.events[0].sigmoid())
        return signs


@cache
def load_judges(folder: Path = SHIPPED) -> Judges:
    """The judges in ``folder``. Raises: WeightsError."""
    try:
        configs = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / _WEIGHTS)
        if foreign := [k for k in tensors if k.split(".")[0] not in (FRAME, CLIP)]:
            raise ValueError(f"tensors of neither judge: {', '.join(foreign)}")
        if others := [name for name, words in _WORDS.items() if configs["words"].get(name) != words]:
            raise ValueError(f"learned other words of {', '.join(others)} than this version has; train them anew")
        frame = FrameJudge(read_config(FrameJudgeConfig, configs[FRAME], FRAME))
        clip = ClipJudge(read_config(ClipJudgeConfig, configs[CLIP], CLIP))
        for name, module in ((FRAME, frame), (CLIP, clip)):
            own = {k[len(name) + 1 :]: v.float() for k, v in tensors.items() if k.startswith(f"{name}.")}
            module.load_state_dict(own)
    except FileNotFoundError as e:
        lacking = ", ".join(name for name in (_CONFIG, _WEIGHTS) if not (folder / name).is_file())
        raise WeightsError(str(folder), "judges", f"aren't there ({lacking}); kinema train judges makes them") from e
    except KeyError as e:
        raise WeightsError(str(folder), "judges", f"can't be read: {_CONFIG} has no {e}") from e
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError, WeightsError) as e:
        raise WeightsError(str(folder), "judges", f"can't be read: {e}") from e
    return Judges(frame, clip, configs.get("card"))


def save_judges(
    weights: Mapping[str, Mapping[str, Tensor]], folder: Path, *, card: Mapping[str, Any], configs: Mapping[str, Any]
) -> None:
    """Writes the weights in half precision and ``card`` (data, recipe, steps, scores) beside their configs. Raises: StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    flat = {f"{name}.{k}": v.half().contiguous() for name, own in weights.items() for k, v in own.items()}
    write_atomically(folder / _WEIGHTS, save(flat))
    facts = {name: asdict(config) for name, config in configs.items()} | {"words": _WORDS, "card": dict(card)}
    write_atomically(folder / _CONFIG, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    load_judges.cache_clear()  # what was in the folder before is another's


def looked_at(count: int, fps: float) -> list[int]:
    """The frames that are looked at: those nearest to every eighth of a second, or all of them if they are rarer. Raises: InvalidInput."""
    if count < 1:
        raise InvalidInput("frames", count, "must be at least one")
    if not 0 < fps < float("inf"):
        raise InvalidInput("fps", fps, "must be a number above zero")
    if fps <= FPS:
        return list(range(count))
    moments = int((count - 1) / fps * FPS + 1e-6) + 1
    return [min(count - 1, int(k * fps / FPS + 0.5)) for k in range(moments)]


def joined(windows: Sequence[Float[Tensor, "_ 7"]]) -> Float[Tensor, "t 7"]:
    """The camera's path from its first frame on, out of the steps of windows, each of which begins where the one before ends.

    A window's path is stated in the axes of its own first frame, so it is turned as the camera is by then.
    """
    turn, place, zoom = torch.eye(3), torch.zeros(3), torch.zeros(1)
    rows = [torch.zeros(1, 7)]
    for steps in windows:
        path = steps.cumsum(0)
        turns, places, zooms = turn @ _turns(path[:, :3]), place + path[:, 3:6] @ turn.T, zoom + path[:, 6:]
        rows.append(torch.cat([_angles(turns), places, zooms], 1))
        turn, place, zoom = turns[-1], places[-1], zooms[-1]
    return torch.cat(rows)


def _turns(angles: Float[Tensor, "u 3"]) -> Float[Tensor, "u 3 3"]:
    """A camera's right, up and forward (columns) after a yaw, pitch and roll as `kinema.world.camera.camera_features` states them."""
    (sin_y, sin_p, sin_r), (cos_y, cos_p, cos_r) = angles.sin().T, angles.cos().T
    level = torch.stack([cos_y, torch.zeros_like(cos_y), sin_y], -1)
    steep = torch.stack([sin_y * sin_p, cos_p, -cos_y * sin_p], -1)
    forward = torch.stack([-sin_y * cos_p, sin_p, cos_y * cos_p], -1)
    right = cos_r[:, None] * level + sin_r[:, None] * steep
    up = cos_r[:, None] * steep - sin_r[:, None] * level
    return torch.stack([right, up, forward], -1)


def _angles(turns: Float[Tensor, "u 3 3"]) -> Float[Tensor, "u 3"]:
    """The yaw, pitch and roll that `_turns` made the axes of."""
    yaw = torch.atan2(-turns[:, 0, 2], turns[:, 2, 2])
    pitch = torch.asin(turns[:, 1, 2].clamp(-1, 1))
    return torch.stack([yaw, pitch, torch.atan2(turns[:, 1, 0], turns[:, 1, 1])], -1)


def _motion_score(share: float, times_s: Sequence[float]) -> int:
    """The score of `kinema.world.score`, of what was judged as if frames came at `FPS`."""
    seconds = times_s[-1] - times_s[0]
    rate = (len(times_s) - 1) / seconds if seconds else FPS
    still = 1 - max(0.0, min(1.0, (255 * share - 1) / 254))
    return 1 + round(254 * (1 - still ** (rate / FPS)))


def prepared(frames: UInt8[Tensor, "t h w 3"]) -> Float[Tensor, "t 3 y x"]:
    """Pictures in [-1, 1] whose shorter side is near `SIDE_PX`, with sides that the networks can fold.

    Raises: InvalidInput for frames that are more than `_MOST_ASPECT` times as long one way as the other.
    """
    height, width = frames.shape[1:3]
    if max(height, width) > _MOST_ASPECT * min(height, width):
        raise InvalidInput(
            "size", f"{width}x{height}", f"must not be over {_MOST_ASPECT:.0f} times as long one way as the other"
        )
    pictures = rearrange(frames, "t h w c -> t c h w").float() / 127.5 - 1
    scale = SIDE_PX / min(pictures.shape[-2:])
    size = [max(MULTIPLE, round(n * scale / MULTIPLE) * MULTIPLE) for n in pictures.shape[-2:]]
    if list(pictures.shape[-2:]) == size:
        return pictures
    return F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)


def _joined_logits(parts: Sequence[FrameLogits]) -> FrameLogits:
    return FrameLogits(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(FrameLogits)})


def _whole_words(logits: FrameLogits) -> tuple[dict[str, str], dict[str, float], float]:
    """What all frames together say of the whole picture, how surely, and how much it stays the same."""
    words, sure, kept = {}, {}, []
    for name, options in WHOLE.items():
        each = getattr(logits, name).softmax(-1)
        words[name], sure[name] = _word(each.mean(0), options)
        kept.append(agreement(each))
    return words, sure, round(min(kept), 4)


def _word(probabilities: Tensor, options: Sequence[str]) -> tuple[str, float]:
    best = int(probabilities.argmax())
    return options[best], round(float(probabilities[best]), 4)


def _subject(track: Track, signs: _Signs, number: int, times_s: Sequence[float]) -> SubjectVerdict:
    action = signs.mean([window[number] for window in signs.action])
    places = signs.places[0][number]  # later windows begin at a camera that may have moved
    happening = torch.cat([window[number] for window in signs.events])
    kind, colour, act = _word(track.kind, KIND_NAMES), _word(track.colour, COLOURS), _word(action, ACTIONS)
    seconds = times_s[len(places)] - times_s[1] if len(places) > 1 else 1.0
    moved = ((places[-1] - places[0]) / seconds).tolist()
    return SubjectVerdict(
        kind=kind[0], colour=colour[0], action=act[0],
        sureness={"kind": kind[1], "colour": colour[1], "action": act[1], "there": round(track.heat, 4)},
        boxes=track.boxes, places=places, velocity=(moved[0], moved[1], moved[2]), events=_peaks(happening, times_s),
        kept=round(track.kept, 4),
    )  # fmt: skip


def _peaks(happening: Float[Tensor, "u e"], times_s: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """What happens and when, between two of ``times_s``: probabilities of at least `_HAPPENS` that no neighbour in time exceeds."""
    if len(times_s) == 1:
        return ()
    highest = F.max_pool1d(happening.T[None], 3, stride=1, padding=1)[0].T
    rows = ((happening >= _HAPPENS) & (happening == highest)).nonzero().tolist()
    return tuple((EVENTS[e], round((times_s[u] + times_s[u + 1]) / 2, 4)) for u, e in rows)


def _stretched(boxes: Tensor, count: int) -> Tensor:
    return boxes if len(boxes) == count else boxes.expand(count, -1)
