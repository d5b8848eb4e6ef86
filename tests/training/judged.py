"""What tests of the judges share: shards of chosen scenes, and networks small enough for a test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kinema.core.geometry import VideoShape
from kinema.data.load.shards import ShardSet
from kinema.models.judges.clip import ClipJudgeConfig
from kinema.training.judge_data import prepare_judged
from kinema.training.judges import CLIP_CONFIG, FRAME_CONFIG
from kinema.training.prepare import SceneRange
from kinema.world.scene import Scene

SHAPE = VideoShape(frames=5, height_px=48, width_px=64, fps=8.0)
FRAME = replace(FRAME_CONFIG, widths=(16, 24, 32), depths=(1, 1, 1), features=16)
CLIP: ClipJudgeConfig = replace(CLIP_CONFIG, frame_features=16, pair_widths=(8, 16, 16), width=32, depth=2)


@dataclass(frozen=True, kw_only=True)
class Chosen(SceneRange):
    """A range of given scenes."""

    chosen: tuple[Scene, ...]

    def scenes(self, number: int) -> list[Scene]:
        return [self.chosen[i] for i in self.seeds(number)]


def chosen_shards(folder: Path, *scenes: Scene, shape: VideoShape = SHAPE, per_shard: int = 64) -> ShardSet:
    """The clips and the truth of ``scenes``."""
    ranged = Chosen(split="train", shape=shape, count=len(scenes), per_shard=per_shard, chosen=scenes)
    return prepare_judged(folder, ranged)
