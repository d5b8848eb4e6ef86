"""Training of the judges on true renders: what a frame shows, and what a clip shows over time.

They never see generated video. Every clip is shown flipped half of the time (with its mirrored truth), with its brightness and contrast
shifted and now and then blurred and noisy, so that what an autoencoder does to a picture doesn't mislead them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.data.load.loader import Batch, Loader
from kinema.data.load.seeds import generator
from kinema.data.load.shards import ShardSet
from kinema.models.judges.clip import CameraSigns, ClipJudge, ClipJudgeConfig, TrackSigns
from kinema.models.judges.frame import FrameJudge, FrameJudgeConfig, FrameLogits
from kinema.training.budget import Budget, LearningRate
from kinema.training.loop import Loop, LoopRecipe, Outcome, averaged, facts_of_latest
from kinema.training.optim import OptimRecipe
from kinema.training.speed import Dtype, autocast, measured_facts
from kinema.world.camera import CAMERAS
from kinema.world.events import EVENTS, events
from kinema.world.nature import ACTIONS, COLOURS, KINDS, PLACES, STYLES, TIMES, WEATHERS
from kinema.world.scene import Scene

FRAME, CLIP = "frame", "clip"
KEY_STEP = 4  # every so many frames the frame judge learns from one
FPS = 8.0  # of the clips that the clip judge learns from
KIND_NAMES, CAMERA_NAMES = tuple(KINDS), tuple(CAMERAS)
WHOLE = {"place": tuple(PLACES), "time": TIMES, "weather": WEATHERS, "style": STYLES}

FRAME_CONFIG = FrameJudgeConfig(
    num_kinds=len(KINDS), num_colours=len(COLOURS), num_places=len(PLACES), num_times=len(TIMES),
    num_weathers=len(WEATHERS), num_styles=len(STYLES),
)  # fmt: skip
CLIP_CONFIG = ClipJudgeConfig(
    num_cameras=len(CAMERA_NAMES), num_actions=len(ACTIONS), num_events=len(EVENTS), frame_features=FRAME_CONFIG.features,
    num_kinds=len(KINDS),
)  # fmt: skip
_IGNORED = -100
# x and the turns about y and z change their sign in a mirror
_MIRROR = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
PATH_SCALE = 8.0  # of the path's steps, which are small numbers
_NEAR = 0.1  # errors below it count by their square, those above in proportion

JUDGE_LOOP = LoopRecipe(
    budget=Budget(minutes=60),
    rate=LearningRate(warmup_steps=100, decay=0.4),
    optim=OptimRecipe(kind="adamw", lr=1.5e-3, betas=(0.9, 0.98), weight_decay=0.02),
    ema_decay=0.998,
)


@dataclass(frozen=True, kw_only=True)
class JudgeRecipe:
    """Everything that decides what the judges become, but for their data."""

    loop: LoopRecipe = JUDGE_LOOP
    frame: FrameJudgeConfig = FRAME_CONFIG
    clip: ClipJudgeConfig = CLIP_CONFIG
    batch: int = 16
    pictures: int = 64
    blurred: float = 0.3
    dtype: Dtype | Literal["auto"] = "auto"
    weights: Mapping[str, float] = field(
        default_factory=lambda: {"box": 0.3, "path": 4.0, "motion": 4.0, "position": 2.0}
    )
    validation_clips: int = 256


@dataclass(frozen=True, kw_only=True)
class _Truth:
    """Labels of a batch: numbers of words, `_IGNORED` where there is nothing to say."""

    kind: Tensor  # b n
    colour: Tensor  # b n
    action: Tensor  # b n
    camera: Tensor  # b
    whole: Mapping[str, Tensor]  # b each
    boxes: Tensor  # b n t 4
    places: Tensor  # b n t 3
    events: Tensor  # b n u e
    path: Tensor  # b u 7
    motion: Tensor  # b


@dataclass(frozen=True, kw_only=True)
class _Clip:
    camera: CameraSigns
    tracks: TrackSigns


class JudgeTask:
    """A `Task`: the frame judge on every fourth frame of a clip, the clip judge on all of them."""

    def __init__(
        self, recipe: JudgeRecipe, train: ShardSet, *, validation: ShardSet, device: str = "cpu",
        known: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.validation, self.device = recipe, validation, torch.device(device)
        self.frame, self.clip = FrameJudge(recipe.frame), ClipJudge(recipe.clip)
        self.frame.init_weights(generator(recipe.loop.seed, FRAME))
        self.clip.init_weights(generator(recipe.loop.seed, CLIP))
        self.modules: dict[str, nn.Module] = {FRAME: self.frame.to(self.device), CLIP: self.clip.to(self.device)}
        for module in self.modules.values():
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        sizes = {b: recipe.batch if b.frames > 1 else recipe.pictures for b in train.buckets}
        self.loader = Loader(train, sizes=sizes, seed=recipe.loop.seed)
        self.facts = measured_facts(self._try, self.device, wanted=recipe.dtype, known=known)

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of all losses of one batch."""
        return self._loss(batch, self.facts["dtype"])

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """Shares of right answers on held-out clips, with the true boxes for tracks."""
        right: dict[str, list[Tensor]] = {}
        for bucket, count in self.validation.buckets.items():
            for start in range(0, min(count, self.recipe.validation_clips), self.recipe.batch):
                numbers = range(start, min(start + self.recipe.batch, count))
                tensors, metadata = self.validation.read(bucket, numbers)
                truth = truth_of(tensors, metadata, [False] * len(numbers))
                pictures = _pictures(tensors["frames"]).to(self.device)
                logits, clip = self._look(pictures, truth, self.facts["dtype"])
                for name, wanted in truth.whole.items():
                    right.setdefault(name, []).append(
                        _right(getattr(logits, name), repeat(wanted, "b -> (b k)", k=_keys(truth)))
                    )
                if clip is not None:
                    right.setdefault("camera", []).append(_right(clip.camera.camera, truth.camera))
                    right.setdefault("action", []).append(_right(clip.tracks.action[:, 0], truth.action[:, 0]))
                cells = _cells(truth, logits)
                for name in ("kind", "colour"):
                    wanted = repeat(getattr(truth, name), "b n -> b k n", k=_keys(truth))
                    wanted = torch.where(cells[3], wanted, _IGNORED).flatten()
                    right.setdefault(name, []).append(_right(_at_cells(getattr(logits, name), cells), wanted))
        shares = {f"{name}_accuracy": float(torch.cat(r).float().mean()) for name, r in right.items()}
        return {"score": sum(shares.values()) / len(shares), **shares}

    def work(self, batch: Batch) -> Mapping[str, float]:
        """Clips of one step."""
        return {"samples": len(batch)}

    def _look(self, pictures: Tensor, truth: _Truth, dtype: Dtype) -> tuple[FrameLogits, _Clip | None]:
        """What key frames show, and what the clip does; None for pictures of one frame."""
        with autocast(self.device, dtype):
            logits = self.frame(_flat(pictures[:, ::KEY_STEP]))
            if pictures.shape[1] == 1:
                return logits, None
            features = self._features(pictures, logits)
            motion = self.clip.motion(pictures)
            camera = self.clip.of_camera(motion)
            kinds = F.one_hot(truth.kind.clamp(min=0), len(KIND_NAMES)) * (truth.kind >= 0)[..., None]
            boxes, kinds = truth.boxes.to(self.device), kinds.to(self.device, features.dtype)
            tracks = self.clip.of_tracks(motion, features, boxes, kinds, camera.sequence)
        return logits, _Clip(camera=camera, tracks=tracks)

    def _features(self, pictures: Tensor, logits: FrameLogits) -> Tensor:
        """The frame judge's features of every frame (b t d y x), which learn nothing from what is done with them."""
        known = rearrange(logits.features.detach(), "(b k) d y x -> b k d y x", b=len(pictures))
        between = [t for t in range(pictures.shape[1]) if t % KEY_STEP]
        features = known.new_empty(*pictures.shape[:2], *known.shape[2:])
        features[:, ::KEY_STEP] = known
        with torch.no_grad():
            others = self.frame(_flat(pictures[:, between])).features
        features[:, between] = rearrange(others, "(b k) d y x -> b k d y x", b=len(pictures))
        return features

    def _loss(self, batch: Batch, dtype: Dtype) -> tuple[Tensor, Mapping[str, Tensor]]:
        rngs = [generator(seed) for seed in batch.seeds]
        flips = [float(torch.rand((), generator=g)) < 0.5 for g in rngs]
        truth = truth_of(batch.tensors, batch.metadata, flips)
        pictures = _pictures(batch.tensors["frames"])
        pictures = torch.stack([p.flip(-1) if f else p for p, f in zip(pictures, flips, strict=True)])
        pictures = torch.stack([self._worn(p, g) for p, g in zip(pictures, rngs, strict=True)]).to(self.device)
        jitter = torch.stack([torch.randn(truth.boxes.shape[1:], generator=g) for g in rngs]) * 0.01
        shaken = _Truth(**{**vars(truth), "boxes": truth.boxes + jitter * (truth.boxes[..., 2:3] > 0)})
        logits, clip = self._look(pictures, shaken, dtype)
        parts = self._frame_losses(logits, truth)
        if clip is not None:
            parts |= self._clip_losses(clip, truth)
        weights = self.recipe.weights
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return total, {f"{name}_loss": part.detach() for name, part in parts.items()}

    def _frame_losses(self, logits: FrameLogits, truth: _Truth) -> dict[str, Tensor]:
        keys = _keys(truth)
        parts = {
            name: F.cross_entropy(getattr(logits, name).float(), repeat(wanted, "b -> (b k)", k=keys).to(self.device))
            for name, wanted in truth.whole.items()
        }
        heat = _heat(truth, logits.heat.shape[1:]).to(self.device)
        parts["heat"] = _focal(logits.heat.float(), heat)
        cells = _cells(truth, logits)
        for name in ("kind", "colour"):
            wanted = repeat(getattr(truth, name), "b n -> b k n", k=keys)
            wanted = torch.where(cells[3], wanted, _IGNORED).flatten().to(self.device)
            parts[name] = F.cross_entropy(
                _at_cells(getattr(logits, name), cells).float(), wanted, ignore_index=_IGNORED
            )
        edges = _edges(truth, cells, logits.heat.shape[1:]).to(self.device)
        seen = cells[3].flatten().to(self.device)
        off = F.smooth_l1_loss(_at_cells(logits.box, cells).float(), edges, reduction="none").mean(-1)
        parts["box"] = (off * seen).sum() / seen.sum().clamp(min=1)
        return parts

    def _clip_losses(self, clip: _Clip, truth: _Truth) -> dict[str, Tensor]:
        wanted = truth.action.flatten().to(self.device)
        there = (truth.kind >= 0).to(self.device)
        places, happening = clip.tracks.places.float(), clip.tracks.events.float()
        wanted_places = truth.places[:, :, 1:].to(self.device)
        off = F.smooth_l1_loss(places, wanted_places, reduction="none", beta=_NEAR).mean((-1, -2))
        miss = F.binary_cross_entropy_with_logits(happening, truth.events.to(self.device), reduction="none")
        path = truth.path.to(self.device) * PATH_SCALE
        return {
            "camera": F.cross_entropy(clip.camera.camera.float(), truth.camera.to(self.device)),
            "action": F.cross_entropy(clip.tracks.action.float().flatten(0, 1), wanted, ignore_index=_IGNORED),
            "path": F.smooth_l1_loss(clip.camera.path.float(), path, beta=_NEAR),
            "motion": F.smooth_l1_loss(clip.camera.motion.float(), truth.motion.to(self.device) / 255, beta=_NEAR),
            "position": (off * there).sum() / there.sum(),
            "event": (miss.sum(-1).mean(-1) * there).sum() / there.sum(),
        }

    def _worn(self, clip: Tensor, rng: torch.Generator) -> Tensor:
        """``clip`` (t c h w) a little brighter or darker, now and then blurred and noisy."""
        gain, shift, chance, strength = torch.rand(4, generator=rng).tolist()
        clip = clip * (0.85 + 0.3 * gain) + 0.16 * (shift - 0.5)
        if chance < self.recipe.blurred:
            small = F.interpolate(clip, scale_factor=0.5 + 0.4 * strength, mode="bilinear", antialias=True)
            clip = F.interpolate(small, size=clip.shape[-2:], mode="bilinear")
            clip = clip + 0.05 * strength * torch.randn(clip.shape, generator=rng)
        return clip

    def _try(self, dtype: Dtype) -> None:
        """One forward and backward pass that leaves no trace."""
        self._loss(self.loader.batch(0), dtype)[0].backward()
        for module in self.modules.values():
            module.zero_grad(set_to_none=True)


def truth_of(tensors: Mapping[str, Tensor], metadata: Sequence[Mapping[str, Any]], flips: Sequence[bool]) -> _Truth:
    """The labels of clips, of those flipped as they are in the mirror."""
    scenes = [Scene.from_dict(m["scene"]) for m in metadata]
    scenes = [s.mirrored() if f else s for s, f in zip(scenes, flips, strict=True)]
    boxes, places, camera = (tensors[name].float().clone() for name in ("boxes", "places", "camera"))
    for i, is_flipped in enumerate(flips):
        if is_flipped:
            seen = boxes[i, :, :, 2] > 0
            boxes[i, :, :, 0] = torch.where(seen, 1 - boxes[i, :, :, 0], 0.0)
            places[i, :, :, 0] *= -1
            camera[i] *= _MIRROR
    count = boxes.shape[1]
    rows = {name: torch.full((len(scenes), count), _IGNORED) for name in ("kind", "colour", "action")}
    for i, scene in enumerate(scenes):
        targets = {s.target for s in scene.subjects}
        for n, subject in enumerate(scene.subjects):
            rows["kind"][i, n] = KIND_NAMES.index(subject.kind)
            rows["colour"][i, n] = COLOURS.index(subject.colour)
            if n not in targets:  # what is done to one is another's action
                rows["action"][i, n] = ACTIONS.index(subject.action)
    return _Truth(
        **rows,
        events=torch.stack([_events(s, count, boxes.shape[2] - 1) for s in scenes]),
        camera=torch.tensor([CAMERA_NAMES.index(s.camera) for s in scenes]),
        whole={name: torch.tensor([words.index(getattr(s, name)) for s in scenes]) for name, words in WHOLE.items()},
        boxes=boxes,
        places=places,
        path=camera[:, 1:] - camera[:, :-1],
        motion=tensors["motion"].float(),
    )


def train_judges(
    recipe: JudgeRecipe, train: ShardSet, *, validation: ShardSet, folder: Path, device: str = "cpu",
    observer: Observer = ignore_progress, cancel: CancelToken | None = None,
) -> Outcome:  # fmt: skip
    """Trains in ``folder`` to the end of the recipe's budget, going on from the newest checkpoint there.

    Raises: Cancelled after a checkpoint; TrainingError for a checkpoint of another recipe.
    """
    task = JudgeTask(recipe, train, validation=validation, device=device, known=facts_of_latest(folder))
    identity = {
        "frame": asdict(recipe.frame), "clip": asdict(recipe.clip), "batch": recipe.batch, "pictures": recipe.pictures,
        "blurred": recipe.blurred,
        "weights": dict(recipe.weights), "data": train.fingerprint,
    }  # fmt: skip
    return Loop(task, recipe.loop, folder, identity=identity).run(observer=observer, cancel=cancel)


def trained_judges(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The averaged weights of both judges in the newest checkpoint of ``folder``. Raises: TrainingError if there is none."""
    return {name: averaged(folder, name) for name in (FRAME, CLIP)}


def _events(scene: Scene, count: int, steps: int) -> Tensor:
    """1 for what happens to each of ``count`` subjects between which frames (n u e); what happens to the place is left out."""
    happens = torch.zeros(count, steps, len(EVENTS))
    for event in events(scene, steps / FPS):
        if event.subject is not None:
            happens[event.subject, int(event.time_s * FPS), EVENTS.index(event.kind)] = 1
    return happens


def _flat(pictures: Tensor) -> Tensor:
    """All pictures of all clips (b k c h w) in the memory layout in which convolutions are fast."""
    return rearrange(pictures, "b k c h w -> (b k) c h w").contiguous(memory_format=torch.channels_last)


def _pictures(frames: Tensor) -> Tensor:
    return rearrange(frames, "b t h w c -> b t c h w").float() / 127.5 - 1


def _keys(truth: _Truth) -> int:
    return len(range(0, truth.boxes.shape[2], KEY_STEP))


def _right(logits: Tensor, wanted: Tensor) -> Tensor:
    """Whether the highest logit is the wanted one, where one is wanted."""
    wanted = wanted.to(logits.device)
    return (logits.argmax(-1) == wanted)[wanted != _IGNORED].cpu()


def _cells(truth: _Truth, logits: FrameLogits) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(picture, row, column, whether seen) of each subject's centre in each key frame, (b k n) each."""
    height, width = logits.heat.shape[1:]
    boxes = rearrange(truth.boxes[:, :, ::KEY_STEP], "b n k c -> b k n c")
    column = (boxes[..., 0] * width).long().clamp(0, width - 1)
    row = (boxes[..., 1] * height).long().clamp(0, height - 1)
    b, k, n = column.shape
    picture = repeat(torch.arange(b * k).view(b, k), "b k -> b k n", n=n)
    return picture, row, column, boxes[..., 2] > 0


def _at_cells(maps: Tensor, cells: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """``maps`` (b c y x) read at the cells: (m c)."""
    picture, row, column = (c.flatten().to(maps.device) for c in cells[:3])
    return maps[picture, :, row, column]


def _edges(truth: _Truth, cells: tuple[Tensor, ...], size: Sequence[int]) -> Tensor:
    """The way from each cell's middle to the box's left, top, right and bottom, in cells: (m 4)."""
    boxes = rearrange(truth.boxes[:, :, ::KEY_STEP], "b n k c -> b k n c")
    scale = torch.tensor([size[1], size[0]], dtype=torch.float32)
    centre, half = boxes[..., :2] * scale, boxes[..., 2:] * scale / 2
    middle = torch.stack([cells[2] + 0.5, cells[1] + 0.5], -1)
    return torch.cat([middle - centre + half, centre + half - middle], -1).flatten(0, 2).clamp(min=0)


def _heat(truth: _Truth, size: Sequence[int]) -> Tensor:
    """A bump of height 1 on each centre's cell (b*k y x), a cell or so wide."""
    boxes = rearrange(truth.boxes[:, :, ::KEY_STEP], "b n k c -> (b k) n c")
    y, x = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    column = (boxes[..., 0] * size[1]).floor() + 0.5
    row = (boxes[..., 1] * size[0]).floor() + 0.5
    distance = (x[None, None, None, :] - column[..., None, None]).square() + (
        y[None, None, :, None] - row[..., None, None]
    ).square()
    bump = torch.exp(-distance / (2 * 0.7**2)) * (boxes[..., 2] > 0)[..., None, None]
    return bump.amax(1)


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """The penalty-reduced focal loss of CornerNet (arXiv:1808.01244), equation 1, a centre."""
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    is_centre = wanted > 0.999
    hit = (1 - p).square() * p.log() * is_centre
    miss = (1 - wanted).pow(4) * p.square() * (1 - p).log() * ~is_centre
    return -(hit + miss).sum() / is_centre.sum().clamp(min=1)
