"""The worker with real engines: a tiny one, and in one test the shipped model in processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.app.states import read_state, state_to_bytes
from kinema.app.worker.hold import SaveState
from kinema.app.worker.local import LocalEngine, request_of
from kinema.app.worker.supervisor import Supervisor
from kinema.app.worker.work import Worker
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.jobs import JobState
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.plan import RunPlan
from kinema.core.progress import Progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.state import GenerationState
from kinema.media.write import write_picture
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.job import Failed, Job, Order, Queued, Succeeded
from kinema.serve.jobs.reading import attempts_of, audit_steps, events_after
from kinema.weights.folder import open_model
from kinema.weights.preview import KEY
from tests.app.worker.conftest import Place
from tests.engine.conftest import TINY_CARD, save_tiny
from tests.engine.test_together import patch_denoiser, row_by_row

REQUEST = GenerationRequest(prompt="a cube", frames=9, size="48x32", steps=6, guidance=2.0, seed=11)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    colours = [[0.3 * i - 0.7, 0.2, -0.1 * i] for i in range(TINY_CARD.compression.channels + 1)]
    card = replace(TINY_CARD, training={**TINY_CARD.training, KEY: colours})
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "tiny", card))


@pytest.fixture
def local(place: Place, tiny: str) -> Place:
    """A place whose workers run the tiny model."""
    return replace(place, settings=replace(place.settings, models=(tiny,), threads=1, checkpoint_every=2))


def order_of(request: GenerationRequest, model: str) -> Order:
    """As the API makes it."""
    resolved = {"request": request.replace(model=model).to_dict(), "warnings": []}
    return Order(owner="ann", model=model, request=request.to_dict(), resolved=resolved, steps=request.steps or 0)


def worker_of(place: Place) -> Worker:
    engine = LocalEngine(place.settings, place.blobs)
    return Worker(place.settings, store=place.store, blobs=place.blobs, engine=engine)


def digest_of(place: Place, job: Job) -> str:
    state = place.get(job).state
    assert isinstance(state, Succeeded), state
    return json.loads(place.blobs.path(state.result["outputs"]["recipe"]["blob"]).read_text())["frames"]


def alone(model: str, request: GenerationRequest = REQUEST) -> str:
    """The hash of the clip that nobody disturbs."""
    return Engine(model, threads=1).generate(request).digest


def made(job: Job, request: GenerationRequest = REQUEST) -> GenerationState:
    generator = torch.Generator().manual_seed(7)
    return GenerationState(
        request=request,
        plan=RunPlan(threads=3, dtype="bfloat16"),
        model_hash="sha256:7",
        step=5,
        latents=torch.randn(1, 5, 3, 4, 6, generator=generator),
        memory=tuple(torch.randn(1, 5, 3, 4, 6, generator=generator).to(d) for d in (torch.float32, torch.float64)),
        inputs={"雪.png": "sha256:8"},
    )


@pytest.mark.parametrize("memories", [0, 1, 2])
def test_a_state_comes_back_bit_for_bit(place: Place, memories: int, tmp_path: Path) -> None:
    job = place.submit(order_of(REQUEST, "m"))
    request = REQUEST.replace(keyframes=(Keyframe(MediaRef("sha256:" + "7" * 64), -1.0),), prompt="雪地里 ☃")
    state = made(job, request)
    state = replace(state, memory=state.memory[:memories])
    path = tmp_path / "state"
    path.write_bytes(state_to_bytes(state, owner="a 1"))
    back = read_state(path)
    assert (back.request, back.plan, back.model_hash, back.step) == (request, state.plan, "sha256:7", 5)
    assert back.inputs == {"雪.png": "sha256:8"}
    assert len(back.memory) == memories
    for one, other in zip((back.latents, *back.memory), (state.latents, *state.memory), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    assert state_to_bytes(state, owner="a 2") != path.read_bytes(), "each claim's checkpoints are its own"


def test_what_is_no_checkpoint_is_refused(place: Place, tmp_path: Path) -> None:
    data = state_to_bytes(made(place.submit(order_of(REQUEST, "m"))), owner="a 1")
    path = tmp_path / "state"
    wrong = [
        b"",
        b"x",
        data[:-1],
        data[:40],
        data.replace(b'"format":"2"', b'"format":"3"'),
        data.replace(b"model_hash", b"model_hasH"),
    ]
    for bad in wrong:
        path.write_bytes(bad)
        with pytest.raises(InvalidInput, match="checkpoint"):
            read_state(path)


def test_jobs_of_one_plan_have_the_bits_that_they_have_alone(local: Place, tiny: str) -> None:
    requests = [REQUEST.replace(seed=seed) for seed in (11, 12, 13)]
    jobs = [local.submit(replace(order_of(r, tiny), plan_key="same")) for r in requests]
    worker = worker_of(local)
    while worker.run_one():
        pass
    assert [digest_of(local, job) for job in jobs] == [alone(tiny, r) for r in requests]
    result = local.get(jobs[0]).state.result  # pyright: ignore[reportAttributeAccessIssue]
    assert result["resolved"]["seed"] == 11
    assert all(result["metrics"][f"{name}_ms"] >= 0 for name in ("queue", "load", "encode", "denoise", "decode"))
    assert result["metrics"]["peak_memory_mb"] > 10


def test_jobs_denoised_together_have_the_bits_that_they_have_alone(
    local: Place, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_denoiser(monkeypatch, row_by_row)
    place = replace(local, settings=replace(local.settings, batch=3, preview_every_s=0.0))
    requests = [REQUEST.replace(seed=seed, prompt=f"a cube {seed}") for seed in (11, 12, 13)]
    jobs = [place.submit(replace(order_of(r, tiny), plan_key="same")) for r in requests]
    apply = place.store.apply

    def cancel_then(job_id: str, *commands: c.Command, **options: Any) -> object:
        if job_id == jobs[1].id and any(isinstance(x, c.Step) and x.step == 4 for x in commands):
            apply(job_id, c.Cancel())
        return apply(job_id, *commands, **options)

    place.store.apply = cancel_then  # pyright: ignore[reportAttributeAccessIssue]
    assert worker_of(place).run_one()
    place.store.apply = apply
    assert place.get(jobs[1]).status is JobState.CANCELED
    assert audit_steps(place.store.database, jobs[1].id).executed == 3
    for i in (0, 2):
        assert digest_of(place, jobs[i]) == alone(tiny, requests[i])
        assert audit_steps(place.store.database, jobs[i].id).executed == REQUEST.steps
        metrics = place.get(jobs[i]).state.result["metrics"]  # pyright: ignore[reportAttributeAccessIssue]
        assert metrics["shared_by"] == 3
        assert all(metrics[f"{name}_ms"] > 0 for name in ("load", "encode", "denoise", "decode"))
    assert place.get(jobs[0]).fence == place.get(jobs[2]).fence == 1
    again = place.submit(order_of(requests[2], tiny))
    assert worker_of(place).run_one()
    assert previews_of(place, jobs[2]) == previews_of(place, again)
    assert previews_of(place, jobs[0]) != previews_of(place, again)


@pytest.mark.parametrize("how", ["cancel", "pause"])
def test_who_leaves_a_batch_in_its_last_step_disturbs_nobody(
    local: Place, tiny: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    patch_denoiser(monkeypatch, row_by_row)
    place = replace(local, settings=replace(local.settings, batch=3))
    requests = [REQUEST.replace(seed=seed, prompt=f"a cube {seed}") for seed in (11, 12, 13)]
    jobs = [place.submit(replace(order_of(r, tiny), plan_key="same")) for r in requests]
    apply = place.store.apply

    def leave_then(job_id: str, *commands: c.Command, **options: object) -> object:
        if job_id == jobs[1].id and any(isinstance(x, c.SaveCheckpoint) and x.step == REQUEST.steps for x in commands):
            apply(job_id, c.Cancel() if how == "cancel" else c.Pause())
        return apply(job_id, *commands, **options)  # pyright: ignore[reportArgumentType]

    place.store.apply = leave_then  # pyright: ignore[reportAttributeAccessIssue]
    assert worker_of(place).run_one()
    place.store.apply = apply
    assert place.get(jobs[1]).status is (JobState.CANCELED if how == "cancel" else JobState.QUEUED)
    for i in (0, 2):
        assert digest_of(place, jobs[i]) == alone(tiny, requests[i])
        assert place.get(jobs[i]).fence == 1


def test_a_job_that_goes_on_alone_was_shared_by_nobody(
    local: Place, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_denoiser(monkeypatch, lambda denoise, given: row_by_row(denoise, given) + 1e-6 * (len(given[1]) > 2))
    place = replace(local, settings=replace(local.settings, batch=3))
    jobs = [place.submit(replace(order_of(REQUEST.replace(seed=s), tiny), plan_key="same")) for s in (1, 2, 3)]
    assert worker_of(place).run_one()
    assert place.get(jobs[0]).state.result["metrics"]["shared_by"] == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert [place.get(job).status for job in jobs[1:]] == [JobState.QUEUED] * 2


def previews_of(place: Place, job: Job) -> list[str]:
    found = [e.data["preview"] for e in events_after(place.store.database, job.id) if "preview" in e.data]
    assert len(found) == REQUEST.steps
    return found


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5, 6])
def test_given_back_after_any_step_it_ends_in_the_same_bits_elsewhere(local: Place, tiny: str, stop_at: int) -> None:
    job = local.submit(order_of(REQUEST, tiny))
    worker = worker_of(local)
    apply = local.store.apply

    def drain_then(job_id: str, *commands: c.Command, **options: Any) -> object:
        if any(
            (isinstance(x, c.Step) and x.step == stop_at) or (isinstance(x, c.SaveCheckpoint) and x.step == stop_at)
            for x in commands
        ):
            worker.drain()
        return apply(job_id, *commands, **options)

    local.store.apply = drain_then  # pyright: ignore[reportAttributeAccessIssue]
    worker.run_one()
    given_back = local.get(job)
    assert given_back.state == Queued()
    assert given_back.checkpoint_step == given_back.done_steps == stop_at
    local.store.apply = apply
    worker_of(local).run_one()
    assert digest_of(local, job) == alone(tiny)
    assert audit_steps(local.store.database, job.id).executed == REQUEST.steps
    assert [a["from_step"] for a in attempts_of(local.store.database, job.id)] == [0, stop_at]


def test_a_job_without_a_seed_has_the_same_in_every_attempt(local: Place, tiny: str) -> None:
    request = REQUEST.replace(seed=None)
    jobs = [local.submit(Order(owner="ann", model=tiny, request=request.to_dict(), steps=6)) for _ in range(2)]
    seeds = [request_of(job).seed for job in jobs]
    assert seeds == [request_of(local.get(job)).seed for job in jobs]
    assert seeds[0] != seeds[1]


def first_state(local: Place, tiny: str, tmp_path: Path, **changes: object) -> Path:
    """A checkpoint after two steps, with ``changes``."""
    states: list[GenerationState] = []
    Engine(tiny, threads=1).generate(REQUEST, on_state=states.append)
    path = tmp_path / "state"
    path.write_bytes(state_to_bytes(replace(states[1], **changes), owner="a 1"))  # pyright: ignore[reportArgumentType]
    return path


def test_it_goes_on_only_where_the_bits_would_be_the_same(local: Place, tiny: str, tmp_path: Path) -> None:
    job = local.submit(order_of(REQUEST, tiny))
    generation = LocalEngine(local.settings, local.blobs).open(job)
    path = first_state(local, tiny, tmp_path)
    assert generation.resume(path) == 2
    plan = read_state(path).plan
    for changes, rule in (
        ({"model_hash": "sha256:other"}, "was made with other weights"),
        ({"plan": replace(plan, isa="another")}, "was made on a processor with instructions another, and this is"),
        ({"plan": replace(plan, device="cuda")}, "was made on the device cuda, and this is cpu"),
    ):
        with pytest.raises(InvalidInput, match=rule):
            generation.resume(first_state(local, tiny, tmp_path, **changes))


def test_pictures_come_from_blobs_and_from_nowhere_else(local: Place, tiny: str, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    write_picture(file, np.random.default_rng(7).integers(0, 256, (32, 48, 3), np.uint8))
    ref = local.blobs.put_file(file)
    good, outside, missing = (
        local.submit(order_of(REQUEST.replace(keyframes=(Keyframe(MediaRef(media)),)), tiny))
        for media in (ref, str(file), "sha256:" + "0" * 64)
    )
    worker = worker_of(local)
    while worker.run_one():
        pass
    assert digest_of(local, good) == alone(tiny, REQUEST.replace(keyframes=(Keyframe(MediaRef(str(file))),)))
    state = local.get(outside).state
    assert isinstance(state, Failed)
    assert state.error.code == "input.media"
    assert "uploaded" in state.error.message
    state = local.get(missing).state
    assert isinstance(state, Failed)
    assert state.error.code == "server.storage"


def test_a_checkpoint_whose_pictures_are_read_otherwise_here_is_left(local: Place, tiny: str, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    write_picture(file, np.random.default_rng(7).integers(0, 256, (32, 48, 3), np.uint8))
    ref = local.blobs.put_file(file)
    request = REQUEST.replace(keyframes=(Keyframe(MediaRef(ref)),))
    generation = LocalEngine(local.settings, local.blobs).open(local.submit(order_of(request, tiny)))
    states: list[GenerationState] = []
    generation.engine.generate(request, on_state=states.append)
    path = tmp_path / "state"
    path.write_bytes(state_to_bytes(states[1], owner="a 1"))
    assert generation.resume(path) == 2
    path.write_bytes(state_to_bytes(replace(states[1], inputs={ref: "sha256:8"}), owner="a 1"))
    with pytest.raises(InvalidInput, match="^checkpoint: .*pictures"):
        generation.resume(path)


def test_what_the_model_cant_do_fails_by_name(local: Place, tiny: str) -> None:
    job = local.submit(order_of(REQUEST.replace(camera="roll"), tiny))
    worker_of(local).run_one()
    state = local.get(job).state
    assert isinstance(state, Failed)
    assert state.error.code == "input.unsupported"
    assert "camera" in state.error.message
    with pytest.raises(UnsupportedRequest):
        LocalEngine(local.settings, local.blobs).open(job)


def test_a_large_model_makes_room_and_small_ones_stay_together(local: Place, tmp_path: Path) -> None:
    names = [str(save_tiny(tmp_path / name, TINY_CARD)) for name in "abc"]
    size = open_model(names[0]).card.weights_bytes
    a, b, c = (local.submit(order_of(REQUEST, name)) for name in names)

    def after(jobs: Sequence[Job], *, room_bytes: int) -> str:
        engine = LocalEngine(local.settings, local.blobs, room_bytes=room_bytes)
        for job in jobs:
            engine.open(job)
        return "".join(Path(name).name for name in engine.warm)

    # a quarter of the room is for weights: of nine times the size of one that is two
    assert after([a, b], room_bytes=9 * size) == "ab"
    assert after([a, b, c], room_bytes=9 * size) == "bc"
    assert after([a, b, a, c], room_bytes=9 * size) == "ac", "the one used longest ago goes"
    assert after([a, b, c], room_bytes=3 * size) == "c", "a large one is alone"


def test_every_step_is_told_once_and_before_it_runs(local: Place, tiny: str) -> None:
    """What `Hold` relies on: each state comes before the event of its step, and no step's event comes twice."""
    generation = LocalEngine(local.settings, local.blobs).open(local.submit(order_of(REQUEST, tiny)))
    seen: list[tuple[str, int]] = []

    def observer(event: Progress) -> None:
        if event.phase == "denoise":
            seen.append(("event", event.step))

    def on_state(step: int, save: SaveState) -> None:
        seen.append(("state", step))

    generation.run(observer=observer, on_state=on_state)
    steps = [(kind, step) for step in range(1, 7) for kind in ("state", "event")]
    assert seen == [("event", 0), *steps]


def until(supervisor: Supervisor, found: Callable[[], object], timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end, "it did not come to it"
        supervisor.poll()
        time.sleep(0.005)


def test_the_shipped_model_killed_at_work_ends_in_the_same_bits(place: Place) -> None:
    settings = replace(place.settings, models=("kinema-mini",), threads=1, lease_s=60.0, checkpoint_every=2)
    request = GenerationRequest(prompt="a red cube falls in the snow", frames=5, size="96x96", steps=12, seed=4)
    order = order_of(request, "kinema-mini")
    job, undisturbed = place.submit(order), place.submit(order)
    supervisor = Supervisor([settings], store=place.store, log=lambda _: None)
    try:
        until(supervisor, lambda: place.get(job).done_steps >= 5)
        (pid,) = supervisor.pids
        os.kill(pid, signal.SIGKILL)
        until(supervisor, lambda: place.get(undisturbed).status.is_final and place.get(job).status.is_final)
    finally:
        supervisor.kill()
    assert [a["outcome"] for a in attempts_of(place.store.database, job.id)] == ["died", "succeeded"]
    assert attempts_of(place.store.database, job.id)[1]["from_step"] >= 4
    assert digest_of(place, job) == digest_of(place, undisturbed)
    audit = audit_steps(place.store.database, job.id)
    assert 12 < audit.executed <= audit.allowed == 14


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_said_before_a_job_is_taken(local: Place) -> None:
    with pytest.raises(InvalidInput, match="device"):
        LocalEngine(replace(local.settings, device="cuda:1"), local.blobs)


@pytest.mark.gpu
def test_a_gpu_beyond_the_last_is_refused_and_the_first_is_used(local: Place, tiny: str) -> None:
    with pytest.raises(InvalidInput, match="from cuda:0 on"):
        LocalEngine(replace(local.settings, device="cuda:99"), local.blobs)
    place = replace(local, settings=replace(local.settings, device="cuda:0"))
    job = place.submit(order_of(REQUEST, tiny))
    assert worker_of(place).run_one()
    assert digest_of(place, job) == Engine(tiny, threads=1, device="cuda").generate(REQUEST).digest
