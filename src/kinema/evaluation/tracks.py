"""From what single frames show to subjects over time: peaks of the heat map, linked from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from kinema.models.judges.frame import FrameLogits

_HEAT = 0.4  # a peak of at least this is a subject
_REACH = 0.6  # of the picture: a subject moves less than this between two frames
_UNLIKE = 0.15  # added to the distance of what looks like another kind
_SEEN = 0.3  # share of the frames in which a subject is seen
_MOST = 3


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A subject in one frame; ``box`` is centre x, y, width and height as shares of the picture."""

    heat: float
    box: Float[Tensor, " 4"]
    kind: Float[Tensor, " k"]
    colour: Float[Tensor, " c"]


@dataclass(frozen=True, kw_only=True)
class Track:
    """A subject over all frames: ``boxes`` are filled in between where it wasn't seen; words' probabilities are means.

    ``kept`` says how much it looks like one and the same kind and colour all the time (0 to 1); 0 if it is
    gone in the last third of the time.
    """

    heat: float
    boxes: Float[Tensor, "t 4"]
    kind: Float[Tensor, " k"]
    colour: Float[Tensor, " c"]
    kept: float


@dataclass
class _Open:
    seen: dict[int, Detection] = field(default_factory=dict)

    def last(self) -> Detection:
        return self.seen[max(self.seen)]


def detections(logits: FrameLogits) -> list[list[Detection]]:
    """The subjects of each frame, the clearest first."""
    heat = logits.heat.sigmoid()
    peaks = heat * (heat == F.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0]) * (heat >= _HEAT)
    height, width = heat.shape[1:]
    found: list[list[Detection]] = []
    for i, peak in enumerate(peaks):
        values, numbers = peak.flatten().topk(_MOST)
        frame = []
        for y, x in (divmod(n, width) for n in numbers[values > 0].tolist()):
            left, top, right, bottom = logits.box[i, :, y, x].tolist()
            box = torch.tensor(
                [(x + 0.5 + (right - left) / 2) / width, (y + 0.5 + (bottom - top) / 2) / height,
                 (left + right) / width, (top + bottom) / height]
            )  # fmt: skip
            frame.append(
                Detection(
                    heat=float(peak[y, x]), box=box, kind=logits.kind[i, :, y, x].softmax(0),
                    colour=logits.colour[i, :, y, x].softmax(0),
                )
            )  # fmt: skip
        found.append(frame)
    return found


def tracks(found: list[list[Detection]]) -> list[Track]:
    """The subjects that are seen in enough frames, the surest first."""
    open_: list[_Open] = []
    for t, frame in enumerate(found):
        pairs = sorted(
            ((_distance(o.last(), d, t - max(o.seen)), i, j) for i, o in enumerate(open_) for j, d in enumerate(frame)),
        )
        used_tracks, used = set[int](), set[int]()
        for distance, i, j in pairs:
            if distance < _REACH and i not in used_tracks and j not in used:
                open_[i].seen[t] = frame[j]
                used_tracks.add(i)
                used.add(j)
        open_ += [_Open({t: d}) for j, d in enumerate(frame) if j not in used]
    kept = [o for o in open_ if len(o.seen) >= max(1, _SEEN * len(found))]
    kept = sorted(kept, key=lambda o: -sum(d.heat for d in o.seen.values()))[:_MOST]
    return [_closed(o, len(found)) for o in kept]


def _distance(one: Detection, two: Detection, frames: int) -> float:
    far = float((one.box[:2] - two.box[:2]).square().sum().sqrt()) / min(3, frames) ** 0.5
    return far + (0.0 if int(one.kind.argmax()) == int(two.kind.argmax()) else _UNLIKE)


def _closed(track: _Open, count: int) -> Track:
    times = sorted(track.seen)
    boxes = torch.zeros(count, 4)
    for t in range(count):
        after = [s for s in times if s >= t]
        before = [s for s in times if s <= t]
        a, b = (before or after)[-1 if before else 0], (after or before)[0 if after else -1]
        share = 0.0 if a == b else (t - a) / (b - a)
        boxes[t] = track.seen[a].box * (1 - share) + track.seen[b].box * share
    heats = torch.tensor([track.seen[t].heat for t in times])
    kinds, colours = (torch.stack([getattr(track.seen[t], name) for t in times]) for name in ("kind", "colour"))
    shares = (heats / heats.sum())[:, None]
    return Track(
        heat=float(heats.sum()) / count, boxes=boxes, kind=(shares * kinds).sum(0), colour=(shares * colours).sum(0),
        kept=min(agreement(kinds), agreement(colours), float(times[-1] >= count - 1 - count / 3)),
    )  # fmt: skip


def agreement(probabilities: Float[Tensor, "t k"]) -> float:
    """How alike what is said during a while and in the rest of the time is: the least overlap (Bhattacharyya's) for any such while.

    It lasts at least a quarter of the time, so that what looks odd for a few frames is no change.
    """
    count, sums = len(probabilities), F.pad(probabilities.double().cumsum(0), (0, 0, 1, 0))
    least = min(max(2, round(count / 4)), max(1, count // 2))
    worst = 1.0
    for length in range(least, count - least + 1):
        during = sums[length:] - sums[:-length]
        both = (during / length) * ((sums[-1] - during) / (count - length))
        worst = min(worst, float(both.clamp(min=0).sqrt().sum(-1).min()))
    return worst
