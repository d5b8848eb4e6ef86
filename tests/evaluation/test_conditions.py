"""Conditions that are no words: what is asked for, what is found where it is followed, and where it isn't."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from kinema.core.card import ModelCard
from kinema.core.errors import Cancelled
from kinema.core.progress import CancelToken
from kinema.evaluation.conditions import MOTIONS, camera, conditions, first_frame, kept, motion
from kinema.evaluation.judges import Judges, Verdict
from kinema.evaluation.measures import flicker
from kinema.evaluation.model import Examination, Examinee, Seen
from kinema.evaluation.questions import Question, asked
from kinema.prompt.normalise import normalise
from tests.evaluation.fakes import FakeEngine, Knowing, drawn, examinee_of, fake_engine, verdict_of
from tests.world.scenes import make, pair

SCENES = [make("car", "walk", colour="blue"), make("ball", "roll", camera="zoom_in"), make("puppy", "jump")]


def knowing(engine: FakeEngine, *, honest: bool = True, difficulty: str = "core") -> Examinee:
    """Judges that know `SCENES`, as they are and with the camera at rest."""
    examinee = examinee_of(engine, Examination(scenes=3, difficulty=difficulty), honest=honest)
    shown = [(n, s) for n, scene in enumerate(SCENES) for s in (scene, replace(scene, camera="static"))]
    questions = [asked(scene, language="en", seed=n) for n, scene in shown]
    assert isinstance(examinee.judges, Knowing)
    examinee.judges.questions = {normalise(q.prompt): q for q in questions}
    return examinee


def known_to(examinee: Examinee) -> Mapping[str, Question]:
    """What the judges know."""
    assert isinstance(examinee.judges, Knowing)
    return examinee.judges.questions


def drawing(engine: FakeEngine) -> FakeEngine:
    """``engine`` as one that draws `SCENES` as they are."""
    engine.drawn = {normalise(asked(s, language="en", seed=n).prompt): s for n, s in enumerate(SCENES)}
    return engine


def test_only_what_the_model_takes_is_measured(tmp_path: Path, toy_card: ModelCard) -> None:
    for number, names in enumerate([(), ("motion",), ("camera", "audio"), ("keyframes", "camera", "motion")]):
        engine = fake_engine(tmp_path / str(number), toy_card, conditions=names)
        examinee = knowing(engine)
        found = {name: measure(examinee, SCENES) for name, measure in conditions(examinee).items()}
        assert set(found) == set(names) - {"audio"}
        assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("cameras", [(), ("tracking",)])
def test_a_camera_that_has_no_path_of_its_own_is_left_out(
    tmp_path: Path, toy_card: ModelCard, cameras: tuple[str, ...]
) -> None:
    examinee = knowing(fake_engine(tmp_path / "fake", toy_card, cameras=cameras), difficulty="single")
    assert set(conditions(examinee)) == {"motion", "keyframes"}


def test_nothing_is_measured_of_pictures(tmp_path: Path, toy_card: ModelCard) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card, default_seconds=0)
    assert conditions(knowing(engine)) == {}


def test_cameras_are_asked_for_in_turn_and_words_say_nothing_of_them(tmp_path: Path, toy_card: ModelCard) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card, cameras=("static", "tracking", "pan_left"))
    found = camera(knowing(engine), SCENES)
    requests = [c.request for c in engine.clips]
    assert [r.camera for r in requests] == ["static"] * 2 + ["pan_left"] * 2
    assert [(r.prompt, r.seed) for r in requests[:2]] == [(r.prompt, r.seed) for r in requests[2:]]
    assert requests[1].prompt == normalise(
        asked(replace(SCENES[1], camera="static"), language="en", seed=1).prompt
    )  # and not that it zooms in
    assert found["all"]["share"] == 1
    assert {name: (row["share"], row["asked"]) for name, row in found["classes"].items()} == {
        "static": (1.0, 2), "pan_left": (1.0, 2),
    }  # fmt: skip
    assert found["path_medians"] == {"degrees": 0, "distances": 0, "log_zoom": 0}
    floor = found.pop("floor")
    assert floor == found


def test_the_floor_of_cameras_is_of_true_clips_seen_by_each(fake: FakeEngine) -> None:
    class Fooled(Knowing):
        """One that takes what is drawn for a camera at rest."""

        def _of_true(self, frames: Tensor, fps: float) -> Verdict:
            return replace(super()._of_true(frames, fps), camera="static")

    examinee = knowing(fake)
    examinee.judges = cast(Judges, Fooled(engine=fake, questions=known_to(examinee)))
    found = camera(examinee, SCENES)
    assert {name: row["share"] for name, row in found["classes"].items()} == {"static": 1, "zoom_in": 1}
    assert {name: row["share"] for name, row in found["floor"]["classes"].items()} == {"static": 1, "zoom_in": 0}
    assert found["floor"]["path_medians"]["log_zoom"] == 0


def test_a_camera_that_is_not_followed(fake: FakeEngine) -> None:
    found = camera(knowing(fake, honest=False), SCENES)
    assert found["floor"]["all"]["share"] == 0
    assert found["all"]["share"] == 0
    assert {row["share"] for row in found["classes"].values()} == {0}


@pytest.mark.parametrize("fps, seconds", [(24.0, 1.0), (12.0, 1.2), (4.0, 2.0)])
def test_paths_and_speeds_are_compared_at_the_frames_that_are_looked_at(
    tmp_path: Path, toy_card: ModelCard, fps: float, seconds: float
) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card, fps=(fps,), default_seconds=seconds, max_frames=33)
    found = camera(knowing(engine), SCENES)
    assert found["path_medians"] == {"degrees": 0, "distances": 0, "log_zoom": 0}
    assert first_frame(knowing(drawing(engine)), SCENES)["velocity_error"] == 0


def test_motion_scores(fake: FakeEngine) -> None:
    found = motion(knowing(fake), SCENES)
    assert [c.request.motion for c in fake.clips] == list(MOTIONS)
    assert found == {"spearman": 1.0, "measured_means": {str(m): float(m) for m in MOTIONS}, "clips": 4,
                     "floor": {"spearman": 1.0, "clips": 3}}  # fmt: skip
    assert len({c.request.seed for c in fake.clips}) == 1


def test_a_motion_score_that_is_turned_round_or_ignored(fake: FakeEngine) -> None:
    class Stubborn(Knowing):
        def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
            said = super().__call__(frames, fps=fps)
            return replace(said, motion_score=77 if self.card else 255 - said.motion_score)

    examinee = knowing(fake)
    for card, wanted in (({}, -1.0), ({"is": "blind"}, 0.0)):
        examinee.judges = cast(Judges, Stubborn(engine=fake, questions=known_to(examinee), card=card))
        assert motion(examinee, SCENES * 2)["spearman"] == wanted


def test_clips_begin_with_the_true_first_frame(fake: FakeEngine) -> None:
    examinee = knowing(fake)
    found = first_frame(examinee, SCENES)
    for number, (clip, scene) in enumerate(zip(fake.clips, SCENES, strict=True)):
        assert np.array_equal(clip.frames[0], drawn(scene, examinee.shape)[0].numpy())
        (keyframe,) = clip.request.keyframes
        assert keyframe.at_s == 0
        assert not Path(str(keyframe.media)).exists()  # it was for the engine alone
        assert clip.request.prompt == normalise(asked(scene, language="en", seed=number).prompt)
    assert found["first_frame_psnr_db"] == 99
    assert found["psnr_db"] < 12 < found["psnr_db_of_standing_still"]  # the others are noise
    assert found["nearer"] == {"share": 0.0, "interval_95": [0.0, 0.5615], "asked": 3, "scenes": 3}
    assert found["words"]["all"]["share"] == 1
    assert found["velocity_error"] == 0
    assert found["identity_kept"]["share"] == found["background_kept"]["share"] == 1


def test_true_clips_are_as_near_as_can_be(fake: FakeEngine) -> None:
    examinee = knowing(drawing(fake))
    found = first_frame(examinee, SCENES)
    assert (found["psnr_db"], found["first_frame_psnr_db"], found["nearer"]["share"]) == (99, 99, 1)
    assert found["flicker"] == round(median(flicker(drawn(s, examinee.shape)) for s in SCENES), 3)


def test_who_sees_nobody_has_no_speed_to_measure(fake: FakeEngine) -> None:
    class Blind(Knowing):
        def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
            return replace(super().__call__(frames, fps=fps), subjects=())

    examinee = knowing(fake)
    examinee.judges = cast(Judges, Blind(engine=fake, questions=known_to(examinee)))
    found = first_frame(examinee, SCENES)
    assert found["velocity_error"] is None
    assert found["identity_kept"]["share"] == found["words"]["kind"]["share"] == 0


def test_speeds_are_those_of_the_first_subject_whoever_is_seen_first(fake: FakeEngine) -> None:
    class Reversed(Knowing):
        def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
            said = super().__call__(frames, fps=fps)
            return replace(said, subjects=said.subjects[::-1])

    scene = pair("knock_over", "car", "tower")
    question = asked(scene, language="en", seed=0)
    assert len({s.velocity for s in verdict_of(question).subjects}) == 2
    examinee = knowing(fake)
    examinee.judges = cast(Judges, Reversed(engine=fake, questions={normalise(question.prompt): question}))
    assert first_frame(examinee, [scene])["velocity_error"] == 0


def seen_by(examinee: Examinee) -> list[Seen]:
    """What is kept of all clips."""
    return [Seen.of(torch.from_numpy(m.clip.frames), m.answer) for m in examinee.words(examinee.asked())]


def test_what_is_kept(fake: FakeEngine) -> None:
    found = kept(seen_by(examinee_of(fake, Examination(scenes=2))))
    flickers = sorted(flicker(torch.from_numpy(c.frames)) for c in fake.clips)
    assert found["flicker"] == round(sum(flickers[1:3]) / 2, 3)
    assert found["identity_kept"]["share"] == found["background_kept"]["share"] == 1
    assert {found[name]["scenes"] for name in ("identity_kept", "background_kept")} == {4}
    wrong = kept(seen_by(examinee_of(fake, Examination(scenes=2), honest=False)))
    assert wrong["identity_kept"]["share"] == wrong["background_kept"]["share"] == 0
    assert kept([]) == {}


def test_one_subject_that_is_not_kept_is_enough(fake: FakeEngine) -> None:
    (one,) = seen_by(examinee_of(fake, Examination(scenes=1, suites=("together",), languages=("en",))))
    first, *others = one.answer.verdict.subjects
    assert others
    for subjects in ((replace(first, kept=0.2), *others), (*others, replace(first, kept=0.2))):
        other = replace(one, answer=replace(one.answer, verdict=replace(one.answer.verdict, subjects=subjects)))
        assert kept([other, one])["identity_kept"]["share"] == 0.5


def test_pictures_keep_nothing(tmp_path: Path, toy_card: ModelCard) -> None:
    engine = fake_engine(tmp_path / "fake", toy_card, default_seconds=0)
    examinee = examinee_of(engine, Examination(scenes=2))
    assert kept(seen_by(examinee)) == kept(examinee.floor(examinee.asked())) == {}


def test_it_stops_while_first_frames_are_drawn(fake: FakeEngine) -> None:
    token = CancelToken()
    examinee = examinee_of(fake, cancel=token)
    token.cancel()
    with pytest.raises(Cancelled):
        first_frame(examinee, SCENES)
    assert fake.batches == []
