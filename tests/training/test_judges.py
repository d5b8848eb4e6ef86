"""Training of the judges: true labels, flipped with the clip; they learn, resume bit for bit, and don't disturb each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from einops import rearrange
from torch import Tensor

from kinema.core.errors import Cancelled, TrainingError
from kinema.core.progress import Progress
from kinema.data.load.loader import Batch
from kinema.data.load.shards import ShardSet, join
from kinema.models.judges.frame import FrameJudge
from kinema.training import speed
from kinema.training.budget import Budget, LearningRate
from kinema.training.judge_truth import CAMERA_NAMES, FPS, KIND_NAMES, WHOLE, truth_of
from kinema.training.judges import ClipTask, FrameTask, JudgeRecipe, train_judges, trained_judges
from kinema.training.logs import read_metrics
from kinema.training.optim import OptimRecipe
from kinema.world.events import EVENTS, events
from kinema.world.nature import ACTIONS, COLOURS
from kinema.world.scene import Scene
from tests.training.judged import CLIP, FRAME, SHAPE, chosen_shards
from tests.training.toys import LOOP, StopAt, all_tensors
from tests.world.scenes import make, pair, three

RECIPE = JudgeRecipe(
    frame_loop=LOOP, clip_loop=LOOP, frame=FRAME, clip=CLIP, clips=2, pictures=2, blurred=0.5, dtype="float32"
)
KNOWN = {"dtype": "float32"}
SCENES = (
    make("car", "walk", colour="blue", place="beach", camera="tilt_left", time="sunset"),
    pair("collide", "car", "cube"),
    replace(three(camera="around_right"), elevation_deg=30.0),
    make("puppy", "run", direction="left", camera="tracking", style="cartoon").mirrored(),
    make("cube", "fall", camera="handheld", place="coast"),
    make("ball", "roll", camera="pan_up", weather="rain", place="desert", time="night"),
    pair("knock_over", "car", "tower", direction="left"),
)
IGNORED = -100


@pytest.fixture(autouse=True)
def no_speed_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "matmul_peak", lambda device, dtype: 1e12)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return chosen_shards(tmp_path_factory.mktemp("judged"), *SCENES)


def read(shards: ShardSet) -> tuple[dict[str, Tensor], list[dict[str, object]]]:
    bucket, count = next(iter(shards.buckets.items()))
    return shards.read(bucket, range(count))


def batch_of(shards: ShardSet, step: int = 0) -> Batch:
    tensors, metadata = read(shards)
    count = len(metadata)
    seeds = tuple(range(10 * step, 10 * step + count))
    bucket = next(iter(shards.buckets))
    return Batch(step=step, bucket=bucket, numbers=tuple(range(count)), tensors=tensors, metadata=metadata, seeds=seeds)


def test_truth_of_a_flipped_clip_is_that_of_its_mirror_image(shards: ShardSet, tmp_path: Path) -> None:
    tensors, metadata = read(shards)
    mirrored, their = read(chosen_shards(tmp_path, *(s.mirrored() for s in SCENES)))
    assert torch.equal(mirrored["frames"], tensors["frames"].flip(3))
    flipped = truth_of(tensors, metadata, [True] * len(SCENES))
    true = truth_of(mirrored, their, [False] * len(SCENES))
    for field in fields(true):
        one, other = getattr(flipped, field.name), getattr(true, field.name)
        if field.name == "whole":
            assert {k: v.tolist() for k, v in one.items()} == {k: v.tolist() for k, v in other.items()}
        else:
            assert torch.allclose(one, other, atol=1e-5), field.name
    turned = truth_of(tensors, metadata, [False, True] * 3 + [False])
    assert torch.equal(turned.boxes[1], flipped.boxes[1])
    assert torch.equal(turned.boxes[0], tensors["boxes"][0])


def test_truth_is_what_the_scene_says(shards: ShardSet) -> None:
    truth = truth_of(*read(shards), [False] * len(SCENES))
    for i, scene in enumerate(SCENES):
        count = len(scene.subjects)
        assert [KIND_NAMES[k] for k in truth.kind[i, :count]] == [s.kind for s in scene.subjects]
        assert [COLOURS[k] for k in truth.colour[i, :count]] == [s.colour for s in scene.subjects]
        for row in (truth.kind, truth.colour, truth.action):
            assert (row[i, count:] == IGNORED).all()
        assert CAMERA_NAMES[truth.camera[i]] == scene.camera
        assert {k: WHOLE[k][v[i]] for k, v in truth.whole.items()} == {k: getattr(scene, k) for k in WHOLE}
    assert ACTIONS[truth.action[0, 0]] == "walk"
    assert ACTIONS[truth.action[1, 0]] == "collide"
    assert truth.action[1, 1] == IGNORED  # it is run into, whatever it does of itself


@pytest.mark.parametrize(
    "scene",
    [pair("collide", "car", "cube"), make("cube", "fall", place="coast"), make("ball", "swing"), make("puppy", "walk")],
    ids=lambda s: s.subject.action,
)
def test_events_stand_between_the_frames_that_they_happen_between(tmp_path: Path, scene: Scene) -> None:
    shape = replace(SHAPE, frames=17, height_px=16, width_px=16)
    truth = truth_of(*read(chosen_shards(tmp_path, scene, shape=shape)), [False])
    found = {(n, step, EVENTS[e]) for n, step, e in truth.events[0].nonzero().tolist()}
    true = [e for e in events(scene, 2.0) if e.subject is not None]
    assert true
    for event in true:
        step = next(s for s in range(16) if s / FPS <= event.time_s < (s + 1) / FPS)
        assert (event.subject, step, event.kind) in found
    assert {(n, kind) for n, _, kind in found} == {(e.subject, e.kind) for e in true}
    assert not {"wave_crash"} & {kind for _, _, kind in found}  # it happens to the place


def frame_task(shards: ShardSet, recipe: JudgeRecipe = RECIPE) -> FrameTask:
    return FrameTask(recipe, shards, validation=shards, known=KNOWN)


def clip_task(shards: ShardSet, recipe: JudgeRecipe = RECIPE, **weights: Tensor) -> ClipTask:
    frame = FrameJudge(recipe.frame)
    frame.init_weights(torch.Generator().manual_seed(0))
    if weights:
        frame.load_state_dict(weights)
    return ClipTask(recipe, shards, validation=shards, frame=frame, known=KNOWN)


def test_clips_are_flipped_together_with_their_truth(shards: ShardSet) -> None:
    task, batch = clip_task(shards, replace(RECIPE, blurred=0.0)), batch_of(shards)
    pictures, truth = task._shown(batch)
    frames = rearrange(batch.tensors["frames"], "b t h w c -> b t c h w").float()
    sides = []
    for shown, plain, box, true in zip(
        pictures, frames, truth.boxes, batch.tensors["boxes"], strict=True
    ):  # shown is brighter or darker by a straight line
        is_flipped = flipped(shown, plain)
        seen = true[:, 0, 2] > 0
        wanted = 1 - true[:, :, 0] if is_flipped else true[:, :, 0]
        assert (box[seen, :, 0] - wanted[seen]).abs().max() < 0.06  # shaken a little
        assert (box[~seen] == 0).all()
        sides.append(is_flipped)
    assert 0 < sum(sides) < len(sides)


def test_the_frame_judge_sees_one_frame_of_a_clip_and_its_boxes(shards: ShardSet) -> None:
    task = frame_task(shards, replace(RECIPE, blurred=0.0))
    numbers = set()
    for step in range(4):
        batch = batch_of(shards, step)
        pictures, truth = task._shown(batch)
        assert pictures.shape[1] == truth.boxes.shape[2] == 1
        frames = rearrange(batch.tensors["frames"], "b t h w c -> b t c h w").float()
        for shown, plain, box, true in zip(pictures[:, 0], frames, truth.boxes, batch.tensors["boxes"], strict=True):
            looks = [max((likeness(shown, f), False), (likeness(shown, f.flip(-1)), True)) for f in plain]
            number = max(range(len(plain)), key=lambda n: looks[n])
            seen = true[:, number, 2] > 0
            wanted = 1 - true[:, number, 0] if looks[number][1] else true[:, number, 0]
            assert looks[number][0] > 0.999
            assert torch.allclose(box[seen, 0, 0], wanted[seen], atol=0.06)
            numbers.add(number)
    assert len(numbers) > 2


def likeness(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def flipped(shown: Tensor, plain: Tensor) -> bool:
    looks = [likeness(shown, p) for p in (plain, plain.flip(-1))]
    assert max(looks) > 0.999
    return looks[1] > looks[0]


@pytest.mark.parametrize("make_task", [frame_task, clip_task])
def test_a_sample_depends_on_its_seed_alone(
    shards: ShardSet, make_task: Callable[[ShardSet], FrameTask | ClipTask]
) -> None:
    task, batch = make_task(shards), batch_of(shards)
    together, _ = task._shown(batch)
    alone = replace(
        batch, numbers=(4,), seeds=batch.seeds[4:5], metadata=batch.metadata[4:5],
        tensors={k: v[4:5] for k, v in batch.tensors.items()},
    )  # fmt: skip
    assert torch.equal(task._shown(alone)[0][0], together[4])


def test_they_learn(tmp_path: Path) -> None:
    scenes = (SCENES[0], SCENES[1], SCENES[4], SCENES[5])
    shards = chosen_shards(tmp_path, *scenes)
    loop = replace(
        LOOP, budget=Budget(steps=60), rate=LearningRate(warmup_steps=5), optim=OptimRecipe(lr=5e-3), ema_decay=0.9,
        log_every_steps=1, validate_every_steps=None, checkpoint_every_steps=None,
    )  # fmt: skip
    recipe = replace(RECIPE, frame_loop=loop, clip_loop=loop, clips=4, pictures=4, blurred=0.0)
    outcomes = train_judges(recipe, shards, validation=shards, folder=tmp_path / "run")
    shares = {"frame": {"loss": 0.2, "heat_loss": 0.3, "box_loss": 0.6}, "clip": {"loss": 0.2, "event_loss": 0.3}}
    for judge, wanted in shares.items():
        log = read_metrics(tmp_path / "run" / judge / "metrics.jsonl", "train")
        for name, share in wanted.items():
            assert sum(row[name] for row in log[-5:]) / 5 < share * log[0][name], name
    names = {"frame": ("place", "time", "weather", "kind", "colour"), "clip": ("camera", "action")}
    for judge, attributes in names.items():
        assert {k: outcomes[judge].scores[f"{k}_accuracy"] for k in attributes} == dict.fromkeys(attributes, 1.0)
    weights = trained_judges(tmp_path / "run")
    tasks = {"frame": frame_task(shards, recipe), "clip": clip_task(shards, recipe, **weights["frame"])}
    for name, task in tasks.items():
        task.modules[name].load_state_dict(weights[name])
        assert task.validate(0) == outcomes[name].scores


class StopInSecond(StopAt):
    """Stops not in the first run that it sees, but in the one after."""

    last, is_second = 0, False

    def __call__(self, progress: Progress) -> None:
        self.is_second |= progress.step < self.last
        self.last = progress.step
        if self.is_second:
            super().__call__(progress)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_resumed_equals_uninterrupted_bit_for_bit(
    shards: ShardSet, tmp_path: Path, kind: Literal["adamw", "muon"]
) -> None:
    loop = replace(LOOP, optim=OptimRecipe(kind=kind, lr=3e-3))
    recipe = replace(RECIPE, frame_loop=loop, clip_loop=loop)
    straight = train_judges(recipe, shards, validation=shards, folder=tmp_path / "straight")
    for judge, stop in (("frame", StopAt(4)), ("clip", StopInSecond(4))):
        with pytest.raises(Cancelled, match="after step 4"):
            train_judges(
                recipe, shards, validation=shards, folder=tmp_path / "resumed", observer=stop, cancel=stop.token
            )  # fmt: skip
        assert (tmp_path / "resumed" / judge).exists()
    resumed = train_judges(recipe, shards, validation=shards, folder=tmp_path / "resumed")
    for name in straight:
        one, other = all_tensors(straight[name].checkpoint), all_tensors(resumed[name].checkpoint)
        assert set(one) == set(other)
        assert {k for k in one if not torch.equal(one[k], other[k])} == set()
        assert any("momentum_buffer" in k for k in one) == (kind == "muon")
        assert straight[name].scores == resumed[name].scores
    assert set(straight["frame"].scores) == {"score"} | {f"{k}_accuracy" for k in (*WHOLE, "kind", "colour")}
    assert set(straight["clip"].scores) == {"score", "camera_accuracy", "action_accuracy"}
    with pytest.raises(TrainingError, match=r"blurred: 0\.5 -> 0\.25"):
        train_judges(replace(recipe, blurred=0.25), shards, validation=shards, folder=tmp_path / "straight")


def test_the_clip_judge_leaves_the_frame_judge_as_it_is(shards: ShardSet) -> None:
    task = clip_task(shards)
    loss, parts = task.loss(batch_of(shards))
    loss.backward()
    assert set(parts) == {f"{k}_loss" for k in ("camera", "action", "path", "motion", "position", "event")}
    assert all(p.grad is None for p in task.frame.parameters())
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in task.clip.parameters())


def test_clips_and_pictures_take_turns(shards: ShardSet, tmp_path: Path) -> None:
    pictures = chosen_shards(tmp_path, *SCENES[:3], shape=replace(SHAPE, frames=1, height_px=32, width_px=48))
    pairs = chosen_shards(tmp_path, *SCENES[:2], shape=replace(SHAPE, frames=2))
    both = join([shards, pictures, pairs])
    for task, frames in ((frame_task(both), {1, 2, 5}), (clip_task(both), {2, 5})):
        seen = set()
        for step in range(64):
            batch = task.loader.batch(step)
            if batch.bucket.frames not in seen:
                assert torch.isfinite(task.loss(batch)[0])
                seen.add(batch.bucket.frames)
        assert seen == frames
        assert 0 <= task.validate(0)["score"] <= 1


def test_a_batch_in_which_nobody_is_seen_has_a_loss(shards: ShardSet) -> None:
    for task in (frame_task(shards), clip_task(shards)):
        batch = batch_of(shards)
        empty = dict(batch.tensors) | {"boxes": torch.zeros_like(batch.tensors["boxes"])}
        loss, parts = task.loss(replace(batch, tensors=empty))
        loss.backward()
        assert {k: float(v) for k, v in parts.items() if not torch.isfinite(v)} == {}
        if isinstance(task, FrameTask):
            assert parts["kind_loss"] == parts["colour_loss"] == parts["box_loss"] == 0
        grads = [p.grad for module in task.modules.values() for p in module.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in grads)


def test_a_longer_budget_goes_on_with_the_clip_judge_alone(shards: ShardSet, tmp_path: Path) -> None:
    short = train_judges(RECIPE, shards, validation=shards, folder=tmp_path)
    longer = replace(LOOP, budget=Budget(steps=9))
    recipe = replace(RECIPE, frame_loop=longer, clip_loop=longer)
    before = trained_judges(tmp_path)["frame"]
    long = train_judges(recipe, shards, validation=shards, folder=tmp_path)
    assert [o["frame"].step for o in (short, long)] == [6, 6]
    assert [o["clip"].step for o in (short, long)] == [6, 9]
    assert all(torch.equal(v, before[k]) for k, v in trained_judges(tmp_path)["frame"].items())


def test_minutes_are_shared_as_in_the_recipe() -> None:
    recipe = JudgeRecipe().within(120)
    minutes = [loop.budget.minutes for loop in (recipe.frame_loop, recipe.clip_loop)]
    assert minutes == [pytest.approx(50), pytest.approx(70)]
