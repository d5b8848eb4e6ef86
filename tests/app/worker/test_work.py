"""The loop of a worker, with the fake engine, in this process."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from kinema.app.worker.hold import DatabaseGone, Hold, Stopped
from kinema.app.worker.settings import WorkerSettings
from kinema.app.worker.work import Worker
from kinema.core.jobs import JobState
from kinema.core.progress import Progress
from kinema.media.probe import probe
from kinema.media.recipe import read_recipe
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.job import Canceled, Failed, Job, Queued, Running, Succeeded
from kinema.serve.jobs.reading import attempts_of, audit_steps, events_after, last_checkpoint
from tests.app.worker.conftest import Place
from tests.app.worker.fake import FakeEngine, order, right_digest

STEPS = 12


def worker_of(place: Place, engine: FakeEngine | None = None, **changes: object) -> Worker:
    settings = replace(place.settings, **changes)  # pyright: ignore[reportArgumentType]
    return Worker(settings, store=place.store, blobs=place.blobs, engine=engine or FakeEngine())


@contextmanager
def running(worker: Worker) -> Iterator[threading.Thread]:
    """``worker`` at work in a thread, drained in the end."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.drain()
        thread.join(60)
        assert not thread.is_alive()


def until(found: Callable[[], object], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.005)


def digest_of(place: Place, job: Job) -> str:
    """The hash of the frames that a finished job says it has."""
    state = place.get(job).state
    assert isinstance(state, Succeeded), state
    blob = state.result["outputs"]["recipe"]["blob"]
    return json.loads(place.blobs.path(blob).read_text())["frames"]


def checkpoints(place: Place) -> list[str]:
    """The checkpoints on the disk."""
    found = (place.blobs.path(ref).read_bytes() for ref, _ in place.blobs.refs())
    return sorted(data.decode() for data in found if re.match(rb"\d+ vid_", data))


def test_a_job_becomes_files_that_are_there_and_named_in_one_transaction(place: Place) -> None:
    job = place.submit(order(3, steps=STEPS))
    assert worker_of(place, keep_s=100.0).run_one()
    done = place.get(job)
    assert isinstance(done.state, Succeeded)
    outputs = done.state.result["outputs"]
    assert set(outputs) == {"video", "cover", "spritesheet", "last_frame", "recipe"}
    for role, file in outputs.items():
        path = place.blobs.path(file["blob"])
        assert path.stat().st_size == file["bytes"] > 0
        assert file["name"].startswith(job.id), role
    video = probe(place.blobs.path(outputs["video"]["blob"]))
    assert (video.width_px, video.height_px, outputs["video"]["media_type"]) == (16, 16, "video/mp4")
    recipe = read_recipe(place.blobs.path(outputs["video"]["blob"]))
    assert recipe is not None
    assert recipe["frames"] == digest_of(place, job) == right_digest(3, STEPS)
    for role, kind in (("cover", "JPEG"), ("spritesheet", "JPEG"), ("last_frame", "PNG")):
        with Image.open(place.blobs.path(outputs[role]["blob"])) as picture:
            assert picture.format == kind
    assert done.state.result["warnings"] == ["a note"]
    metrics = done.state.result["metrics"]
    assert (metrics["load_ms"], metrics["denoise_ms"], metrics["flops"]) == (500.0, 2000.0, 7.0)
    assert (metrics["encode_ms"], metrics["decode_ms"], metrics["peak_memory_mb"]) == (None, None, None)
    assert 0 <= metrics["queue_ms"] < 10_000
    assert done.expires_at == pytest.approx(done.finished_at + 100.0)  # pyright: ignore[reportOptionalOperand]
    assert checkpoints(place) == [], "a finished job needs none"


def test_progress_is_told_with_previews_and_every_step_is_logged_before_it_runs(place: Place) -> None:
    job = place.submit(order(steps=STEPS))
    worker_of(place, preview_every_s=0.0).run_one()
    told = events_after(place.store.database, job.id)
    assert [e.kind for e in told[:4]] == ["queued", "running", "started", "progress"]
    steps = [e.data["step"] for e in told if e.kind == "progress" and e.data["phase"] == "denoise"]
    assert steps == list(range(STEPS + 1))
    phases = [e.data["phase"] for e in told if e.kind == "progress"]
    assert list(dict.fromkeys(phases)) == ["load", "denoise", "decode", "write"]
    saved = [e.data["step"] for e in told if e.kind == "checkpoint"]
    assert saved == [3, 6, 9, 12]
    preview = next(
        e.data for e in told if e.kind == "progress" and e.data["step"] == 5 and e.data["phase"] == "denoise"
    )
    assert preview["eta_s"] == 7.0
    with Image.open(place.blobs.path(preview["preview"])) as picture:
        assert (picture.size, picture.getpixel((1, 1))) == ((4, 4), (5, 5, 5))
    audit = audit_steps(place.store.database, job.id)
    assert audit.executed == STEPS


def test_progress_is_not_told_more_often_than_it_should(place: Place) -> None:
    job = place.submit(order(steps=STEPS))
    worker_of(place, report_every_s=60.0).run_one()
    told = [e.data for e in events_after(place.store.database, job.id) if e.kind == "progress"]
    # the first of each phase, and the last step
    assert [(e["phase"], e["step"]) for e in told] == [
        ("load", 0),
        ("denoise", 0),
        ("denoise", 12),
        ("decode", 0),
        ("write", 0),
    ]
    assert audit_steps(place.store.database, job.id).executed == STEPS


def test_cancel_is_confirmed_within_a_step(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = place.submit(order(steps=60, step_s=0.05, log=str(log)))
    # no heartbeat comes in time: the refusal of the next step is what stops it
    with running(worker_of(place, lease_s=60.0)):
        until(lambda: place.get(job).done_steps >= 3)
        place.store.apply(job.id, c.Cancel())
        steps = len(log.read_text().splitlines())
        until(lambda: isinstance(place.get(job).state, Canceled))
    assert len(log.read_text().splitlines()) <= steps + 1
    assert last_checkpoint(place.store.database, job.id) is None
    assert checkpoints(place) == []


def test_cancel_is_heard_where_no_step_is_asked(place: Place) -> None:
    """Between the steps of the decode the heartbeat's word counts."""
    job = place.submit(order(steps=2, decode_s=20.0))
    with running(worker_of(place, lease_s=0.4, report_every_s=60.0)):
        until(lambda: place.get(job).phase == "decode")
        place.store.apply(job.id, c.Cancel())
        until(lambda: place.get(job).status.is_final)
    assert place.get(job).status is JobState.CANCELED


def test_a_pause_gives_the_job_back_with_a_checkpoint_and_it_goes_on_from_there(place: Place) -> None:
    job = place.submit(order(5, steps=40, step_s=0.01))
    worker = worker_of(place, checkpoint_every=30)
    with running(worker):
        until(lambda: place.get(job).done_steps >= 4)
        place.store.apply(job.id, c.Pause())
        until(lambda: place.get(job).state == Queued(paused=True))
        paused = place.get(job)
        assert 4 <= paused.checkpoint_step < 30, "between two checkpoints that were due"
        assert paused.checkpoint_step == paused.done_steps
        assert [int(text.split()[0]) for text in checkpoints(place)] == [paused.checkpoint_step], "and one file"
        place.store.apply(job.id, c.Resume())
        until(lambda: place.get(job).status.is_final)
    assert digest_of(place, job) == right_digest(5, 40)
    assert audit_steps(place.store.database, job.id).executed == 40, "no step twice"
    assert checkpoints(place) == [], "that of the first attempt neither"
    assert place.get(job).deaths == 0


def test_a_worker_that_drains_gives_back_what_it_has_and_takes_no_other(place: Place) -> None:
    jobs = [place.submit(order(i, steps=40, step_s=0.01)) for i in range(2)]
    with running(worker_of(place)) as thread:
        until(lambda: place.get(jobs[0]).done_steps >= 4)
        begun = time.monotonic()
    assert time.monotonic() - begun < 15.0
    assert not thread.is_alive()
    first = place.get(jobs[0])
    assert first.state == Queued()
    assert first.checkpoint_step == first.done_steps >= 4
    assert place.get(jobs[1]).fence == 0
    worker_of(place).run_one()
    assert digest_of(place, jobs[0]) == right_digest(0, 40)
    assert audit_steps(place.store.database, jobs[0].id).executed == 40


def test_what_another_worker_has_by_now_is_left_alone(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = place.submit(order(1, steps=100, step_s=0.02, log=str(log)))
    # one job and no more, or it would be the one to take it again
    thread = threading.Thread(target=worker_of(place, lease_s=60.0).run_one)
    thread.start()
    until(lambda: place.get(job).done_steps >= 4)
    # as if its lease had run out
    place.store.apply(job.id, c.WorkerDied(fence=1))
    steps = len(log.read_text().splitlines())
    (taken,) = place.store.claim("other", lease_s=60)
    thread.join(60)
    assert len(log.read_text().splitlines()) <= steps + 1, "it works for nobody"
    now = place.get(job)
    assert isinstance(now.state, Running)
    assert now.state.worker == "other"
    assert now == taken, "nothing of the old worker's was committed"


@pytest.mark.parametrize(
    "how, code, retryable",
    [
        ("open", "input.refused", False),
        ("invalid", "input.invalid", False),
        ("unsupported", "input.unsupported", False),
        ("media", "input.media", False),
        ("weights", "model.unusable", False),
        ("memory", "worker.out_of_memory", True),
        ("storage", "server.storage", True),
    ],
)
def test_what_goes_wrong_has_a_code_and_the_worker_goes_on(place: Place, how: str, code: str, retryable: bool) -> None:
    job, after = place.submit(order(fails=how)), place.submit(order(7))
    worker = worker_of(place)
    assert worker.run_one()
    state = place.get(job).state
    assert isinstance(state, Failed)
    assert (state.error.code, state.error.retryable) == (code, retryable)
    assert "/secret" not in state.error.message
    assert worker.run_one()
    assert digest_of(place, after) == right_digest(7, STEPS)


def test_a_bug_fails_the_job_and_ends_the_worker(place: Place) -> None:
    job = place.submit(order(fails="bug"))
    with pytest.raises(ZeroDivisionError):
        worker_of(place).run()
    state = place.get(job).state
    assert isinstance(state, Failed)
    assert (state.error.code, state.error.retryable) == ("worker.error", True)
    assert "/secret" not in state.error.message


def test_a_checkpoint_that_cant_be_used_means_the_beginning(place: Place) -> None:
    job = place.submit(order(2, steps=STEPS, forgets=True))
    (claimed,) = place.store.claim("dead", lease_s=60)
    steps = [c.Step(fence=1, step=i) for i in range(1, 4)]
    blob = place.blobs.put(b"3 x 00")
    saved = c.SaveCheckpoint(fence=1, step=3, blob=blob)
    start = c.Start(fence=claimed.fence, from_step=0, checkpoint_every=3)
    assert isinstance(place.store.apply(job.id, start, *steps, saved, c.WorkerDied(fence=1)), Job)
    worker_of(place).run_one()
    assert digest_of(place, job) == right_digest(2, STEPS)
    assert [a["from_step"] for a in attempts_of(place.store.database, job.id)] == [0, 0]


def test_a_checkpoint_whose_file_is_gone_means_the_beginning(place: Place) -> None:
    job = place.submit(order(2, steps=STEPS))
    place.store.claim("dead", lease_s=60)
    steps = [c.Step(fence=1, step=i) for i in range(1, 4)]
    saved = c.SaveCheckpoint(fence=1, step=3, blob=f"sha256:{'0' * 64}")
    place.store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=3), *steps, saved, c.WorkerDied(fence=1))
    worker_of(place).run_one()
    assert digest_of(place, job) == right_digest(2, STEPS)


def test_it_prefers_the_model_that_is_warm_and_runs_one_job_at_a_time(place: Place) -> None:
    place.submit(order(0, model="fake"))
    jobs = [place.submit(order(1, model="other")), place.submit(order(2, model="fake")), place.submit(order(3))]
    engine = FakeEngine()
    worker = worker_of(place, engine)
    for _ in range(3):
        assert worker.run_one()
    # of one plan all of them, and yet none was claimed with another: a batch would have other bits
    started = sorted(((place.get(j).started_at or float("inf")), i) for i, j in enumerate(jobs))
    assert [i for _, i in started] == [1, 2, 0]
    assert place.get(jobs[0]).fence == 0


def test_jobs_of_models_that_it_does_not_have_wait(place: Place) -> None:
    job = place.submit(order(model="unknown"))
    assert not worker_of(place).run_one()
    assert place.get(job).fence == 0


def test_a_job_without_progress_is_given_up_with_its_process(place: Place) -> None:
    place.submit(order(steps=3, step_s=1.5))
    said: list[str] = []
    beats: list[float] = []
    settings = replace(place.settings, patience_s=0.3, lease_s=0.4)
    worker = Worker(
        settings,
        store=place.store,
        blobs=place.blobs,
        engine=FakeEngine(),
        on_beat=lambda: beats.append(time.monotonic()),
        on_hang=said.append,
    )
    with running(worker):
        until(lambda: said)
    assert "no progress for 0.3 s" in said[0]
    assert len(beats) >= 2


def test_the_lease_lives_through_a_step_that_is_longer_than_it(place: Place) -> None:
    job = place.submit(order(4, steps=1, step_s=3.5))
    with running(worker_of(place, lease_s=1.5)):
        # whoever else looks for work finds no lease that ran out
        until(lambda: place.store.reap() or place.get(job).status.is_final)
    assert digest_of(place, job) == right_digest(4, 1)
    assert place.get(job).fence == 1


def test_a_database_that_is_gone_ends_the_worker(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinema.core.errors import StorageError

    def gone(*_: object, **__: object) -> object:
        raise StorageError("jobs.db: the database can't be used")

    job = place.submit(order())
    monkeypatch.setattr(place.store, "apply", gone)
    with pytest.raises(DatabaseGone):
        worker_of(place).run()
    assert isinstance(place.get(job).state, Running), "until its lease runs out"


def test_settings_survive_the_way_to_the_process(place: Place) -> None:
    settings = replace(place.settings, device="cuda:1", threads=3, keep_s=None)
    assert WorkerSettings.from_json(settings.to_json()) == settings
    assert (settings.device_kind, settings.device_index) == ("cuda", 1)
    assert (place.settings.device_kind, place.settings.device_index) == ("cpu", None)
    assert replace(place.settings, device="cuda").device_index is None


def batches_of(engine: FakeEngine, jobs: list[Job]) -> list[tuple[int, str]]:
    """(from which step on, who was together), by the places of ``jobs``."""
    names = {job.id: str(i) for i, job in enumerate(jobs)}
    return [(begin, "".join(names[i] for i in ids)) for begin, ids in engine.batches]


def test_jobs_of_one_plan_are_denoised_together(place: Place) -> None:
    owners = ("ann", "bob", "cleo")
    jobs = [place.submit(order(i, owner=owner, steps=STEPS)) for i, owner in enumerate(owners)]
    other = place.submit(order(7, plan_key="q"))
    engine = FakeEngine()
    worker = worker_of(place, engine, batch=4)
    assert worker.run_one()
    assert batches_of(engine, jobs) == [(0, "012")]
    assert place.get(other).fence == 0
    for i, job in enumerate(jobs):
        assert digest_of(place, job) == right_digest(i, STEPS)
        audit = audit_steps(place.store.database, job.id)
        assert audit.executed == audit.allowed == STEPS
        told = events_after(place.store.database, job.id)
        assert [e.data["step"] for e in told if e.kind == "checkpoint"] == [3, 6, 9, 12]
        steps = [e.data["step"] for e in told if e.kind == "progress" and e.data["phase"] == "denoise"]
        assert list(dict.fromkeys(steps)) == list(range(STEPS + 1))
    assert checkpoints(place) == []
    assert worker.run_one()
    assert len(engine.batches) == 1, "one of a kind is no batch"
    assert digest_of(place, other) == right_digest(7, STEPS)


@pytest.mark.parametrize("how", ["cancel", "pause", "lost"])
def test_who_leaves_a_batch_disturbs_nobody(place: Place, tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    jobs = [place.submit(order(i, steps=60, step_s=0.01, log=str(log))) for i in range(3)]
    engine = FakeEngine()
    # but for the pause no heartbeat is heard: the refusal of the next step is what tells
    worker = worker_of(place, engine, batch=3, checkpoint_every=7, lease_s=0.2 if how == "pause" else 60.0)
    thread = threading.Thread(target=worker.run_one)
    thread.start()
    until(lambda: place.get(jobs[1]).done_steps >= 4)
    commands = {"cancel": c.Cancel(), "pause": c.Pause(), "lost": c.WorkerDied(fence=1)}
    place.store.apply(jobs[1].id, commands[how])
    said = sum(f"{jobs[1].id} " in line for line in log.read_text().splitlines())
    thread.join(60)
    left = place.get(jobs[1])
    (begin, first), (at, second) = batches_of(engine, jobs)
    assert (begin, first, second) == (0, "012", "02")
    for i in (0, 2):
        assert digest_of(place, jobs[i]) == right_digest(i, 60)
        assert audit_steps(place.store.database, jobs[i].id).executed == 60, "none twice"
        assert place.get(jobs[i]).fence == 1
    made = sum(f"{jobs[1].id} " in line for line in log.read_text().splitlines())
    assert made == at
    if how == "cancel":
        assert isinstance(left.state, Canceled)
    if how == "pause":
        assert left.state == Queued(paused=True)
        assert left.checkpoint_step == left.done_steps == at
        place.store.apply(jobs[1].id, c.Resume())
    else:
        assert made <= said + 1, "within a step"
    if how == "lost":
        assert left.state == Queued()
        assert left.fence == 1, "nothing of it was committed"
    if how != "cancel":
        worker.run_one()
        assert digest_of(place, jobs[1]) == right_digest(1, 60)
        audit = audit_steps(place.store.database, jobs[1].id)
        assert audit.executed <= audit.allowed
    assert checkpoints(place) == []


def test_a_batch_that_drains_is_given_back_with_a_checkpoint_of_each(place: Place) -> None:
    jobs = [place.submit(order(i, steps=40, step_s=0.01)) for i in range(3)]
    with running(worker_of(place, batch=3, checkpoint_every=30)):
        until(lambda: place.get(jobs[2]).done_steps >= 4)
    for job in map(place.get, jobs):
        assert (job.state, job.deaths) == (Queued(), 0)
        assert job.checkpoint_step == job.done_steps >= 4
    engine = FakeEngine()
    worker = worker_of(place, engine, batch=3)
    while worker.run_one():
        pass
    assert engine.batches == [], "what has a checkpoint goes on alone"
    for i, job in enumerate(jobs):
        assert digest_of(place, job) == right_digest(i, 40)
        assert audit_steps(place.store.database, job.id).executed == 40


def test_jobs_that_would_have_other_bits_together_are_made_alone(place: Place) -> None:
    jobs = [place.submit(order(i, apart=True)) for i in range(4)]
    worker = worker_of(place, batch=3)
    assert worker.run_one()
    assert [place.get(job).status for job in jobs] == [JobState.SUCCEEDED, *[JobState.QUEUED] * 3]
    assert [place.get(job).fence for job in jobs] == [1, 1, 1, 0], "the others are anybody's again"
    assert worker.run_one()
    assert [place.get(job).fence for job in jobs] == [1, 2, 1, 0], "and claimed together no more"
    while worker.run_one():
        pass
    for i, job in enumerate(jobs):
        assert digest_of(place, job) == right_digest(i, STEPS)
        assert place.get(job).deaths == 0
        assert audit_steps(place.store.database, job.id).executed == STEPS


def test_memory_that_runs_out_in_a_batch_fails_nobody(place: Place) -> None:
    jobs = [place.submit(order(i, fails_together=True)) for i in range(3)]
    worker = worker_of(place, batch=3)
    assert worker.run_one()
    for i, job in enumerate(jobs):
        assert digest_of(place, job) == right_digest(i, STEPS)
        assert audit_steps(place.store.database, job.id).executed == STEPS
    more = [place.submit(order(i)) for i in range(2)]
    assert worker.run_one()
    assert place.get(more[1]).fence == 0, "not tried again"


def test_of_a_batch_the_one_that_cant_be_made_fails_alone(place: Place) -> None:
    jobs = [place.submit(order(0)), place.submit(order(1, fails="open")), place.submit(order(2))]
    engine = FakeEngine()
    assert worker_of(place, engine, batch=3).run_one()
    assert batches_of(engine, jobs) == [(0, "02")]
    assert place.get(jobs[1]).status is JobState.FAILED
    assert [digest_of(place, jobs[i]) for i in (0, 2)] == [right_digest(i, STEPS) for i in (0, 2)]


def test_the_leases_of_a_batch_live_while_one_is_decoded(place: Place) -> None:
    jobs = [place.submit(order(i, steps=2, decode_s=1.2)) for i in range(3)]
    with running(worker_of(place, batch=3, lease_s=2.0, patience_s=2.5)):
        until(lambda: place.store.reap() or place.get(jobs[2]).status.is_final)
    assert [(place.get(job).fence, place.get(job).status) for job in jobs] == [(1, JobState.SUCCEEDED)] * 3


def test_who_is_canceled_while_another_is_decoded_is_not_decoded(place: Place) -> None:
    jobs = [place.submit(order(i, steps=2, decode_s=1.5)) for i in range(2)]
    with running(worker_of(place, batch=2, lease_s=0.4)):
        until(lambda: place.get(jobs[0]).phase == "decode")
        place.store.apply(jobs[1].id, c.Cancel())
        until(lambda: place.get(jobs[1]).status.is_final)
    assert [place.get(job).status for job in jobs] == [JobState.SUCCEEDED, JobState.CANCELED]
    assert "decode" not in [e.data.get("phase") for e in events_after(place.store.database, jobs[1].id)]


def test_a_step_that_was_asked_for_is_made_before_the_job_is_given_back(place: Place) -> None:
    """Another left a batch after this one had asked: the step begins a second time, and is logged once."""
    place.submit(order(steps=STEPS))
    (job,) = place.store.claim("w", lease_s=60)
    hold = Hold(job=job, store=place.store, blobs=place.blobs, settings=place.settings, is_draining=lambda: False)
    hold.start(0)
    hold.on_progress(Progress(phase="denoise", step=0, steps=STEPS))
    hold.wish = "pause"
    for phase in ("load", "encode", "denoise"):
        hold.on_progress(Progress(phase=phase, step=0, steps=STEPS))
    hold.on_state(1, lambda: b"1 x 00")
    with pytest.raises(Stopped) as stopped:
        hold.on_progress(Progress(phase="denoise", step=1, steps=STEPS))
    assert stopped.value.why == "release"
    assert (hold.job.done_steps, hold.job.checkpoint_step) == (1, 1)
    assert audit_steps(place.store.database, job.id).executed == 1
