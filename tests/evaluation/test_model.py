"""Examinations: what may be asked, batches, seeds, progress, cancelling; and a real engine with real judges."""

from __future__ import annotations

import itertools
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.core.card import ModelCard
from kinema.core.errors import Cancelled, InvalidInput, UnsupportedRequest
from kinema.core.progress import CancelToken, Progress
from kinema.engine.engine import Engine
from kinema.evaluation.conditions import conditions
from kinema.evaluation.judges import Judges
from kinema.evaluation.measures import flicker
from kinema.evaluation.model import Examination, Examinee, Seen
from kinema.evaluation.questions import questions
from kinema.evaluation.scores import table
from kinema.models.judges.clip import ClipJudge
from kinema.models.judges.frame import FrameJudge
from tests.engine.conftest import TINY_CARD, save_tiny
from tests.evaluation.fakes import FakeEngine, Knowing, drawn, examinee_of, fake_engine
from tests.training.judged import CLIP, FRAME


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"split": "all"}, "split: 'all': must be one of train, validation, test"),
        ({"difficulty": "hard"}, "difficulty: 'hard': must be one of core, single, full"),
        ({"suites": ("plain", "odd")}, "suites: 'odd': must be one of plain, held_out, together, hand_written"),
        ({"suites": ("",)}, "suites: ''"),
        ({"suites": ()}, "suites: '': must be at least one of plain"),
        ({"suites": ("plain", "held_out", "plain")}, "suites: 'plain': is named twice"),
        ({"languages": ("fr",)}, "languages: 'fr': must be one of en, zh"),
        ({"languages": ()}, "languages: '': must be at least one of en, zh"),
        ({"languages": ("zh", "zh")}, "languages: 'zh': is named twice"),
        ({"scenes": 0}, "scenes: 0: must be from 1 to"),
        ({"seeds": -1}, "seeds: -1: must be from 1 to"),
    ],
)
def test_an_examination_is_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Examination(**fields)
    assert message in str(caught.value)


def test_a_model_is_asked_in_words_that_it_knows(tmp_path: Path, toy_card: ModelCard) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card)
    engine.change_card(vocabulary={"kind": {"puppy": ["puppy"]}, "camera": {"pan_up": []}})
    examinee = examinee_of(engine, Examination(scenes=6))
    found = examinee.questions("plain")
    assert found == questions("plain", 6, vocabulary=examinee.vocabulary)
    assert {q.subjects[0]["kind"] for q in found} == {"puppy"}
    assert {q.whole["camera"] for q in found} <= {"static", "zoom_in"}  # those of the card's cameras
    assert examinee.scenes() == [q.scene for q in found[::2]]


def test_a_model_without_cameras_is_asked_for_one_at_rest(tmp_path: Path, toy_card: ModelCard) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card, cameras=(), conditions=())
    assert {q.whole["camera"] for q in examinee_of(engine).questions("plain")} == {"static"}


def test_every_question_is_asked_in_order_with_every_seed(fake: FakeEngine) -> None:
    examination = Examination(
        suites=("plain", "hand_written"), scenes=2, seeds=3, size="48x32", steps=2, guidance=1.5, split="validation"
    )
    examinee = examinee_of(fake, examination)
    wanted = [q for suite in examination.suites for q in examinee.questions(suite)]
    assert examinee.asked() == wanted
    made = list(examinee.words(examinee.asked()))
    assert [m.question for m in made] == [q for q in wanted for _ in range(3)]
    assert [id(m.clip) for m in made] == [id(clip) for clip in fake.clips]
    assert all(m.answer.is_right for m in made)
    requests = [c.request for c in fake.clips]
    assert {(r.size, r.steps, r.guidance) for r in requests} == {("48x32", 2, 1.5)}
    assert examinee.shape == fake.clips[0].shape
    seeds = {(m.question.suite, m.question.seed, m.question.language): [] for m in made}
    for m, request in zip(made, requests, strict=True):
        assert request.prompt == examinee.request(m.question.prompt, 0).prompt
        seeds[m.question.suite, m.question.seed, m.question.language].append(request.seed)
    for (suite, seed, language), found in seeds.items():
        assert len(set(found)) == 3
        assert found[0] == seed
        if suite == "plain":  # a pair of languages starts from the same noise, every time
            assert found == seeds[suite, seed, "en" if language == "zh" else "zh"]


def test_clips_are_made_in_batches_and_told_of_as_they_come(fake: FakeEngine) -> None:
    events: list[Progress] = []
    examinee = examinee_of(fake, Examination(scenes=10), observer=events.append)
    coming = examinee.words(examinee.asked())
    assert fake.batches == []  # nothing is made before it is asked for
    next(coming)
    assert [len(b) for b in fake.batches] == [8]
    assert len(list(coming)) == 19
    assert [len(b) for b in fake.batches] == [8, 8, 4]
    assert [(e.phase, e.step, e.steps) for e in events] == [("evaluate", n, 20) for n in (8, 16, 20)]
    assert events[-1].eta_s == 0


def test_the_time_left_is_that_of_whole_batches(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic()]  # a clock's first look is at the true time
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    make = fake.generate_batch

    def slow(*args: Any, **kwargs: Any) -> Any:
        now[0] += 80.0
        return make(*args, **kwargs)

    monkeypatch.setattr(fake, "generate_batch", slow)
    events: list[Progress] = []
    examinee = examinee_of(fake, Examination(scenes=12), observer=events.append)
    list(examinee.words(examinee.asked()))
    assert [e.eta_s for e in events] == pytest.approx([160.0, 80.0, 0.0], abs=20)


def test_it_stops_between_batches(fake: FakeEngine) -> None:
    token = CancelToken()
    examinee = examinee_of(fake, Examination(scenes=10), observer=lambda _: token.cancel(), cancel=token)
    coming = examinee.words(examinee.asked())
    assert len(list(itertools.islice(coming, 8))) == 8
    with pytest.raises(Cancelled):
        next(coming)
    assert len(fake.batches) == 1


def test_it_stops_before_the_next_clip_is_judged(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    token = CancelToken()
    examinee = examinee_of(fake, cancel=token)
    look, looked = examinee.judges.__call__, []

    def judge(self: Knowing, frames: Any, *, fps: float) -> Any:
        looked.append(fps)
        token.cancel()
        return look(frames, fps=fps)

    monkeypatch.setattr(Knowing, "__call__", judge)
    with pytest.raises(Cancelled):
        list(examinee.words(examinee.asked()))
    assert len(looked) == 1


@pytest.mark.parametrize("honest", [True, False])
def test_the_floor_is_of_true_clips_of_the_scenes_that_are_asked_for(fake: FakeEngine, honest: bool) -> None:
    suites = ("plain", "held_out", "together", "hand_written")
    events: list[Progress] = []
    examinee = examinee_of(fake, Examination(scenes=3, suites=suites, seeds=2), honest=honest, observer=events.append)
    asked = examinee.asked()
    found = examinee.floor(asked)
    assert fake.batches == []
    # each scene once, though it is asked for in two languages and with two seeds; what people wrote has none
    scenes = [q.scene for q in asked if q.scene is not None]
    assert [one.answer.question.scene for one in found] == scenes[::2]
    assert len(found) == len({q.scene_key for q in asked if q.scene is not None}) == 9
    assert [one.flicker for one in found] == [flicker(drawn(s, examinee.shape)) for s in scenes[::2]]
    rows = table([one.answer for one in found])
    assert set(rows["suites"]) == set(suites[:3])
    for shares in (rows["attributes"], *rows["suites"].values()):
        assert {row["share"] for row in shares.values()} == {float(honest)}
        assert {"kind", "count", "camera", "all"} <= set(shares)
    assert {row["asked"] for row in rows["suites"]["together"].values()} == {3}
    assert [(e.phase, e.step, e.steps) for e in events] == [("evaluate", n, 9) for n in range(1, 10)]
    examinee.cancel.cancel()
    with pytest.raises(Cancelled):
        examinee.floor(asked)


def test_a_picture_is_asked_for_no_camera_and_no_action(tmp_path: Path, toy_card: ModelCard) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card, default_seconds=0)
    for honest in (True, False):
        examinee = examinee_of(engine, Examination(scenes=2), honest=honest)
        assert examinee.shape.frames == 1
        asked = examinee.asked()
        for answers in ([m.answer for m in examinee.words(asked)], [one.answer for one in examinee.floor(asked)]):
            found = table(answers)["attributes"]
            assert list(found) == ["kind", "colour", "count", "place", "time", "weather", "style", "all"]
            assert {row["share"] for row in found.values()} == {float(honest)}


def test_frames_are_let_go(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    examinee = examinee_of(fake, Examination(scenes=10))
    make, clips = fake.generate_batch, list[weakref.ref[np.ndarray]]()

    def forgetful(*args: Any, **kwargs: Any) -> Any:
        fake.batches.clear()
        made = make(*args, **kwargs)
        clips.extend(weakref.ref(clip.frames) for clip in made)
        return made

    monkeypatch.setattr(fake, "generate_batch", forgetful)
    seen = []
    for made in examinee.words(examinee.asked()):
        seen.append(Seen.of(torch.from_numpy(made.clip.frames), made.answer))
        assert sum(clip() is not None for clip in clips) <= 17  # two batches at most, and the one in hand
    fake.batches.clear()
    del made
    assert len(seen) == len(clips) == 20
    assert not any(clip() is not None for clip in clips)


def test_a_size_that_the_model_does_not_make_is_refused(fake: FakeEngine) -> None:
    examinee = examinee_of(fake, Examination(size="64x64"))
    with pytest.raises(UnsupportedRequest, match="size: '64x64'"):
        _ = examinee.shape


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Examinee:
    """An engine and judges with networks, small and untrained."""
    folder = tmp_path_factory.mktemp("real")
    save_tiny(folder / "tiny", TINY_CARD)
    engine = Engine(folder / "tiny", dtype="float32", threads=1, cache=folder / "machine.json")
    return Examinee(engine, Judges(FrameJudge(FRAME), ClipJudge(CLIP)), Examination(scenes=3, steps=1, seeds=2))


def test_a_real_engine_and_real_judges(real: Examinee) -> None:
    made = list(real.words(real.asked()))
    assert len(made) == 12
    assert len({m.clip.digest for m in made}) == 12
    assert [m.clip.seed for m in made[:2]] == [m.clip.seed for m in made[2:4]]
    found = table([m.answer for m in made])
    assert found["attributes"]["all"] == {"share": 0.0, "interval_95": [0.0, 0.5615], "asked": 12, "scenes": 3}
    assert found["paired"]["place"]["pairs"] == 6
    assert found["pass"] == {"prompts": 6, "pass@1": 0.0, "pass@2": 0.0}
    again = list(real.words(real.asked()))
    assert all(np.array_equal(a.clip.frames, b.clip.frames) for a, b in zip(made, again, strict=True))


def test_a_real_engine_takes_conditions(real: Examinee) -> None:
    found = {name: measure(real, real.scenes()) for name, measure in conditions(real).items()}
    assert set(found) == {"camera", "motion", "keyframes"}
    assert set(found["camera"]["classes"]) == {"static", "zoom_in", "pan_left"}
    assert found["motion"]["clips"] == 4
    assert 0 < found["keyframes"]["psnr_db"] < 99
