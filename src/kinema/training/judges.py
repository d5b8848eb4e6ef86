"""Training of the judges on true renders: first what a frame shows, from pictures and single frames of clips; then, with that judge as
it is, what a clip shows over time.

They never see generated video. Every clip is shown flipped half of the time (with its mirrored truth), with its brightness and contrast
shifted and now and then blurred and noisy, so that what an autoencoder does to a picture doesn't mislead them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from kinema.core.geometry import Bucket
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.data.load.loader import Batch, Loader
from kinema.data.load.seeds import generator
from kinema.data.load.shards import ShardSet
from kinema.models.judges.clip import CameraSigns, ClipJudge, ClipJudgeConfig, TrackSigns
from kinema.models.judges.frame import FrameJudge, FrameJudgeConfig, FrameLogits
from kinema.training.budget import Budget, LearningRate
from kinema.training.checkpoints import latest, load_state
from kinema.training.judge_truth import (
    CAMERA_NAMES,
    IGNORED,
    KIND_NAMES,
    Truth,
    at_cells,
    cells_of,
    edges_of,
    focal_loss,
    heat_of,
    truth_of,
)
from kinema.training.loop import Loop, LoopRecipe, Outcome, averaged, facts_of_latest
from kinema.training.optim import OptimRecipe
from kinema.training.speed import Dtype, autocast, measured_facts
from kinema.world.events import EVENTS
from kinema.world.nature import ACTIONS, COLOURS, KINDS, PLACES, STYLES, TIMES, WEATHERS

FRAME, CLIP = "frame", "clip"
_LOOKED_AT = 4  # frames of a clip that the frame judge is validated on: every so many

FRAME_CONFIG = FrameJudgeConfig(
    num_kinds=len(KINDS), num_colours=len(COLOURS), num_places=len(PLACES), num_times=len(TIMES),
    num_weathers=len(WEATHERS), num_styles=len(STYLES),
)  # fmt: skip
CLIP_CONFIG = ClipJudgeConfig(
    num_cameras=len(CAMERA_NAMES), num_actions=len(ACTIONS), num_events=len(EVENTS), frame_features=FRAME_CONFIG.features,
    num_kinds=len(KINDS),
)  # fmt: skip
PATH_SCALE = 8.0  # of the path's steps, which are small numbers
_SHAKEN = 0.01  # of the picture: how far true boxes are moved in training
_NEAR = 0.1  # errors below it count by their square, those above in proportion

FRAME_LOOP = LoopRecipe(
    budget=Budget(minutes=25),
    rate=LearningRate(warmup_steps=100, decay=0.5),
    optim=OptimRecipe(kind="muon", lr=1.5e-3, muon_lr=4e-3, betas=(0.9, 0.98), weight_decay=0.02),
    ema_decay=0.998,
)
CLIP_LOOP = replace(FRAME_LOOP, budget=Budget(minutes=35))


@dataclass(frozen=True, kw_only=True)
class JudgeRecipe:
    """Everything that decides what the judges become, but for their data. ``clips`` and ``pictures`` are sizes of batches."""

    frame_loop: LoopRecipe = FRAME_LOOP
    clip_loop: LoopRecipe = CLIP_LOOP
    frame: FrameJudgeConfig = FRAME_CONFIG
    clip: ClipJudgeConfig = CLIP_CONFIG
    clips: int = 16
    pictures: int = 64
    blurred: float = 0.3
    dtype: Dtype | Literal["auto"] = "auto"
    weights: Mapping[str, float] = field(
        default_factory=lambda: {"kind": 2.0, "box": 0.3, "path": 4.0, "motion": 4.0, "position": 2.0}
    )
    validation_clips: int = 512

    def within(self, minutes: float) -> JudgeRecipe:
        """This recipe for a training of ``minutes`` in all, shared as its own are."""
        own = {name: getattr(self, name).budget.minutes or 1.0 for name in ("frame_loop", "clip_loop")}
        loops = {
            name: replace(getattr(self, name), budget=Budget(minutes=minutes * share / sum(own.values())))
            for name, share in own.items()
        }
        return replace(self, **loops)


class _JudgeTask(ABC):
    """What both judges' training shares: how clips are shown, and how answers are counted."""

    def __init__(
        self, recipe: JudgeRecipe, train: ShardSet, *, validation: ShardSet, device: str, loop: LoopRecipe,
        sizes: Mapping[Bucket, int],
    ) -> None:  # fmt: skip
        self.recipe, self.validation, self.device = recipe, validation, torch.device(device)
        self.modules: dict[str, nn.Module] = {}
        self.loader = Loader(train, sizes=sizes, seed=loop.seed)
        self.facts: dict[str, Any] = {}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of all losses of one batch."""
        return self._loss(batch, self.facts["dtype"])

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """Shares of right answers on held-out clips."""
        right: dict[str, list[Tensor]] = {}
        for bucket, count in self.validation.buckets.items():
            for start in range(0, min(count, self.recipe.validation_clips), self.recipe.clips):
                numbers = range(start, min(start + self.recipe.clips, count))
                tensors, metadata = self.validation.read(bucket, numbers)
                truth = truth_of(tensors, metadata, [False] * len(numbers))
                for name, found in self._right(_pictures(tensors["frames"]).to(self.device), truth).items():
                    right.setdefault(name, []).append(found)
        shares = {f"{name}_accuracy": float(torch.cat(r).float().mean()) for name, r in right.items()}
        return {"score": sum(shares.values()) / len(shares), **shares}

    def work(self, batch: Batch) -> Mapping[str, float]:
        """Clips or pictures of one step."""
        return {"samples": len(batch)}

    def _loss(self, batch: Batch, dtype: Dtype) -> tuple[Tensor, Mapping[str, Tensor]]:
        weights, parts = self.recipe.weights, self._losses(*self._shown(batch), dtype)
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return total, {f"{name}_loss": part.detach() for name, part in parts.items()}

    @abstractmethod
    def _losses(self, pictures: Tensor, truth: Truth, dtype: Dtype) -> Mapping[str, Tensor]:
        """The parts of the loss, by name."""

    @abstractmethod
    def _right(self, pictures: Tensor, truth: Truth) -> Mapping[str, Tensor]:
        """Whether each answer is right, by attribute."""

    def _shown(self, batch: Batch) -> tuple[Tensor, Truth]:
        """Pictures (b t c h w) and truth of ``batch``, flipped half of the time, brightened, blurred."""
        rngs = [generator(seed) for seed in batch.seeds]
        flips = [float(torch.rand((), generator=g)) < 0.5 for g in rngs]
        truth = truth_of(batch.tensors, batch.metadata, flips)
        frames, truth = self._chosen(batch.tensors["frames"], truth, rngs)
        pictures = torch.stack([p.flip(-1) if f else p for p, f in zip(_pictures(frames), flips, strict=True)])
        return torch.stack([self._worn(p, g) for p, g in zip(pictures, rngs, strict=True)]).to(self.device), truth

    def _chosen(self, frames: Tensor, truth: Truth, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Truth]:
        """What of the clips (b t h w c) is shown: all of it."""
        return frames, truth

    def _worn(self, clip: Tensor, rng: torch.Generator) -> Tensor:
        """``clip`` (t c h w) a little brighter or darker, now and then blurred and noisy."""
        gain, shift, chance, strength = torch.rand(4, generator=rng).tolist()
        clip = clip * (0.85 + 0.3 * gain) + 0.16 * (shift - 0.5)
        if chance < self.recipe.blurred:
            small = F.interpolate(clip, scale_factor=0.5 + 0.4 * strength, mode="bilinear", antialias=True)
            clip = F.interpolate(small, size=clip.shape[-2:], mode="bilinear")
            clip = clip + 0.05 * strength * torch.randn(clip.shape, generator=rng)
        return clip

    def _measure(self, known: Mapping[str, Any] | None) -> None:
        self.facts = measured_facts(self._try, self.device, wanted=self.recipe.dtype, known=known)

    def _try(self, dtype: Dtype) -> None:
        """One forward and backward pass that leaves no trace."""
        self._loss(self.loader.batch(0), dtype)[0].backward()
        for module in self.modules.values():
            module.zero_grad(set_to_none=True)


class FrameTask(_JudgeTask):
    """A `Task`: the frame judge, on pictures and on one frame of each clip, another one every time."""

    def __init__(
        self, recipe: JudgeRecipe, train: ShardSet, *, validation: ShardSet, device: str = "cpu",
        known: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        sizes = {bucket: min(recipe.pictures, count) for bucket, count in train.buckets.items()}
        super().__init__(recipe, train, validation=validation, device=device, loop=recipe.frame_loop, sizes=sizes)
        self.frame = FrameJudge(recipe.frame)
        self.frame.init_weights(generator(recipe.frame_loop.seed, FRAME))
        self.modules[FRAME] = self.frame.to(self.device)
        self._measure(known)

    def _chosen(self, frames: Tensor, truth: Truth, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Truth]:
        numbers = [int(torch.randint(frames.shape[1], (), generator=g)) for g in rngs]
        rows = torch.arange(len(numbers))
        return frames[rows, numbers][:, None], replace(truth, boxes=truth.boxes[rows, :, numbers][:, :, None])

    def _losses(self, pictures: Tensor, truth: Truth, dtype: Dtype) -> Mapping[str, Tensor]:
        with autocast(self.device, dtype):
            logits = self.frame(_flat(pictures))
        return self._frame_losses(logits, truth)

    def _right(self, pictures: Tensor, truth: Truth) -> Mapping[str, Tensor]:
        pictures = pictures[:, ::_LOOKED_AT]
        truth = replace(truth, boxes=truth.boxes[:, :, ::_LOOKED_AT])
        with autocast(self.device, self.facts["dtype"]):
            logits = self.frame(_flat(pictures))
        keys = pictures.shape[1]
        right = {
            name: _right(getattr(logits, name), repeat(wanted, "b -> (b k)", k=keys))
            for name, wanted in truth.whole.items()
        }
        cells = cells_of(truth, logits)
        for name in ("kind", "colour"):
            wanted = torch.where(cells[3], repeat(getattr(truth, name), "b n -> b k n", k=keys), IGNORED).flatten()
            right[name] = _right(at_cells(getattr(logits, name), cells), wanted)
        return right

    def _frame_losses(self, logits: FrameLogits, truth: Truth) -> dict[str, Tensor]:
        keys = truth.boxes.shape[2]
        parts = {
            name: F.cross_entropy(getattr(logits, name).float(), repeat(wanted, "b -> (b k)", k=keys).to(self.device))
            for name, wanted in truth.whole.items()
        }
        heat = heat_of(truth, logits.heat.shape[1:]).to(self.device)
        parts["heat"] = focal_loss(logits.heat.float(), heat)
        cells = cells_of(truth, logits)
        for name in ("kind", "colour"):
            wanted = repeat(getattr(truth, name), "b n -> b k n", k=keys)
            wanted = torch.where(cells[3], wanted, IGNORED).flatten().to(self.device)
            parts[name] = _miss(at_cells(getattr(logits, name), cells), wanted)
        edges = edges_of(truth, cells, logits.heat.shape[1:]).to(self.device)
        seen = cells[3].flatten().to(self.device)
        off = F.smooth_l1_loss(at_cells(logits.box, cells).float(), edges, reduction="none").mean(-1)
        parts["box"] = (off * seen).sum() / seen.sum().clamp(min=1)
        return parts


class ClipTask(_JudgeTask):
    """A `Task`: the clip judge, which sees each subject as ``frame`` does."""

    def __init__(
        self, recipe: JudgeRecipe, train: ShardSet, *, validation: ShardSet, frame: FrameJudge, device: str = "cpu",
        known: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        sizes = {b: min(recipe.clips, count) for b, count in train.buckets.items() if b.frames > 1}
        super().__init__(recipe, train, validation=validation, device=device, loop=recipe.clip_loop, sizes=sizes)
        self.frame, self.clip = frame.eval().requires_grad_(False).to(self.device), ClipJudge(recipe.clip)
        self.clip.init_weights(generator(recipe.clip_loop.seed, CLIP))
        self.modules[CLIP] = self.clip.to(self.device)
        self._measure(known)

    def _chosen(self, frames: Tensor, truth: Truth, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Truth]:
        """All frames; boxes are shaken a little, as those that are found will be."""
        jitter = torch.stack([torch.randn(truth.boxes.shape[1:], generator=g) for g in rngs]) * _SHAKEN
        return frames, replace(truth, boxes=truth.boxes + jitter * (truth.boxes[..., 2:3] > 0))

    def _losses(self, pictures: Tensor, truth: Truth, dtype: Dtype) -> Mapping[str, Tensor]:
        camera, tracks = self._look(pictures, truth, dtype)
        wanted = truth.action.flatten().to(self.device)
        there = (truth.kind >= 0).to(self.device)
        places, happening = tracks.places.float(), tracks.events.float()
        wanted_places = truth.places[:, :, 1:].to(self.device)
        seen = (truth.boxes[:, :, 1:, 2] > 0).to(self.device)  # where nobody is seen, nothing is known
        off = F.smooth_l1_loss(places, wanted_places, reduction="none", beta=_NEAR).mean(-1)
        miss = F.binary_cross_entropy_with_logits(happening, truth.events.to(self.device), reduction="none")
        path = truth.path.to(self.device) * PATH_SCALE
        return {
            "camera": F.cross_entropy(camera.camera.float(), truth.camera.to(self.device)),
            "action": _miss(tracks.action.flatten(0, 1), wanted),
            "path": F.smooth_l1_loss(camera.path.float(), path, beta=_NEAR),
            "motion": F.smooth_l1_loss(camera.motion.float(), truth.motion.to(self.device) / 255, beta=_NEAR),
            "position": (off * seen).sum() / seen.sum().clamp(min=1),
            "event": (miss.sum(-1).mean(-1) * there).sum() / there.sum(),
        }

    def _right(self, pictures: Tensor, truth: Truth) -> Mapping[str, Tensor]:
        if pictures.shape[1] == 1:
            return {}
        camera, tracks = self._look(pictures, truth, self.facts["dtype"])
        return {
            "camera": _right(camera.camera, truth.camera),
            "action": _right(tracks.action.flatten(0, 1), truth.action.flatten()),
        }

    def _look(self, pictures: Tensor, truth: Truth, dtype: Dtype) -> tuple[CameraSigns, TrackSigns]:
        """What clips do, with the boxes and kinds of ``truth`` for tracks."""
        with autocast(self.device, dtype):
            with torch.no_grad():
                features = self.frame(_flat(pictures)).features
            features = rearrange(features, "(b t) d y x -> b t d y x", b=len(pictures))
            motion = self.clip.motion(pictures)
            camera = self.clip.of_camera(motion)
            kinds = F.one_hot(truth.kind.clamp(min=0), len(KIND_NAMES)) * (truth.kind >= 0)[..., None]
            boxes, kinds = truth.boxes.to(self.device), kinds.to(self.device, features.dtype)
            return camera, self.clip.of_tracks(motion, features, boxes, kinds, camera.sequence)


def train_judges(
    recipe: JudgeRecipe, train: ShardSet, *, validation: ShardSet, folder: Path, device: str = "cpu",
    observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> dict[str, Outcome]:  # fmt: skip
    """Trains the frame judge, then the clip judge, in folders of ``folder``, going on from the newest checkpoints there.

    Once the clip judge has begun, the frame judge stays as it is: a longer budget then is the clip judge's alone.
    Raises: Cancelled after a checkpoint; TrainingError for a checkpoint of another recipe.
    """
    shared = {
        "blurred": recipe.blurred, "weights": dict(recipe.weights), "data": train.fingerprint, "frame": asdict(recipe.frame)
    }  # fmt: skip
    how: dict[str, Any] = {"validation": validation, "device": device}
    told: dict[str, Any] = {"observer": observer, "cancel": cancel}
    first = FrameTask(recipe, train, **how, known=facts_of_latest(folder / FRAME))
    frame_loop, done = recipe.frame_loop, latest(folder / FRAME)
    if done is not None and latest(folder / CLIP) is not None:
        frame_loop = replace(frame_loop, budget=Budget(steps=max(1, load_state(done)["step"])))
    identity = shared | {"pictures": recipe.pictures}
    out = {FRAME: Loop(first, frame_loop, folder / FRAME, identity=identity).run(**told)}
    frame = FrameJudge(recipe.frame)
    frame.load_state_dict(averaged(folder / FRAME, FRAME))
    second = ClipTask(recipe, train, **how, frame=frame, known=facts_of_latest(folder / CLIP))
    identity = shared | {"clips": recipe.clips, "clip": asdict(recipe.clip)}
    out[CLIP] = Loop(second, recipe.clip_loop, folder / CLIP, identity=identity).run(**told)
    return out


def trained_judges(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The averaged weights of both judges that `train_judges` left in ``folder``. Raises: TrainingError if there is none."""
    return {name: averaged(folder / name, name) for name in (FRAME, CLIP)}


def _flat(pictures: Tensor) -> Tensor:
    """All pictures of all clips (b k c h w) in the memory layout in which convolutions are fast."""
    return rearrange(pictures, "b k c h w -> (b k) c h w").contiguous(memory_format=torch.channels_last)


def _pictures(frames: Tensor) -> Tensor:
    return rearrange(frames, "b t h w c -> b t c h w").float() / 127.5 - 1


def _right(logits: Tensor, wanted: Tensor) -> Tensor:
    """Whether the highest logit is the wanted one, where one is wanted."""
    wanted = wanted.to(logits.device)
    return (logits.argmax(-1) == wanted)[wanted != IGNORED].cpu()


def _miss(logits: Tensor, wanted: Tensor) -> Tensor:
    """The cross entropy where a word is wanted; 0, not NaN, for a batch where none is."""
    total = F.cross_entropy(logits.float(), wanted, ignore_index=IGNORED, reduction="sum")
    return total / (wanted != IGNORED).sum().clamp(min=1)
