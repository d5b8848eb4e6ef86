"""What a clip shows, read from its pixels alone; beside a scene's truth where one is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.app.scenes import read_scene
from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape

if TYPE_CHECKING:
    from kinema.evaluation.judges import Verdict
    from kinema.world.scene import Scene

MAX_SECONDS = 120.0
_RULE = f"clips of up to {MAX_SECONDS:.0f} s can be judged"
_SIDE_PX = 256  # clips whose shorter side is longer are read at this size


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a clip shows; ``agreement`` says how that fits the scene that it was compared with."""

    path: Path
    verdict: Verdict
    agreement: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        compared = {} if self.agreement is None else {"agreement": self.agreement}
        return {"path": str(self.path), **self.verdict.to_dict(), **compared}

    def lines(self) -> list[str]:
        """The verdict in words, a line a subject and one for the rest."""
        seen = self.verdict
        sure = [f"{getattr(seen, name)} ({seen.sureness[name]:.0%})" for name in ("place", "time", "weather", "style")]
        out = [f"{s.colour} {s.kind}, {s.action} ({min(s.sureness.values()):.0%})" for s in seen.subjects]
        out = out or ["no subject"]
        out.append(
            f"{', '.join(sure)}; camera {seen.camera} ({seen.sureness['camera']:.0%}), motion {seen.motion_score}"
        )
        if self.agreement is not None:
            wrong = [name for name, share in self.agreement["right"].items() if share["share"] < 1]
            out.append(f"differs from the scene in {', '.join(wrong)}" if wrong else "agrees with the scene")
        return out


def judge_clip(file: str, *, scene: str | None = None) -> Judged:
    """What the clip or picture in ``file`` shows; of any size, length and frame rate.

    ``scene`` is the JSON of a scene, or a truth file, to compare it with. Raises: InvalidInput, MediaError, WeightsError.
    """
    true = read_scene(scene) if scene else None
    from kinema.media.probe import probe
    from kinema.media.read import Size, read_video

    info = probe(file)
    if info.duration_s is not None and info.duration_s > MAX_SECONDS:
        raise InvalidInput("file", file, f"lasts {info.duration_s:.0f} s; {_RULE}")
    scale = min(1.0, _SIDE_PX / max(1, min(info.width_px, info.height_px)))
    size = Size(
        width_px=max(1, round(info.width_px * scale)), height_px=max(1, round(info.height_px * scale)), fit="stretch"
    )
    import torch

    from kinema.evaluation.judges import FPS, load_judges

    # a clip of fewer frames a second is looked at as it is: frames shown twice would be a movement that stops and goes
    fps = min(FPS, float(info.fps or FPS))
    most = round(MAX_SECONDS * fps)
    clip = read_video(file, fps=fps, size=size, max_frames=most + 1)
    if len(clip.frames) > most:  # of a file that doesn't say how long it is
        raise InvalidInput("file", file, f"is longer; {_RULE}")
    verdict = load_judges()(torch.from_numpy(clip.frames), fps=fps)
    count, height, width, _ = clip.frames.shape
    shape = VideoShape(frames=count, height_px=height, width_px=width, fps=fps)
    return Judged(path=Path(file), verdict=verdict, agreement=_agreement(verdict, true, shape) if true else None)


def _agreement(verdict: Verdict, scene: Scene, shape: VideoShape) -> dict[str, Any]:
    """How ``verdict`` of a clip of ``shape`` fits ``scene``: `kinema.evaluation.floors.Tally.table` of one clip."""
    from kinema.evaluation.floors import Tally, compare

    tally = Tally()
    compare(verdict, scene, shape, tally)
    return tally.table()
