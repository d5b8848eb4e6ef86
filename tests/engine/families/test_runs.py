"""What holds of a run whatever its family: it goes on bit for bit, loses nothing to a decode, and can be made again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kinema.accel import shelf
from kinema.core import memory
from kinema.core.errors import Cancelled, InvalidInput, OutOfMemory, StorageError, WeightsError
from kinema.core.plan import RunPlan
from kinema.core.progress import CancelToken, Progress, ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine import engine as engine_module
from kinema.engine.clock import RunClock
from kinema.engine.families import hunyuan_video as hunyuan_module
from kinema.engine.families import wan as wan_module
from kinema.engine.families.family import load_family
from kinema.engine.reproduce import reproduce
from kinema.engine.state import GenerationState
from kinema.media.recipe import read_recipe
from tests.engine.conftest import run_python
from tests.engine.families import published
from tests.engine.families.published import Model, hunyuan_video, ltx, picture_file, wan

WITHOUT_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes"


def request(**fields: Any) -> GenerationRequest:
    """Five frames of 48x32 in six steps, seed 7, unless ``fields`` say otherwise."""
    defaults: dict[str, Any] = {"prompt": "a red car drives", "frames": 5, "size": "48x32", "steps": 6, "seed": 7}
    return GenerationRequest(**{**defaults, **fields})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    root = tmp_path_factory.mktemp("models")
    return {
        "experts": wan(root / "a14b", boundary=0.875, shift=12.0),
        "first frame": wan(root / "5b", expand=True, shift=5.0),
        "euler": hunyuan_video(root / "hy", picture="token_replace", transformer={"guidance_embeds": True}),
        "text": hunyuan_video(root / "t2v", transformer={"guidance_embeds": True}),
        "noise in the decode": ltx(
            root / "ltx", vae=published.published.LTX_NOISY_VAE, settings={"decode_timestep": 0.2}
        ),
    }


def stored(state: GenerationState) -> GenerationState:
    """``state`` as it comes back from where a caller keeps it: tensors as bytes, the rest as plain values."""
    tensors = [torch.from_numpy(t.numpy().copy()) for t in (state.latents, *state.memory)]
    return GenerationState(
        request=GenerationRequest.from_dict(state.request.to_dict()),
        plan=RunPlan.from_dict(state.plan.to_dict()),
        model_hash=state.model_hash,
        step=state.step,
        latents=tensors[0],
        memory=tuple(tensors[1:]),
        inputs=dict(state.inputs),
    )


@pytest.mark.parametrize(
    "name, num_remembered", [("experts", 5), ("first frame", 5), ("euler", 0), ("noise in the decode", 0)]
)
def test_a_run_goes_on_from_every_step_bit_for_bit(
    models: dict[str, Model], tmp_path: Path, name: str, num_remembered: int
) -> None:
    engine = models[name].engine()
    keyframes = () if name == "experts" else (picture_file(tmp_path / "a.png")[0],)
    size = {"size": "96x64", "frames": 9} if name == "noise in the decode" else {}
    states: list[GenerationState] = []
    clip = engine.generate(request(keyframes=keyframes, **size), on_state=states.append)
    assert [s.step for s in states] == [1, 2, 3, 4, 5, 6]
    assert len(states[3].memory) == num_remembered
    for state in states:
        steps: list[int] = []

        def count(event: Progress, steps: list[int] = steps) -> None:
            if event.phase == "denoise" and event.step:
                steps.append(event.step)

        assert engine.generate(state.request, resume=stored(state), observer=count).digest == clip.digest
        # where it goes on, and every step after; after the last there is nothing to denoise
        assert steps == ([] if state.step == 6 else [*range(state.step, 7)])


def test_a_state_without_its_memory_is_another_run(models: dict[str, Model]) -> None:
    engine, states = models["experts"].engine(), []
    clip = engine.generate(request(), on_state=states.append)
    assert engine.generate(request(), resume=replace(states[2], memory=())).digest != clip.digest


def test_the_card_names_the_ways_in_which_the_family_decodes(models: dict[str, Model]) -> None:
    for model in models.values():
        engine = model.engine()
        family = load_family(engine.folder, RunPlan(), RunClock(ignore_progress, None))
        assert set(family.decode_modes) == set(engine.card.decodes)
        assert set(family.decode_modes.values()) <= {None, *engine.card.decodes}
    with pytest.raises(InvalidInput, match="^decode: 'tiles': must be one of default, exact$"):
        models["noise in the decode"].engine(decode="tiles")


def failing(real: Any, family: type, modes: set[str], *, after: int) -> Any:
    """``family``'s decode, out of memory after so many chunks in any of ``modes``."""

    def decode(self: Any, latents: Tensor, mode: str, request: Any, on_work: Any) -> Iterator[Tensor]:
        for i, chunk in enumerate(real(self, latents, mode, request, on_work)):
            if mode in modes and i == after:
                raise RuntimeError(WITHOUT_MEMORY)
            yield chunk

    return decode


def test_a_decode_out_of_memory_is_done_again_in_tiles(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, asked = models["text"].engine(), request(size="272x32", frames=17, steps=1)
    plan = engine.plan(asked)
    tiled = engine.generate(asked, plan=replace(plan, decode="tiles"))
    whole = engine.generate(asked)
    assert tiled.digest != whole.digest, "a frame wider than a tile"
    assert "notes" not in whole.recipe
    family = hunyuan_module.HunyuanVideo
    real = family.decode
    monkeypatch.setattr(family, "decode", failing(real, family, {"default"}, after=1))
    clip = engine.generate(asked)
    assert clip.digest == tiled.digest
    assert clip.recipe["plan"]["decode"] == "tiles"
    (note,) = clip.recipe["notes"]
    assert note.startswith("memory ran out in the decode")
    both = engine.generate_batch([asked, asked.replace(seed=8)])
    assert {c.recipe["plan"]["decode"] for c in both} == {"tiles"}
    monkeypatch.setattr(family, "decode", real)
    assert reproduce(read_recipe(clip.save(tmp_path / "a.mp4")) or {}, engine=engine).is_same


def test_where_the_disk_is_full_as_well_tiles_are_left(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(size="272x32", frames=17, steps=1)
    tiled = models["text"].engine(decode="tiles").generate(asked)
    family = hunyuan_module.HunyuanVideo
    monkeypatch.setattr(family, "decode", failing(family.decode, family, {"exact"}, after=0))
    monkeypatch.setattr(hunyuan_module, "FRUGAL_BYTES", 0)
    monkeypatch.setattr(shelf, "_write", _full)
    clip = models["text"].engine(decode="exact").generate(asked)
    assert clip.digest == tiled.digest
    assert [note.partition(",")[0] for note in clip.recipe["notes"]] == [
        "memory ran out in the decode (exact)",
        "disk ran out in the decode (frugal)",
    ]


def test_a_disk_without_room_is_said_before_any_work(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = models["text"].engine(decode="frugal"), request(steps=1)
    assert engine.estimate(asked).scratch_bytes == 0
    monkeypatch.setattr(memory, "FRUGAL_BYTES", 0)
    assert engine.estimate(asked).scratch_bytes > 0
    monkeypatch.setattr(shelf.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    events: list[Progress] = []
    with pytest.raises(OutOfMemory, match=r"^no room for the decode: .* TMPDIR, or decode otherwise$"):
        engine.generate(asked, observer=events.append)
    assert events == []
    # nobody asked for it: a decode without room is not begun, and the next is taken
    family = hunyuan_module.HunyuanVideo
    monkeypatch.setattr(family, "decode", failing(family.decode, family, {"exact"}, after=0))
    clip = models["text"].engine(decode="exact").generate(asked)
    assert clip.recipe["plan"]["decode"] == "tiles"
    assert clip.recipe["notes"][-1].startswith("disk ran out in the decode (frugal)")


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_wan_s_frames_are_made_in_strips_where_memory_runs_out(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(size="32x272", steps=1)
    whole, family = models["experts"].engine().generate(asked), wan_module.Wan
    monkeypatch.setattr(family, "decode", failing(family.decode, family, {"default"}, after=1))
    clip = models["experts"].engine().generate(asked)
    assert np.abs(clip.frames.astype(int) - whole.frames.astype(int)).max() <= 1
    assert clip.recipe["plan"]["decode"] == "frugal"
    assert clip.recipe["notes"] == ["memory ran out in the decode (default), so it was done again with less (frugal)"]


@pytest.mark.parametrize("at_step", [0, 1])
@pytest.mark.parametrize("error", [StorageError, MemoryError, OutOfMemory, RuntimeError])
def test_whoever_watches_and_fails_ends_the_run(models: dict[str, Model], at_step: int, error: type[Exception]) -> None:
    def watch(event: Progress) -> None:
        if event.phase == "decode" and event.step == at_step:
            raise error("the watcher's disk is full, or it is out of memory")

    engine, asked = models["text"].engine(decode="frugal"), request(size="272x144", steps=1)
    with pytest.raises(error, match="^the watcher's"):
        engine.generate(asked, observer=watch)
    with pytest.raises(error, match="^the watcher's"):
        list(engine.stream(asked, observer=watch))


@pytest.mark.parametrize("name, mode", [("text", "frugal"), ("text", "default"), ("experts", "frugal")])
@pytest.mark.parametrize("offload", ["component", "disk"])
def test_whoever_watches_a_decode_may_ask_the_engine_for_another_clip(
    models: dict[str, Model], name: str, mode: str, offload: str
) -> None:
    """Whose networks take the place of the autoencoder in the middle of a frame."""
    engine, asked = models[name].engine(decode=mode, offload=offload), request(size="272x144", frames=13, steps=1)
    whole = engine.generate(asked)
    token, stopped = CancelToken(), list[int]()

    def stop(event: Progress) -> None:
        if event.phase == "denoise" and event.step == 1:
            token.cancel()

    def watch(event: Progress) -> None:
        if event.phase == "decode" and event.step == 2:
            with pytest.raises(Cancelled):
                engine.generate(request(seed=8, steps=1), observer=stop, cancel=token)
            stopped.append(event.step)

    assert engine.generate(asked, observer=watch).digest == whole.digest
    assert set(stopped) == {2}


def test_a_plan_that_was_not_enough_is_no_proof_that_it_is(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "FRUGAL_BYTES", 0)
    engine, asked = models["text"].engine(decode="exact"), request(size="272x144", frames=17, steps=1)
    family = hunyuan_module.HunyuanVideo
    plan = engine.plan(asked)
    with monkeypatch.context() as broken:
        broken.setattr(family, "decode", failing(family.decode, family, {"exact"}, after=0))
        assert engine.generate(asked).recipe["plan"]["decode"] == "frugal"
    by_offload = {o: engine.estimate(asked, plan=replace(plan, offload=o)).peak_bytes for o in ("none", "component")}
    assert by_offload["component"] < by_offload["none"]
    monkeypatch.setattr(engine_module, "memory_room_bytes", lambda _: by_offload["component"])
    assert engine.plan(asked).offload == "component"


@pytest.mark.parametrize(
    "name, mode",
    [("text", "exact"), ("text", "frugal"), ("text", "default"), ("experts", "frugal"), ("experts", "tiles")],
)
def test_a_decode_can_be_stopped_before_its_first_frames_and_done_again(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    engine, asked = models[name].engine(decode=mode), request(size="272x144", frames=13, steps=1)
    events: list[Progress] = []
    whole = engine.generate(asked, observer=events.append)
    # slow ones are said again
    assert list(dict.fromkeys(e.step for e in events if e.phase == "decode")) == [0, 1, 2, 3, 4]
    states: list[GenerationState] = []
    token, family = CancelToken(), {"text": hunyuan_module.HunyuanVideo, "experts": wan_module.Wan}[name]

    def stop(event: Progress) -> None:
        if event.phase == "decode" and event.step == 1:
            token.cancel()

    with monkeypatch.context() as watched:
        # the first chunk is never reached
        watched.setattr(family, "decode", failing(family.decode, family, {mode}, after=0))
        with pytest.raises(Cancelled, match="during decode"):
            engine.generate(asked, observer=stop, cancel=token, on_state=states.append)
    assert engine.generate(asked, resume=states[-1]).digest == whole.digest


@pytest.mark.parametrize("after", [0, 1])
def test_a_stream_starts_anew_while_nothing_has_left(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    engine, asked = models["text"].engine(), request(size="272x32", frames=17, steps=1)
    family = hunyuan_module.HunyuanVideo
    monkeypatch.setattr(family, "decode", failing(family.decode, family, {"default"}, after=after))
    stream = engine.stream(asked)
    if after:
        with pytest.raises(OutOfMemory, match="^out of memory during decode"):
            list(stream)
    else:
        frames = np.concatenate(list(stream))
        monkeypatch.undo()
        tiled = engine.generate(asked, plan=replace(engine.plan(asked), decode="tiles"))
        assert np.array_equal(frames, tiled.frames)
        assert stream.recipe(tiled.digest)["plan"]["decode"] == "tiles"


def test_latents_outlive_a_decode_that_fails(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, states = models["experts"].engine(), []
    family = wan_module.Wan
    with monkeypatch.context() as broken:
        broken.setattr(family, "decode", failing(family.decode, family, {"default", "frugal", "tiles"}, after=1))
        with pytest.raises(OutOfMemory, match="^out of memory during decode: .* GB; .*smaller size"):
            engine.generate(request(), on_state=states.append, every=100)
    (state,) = states
    assert state.step == 6
    assert engine.generate(request(), resume=stored(state)).digest == engine.generate(request()).digest


def test_latents_may_be_decoded_otherwise(models: dict[str, Model]) -> None:
    engine, states = models["text"].engine(), []
    asked = request(frames=25, steps=1)
    engine.generate(asked, on_state=states.append)
    plan = replace(states[-1].plan, decode="exact")
    assert engine.generate(asked, resume=states[-1], plan=plan).digest == engine.generate(asked, plan=plan).digest


def test_a_decode_that_a_model_has_not_is_refused(models: dict[str, Model]) -> None:
    engine, asked = models["noise in the decode"].engine(), request(size="96x64", frames=9)
    with pytest.raises(InvalidInput, match="^decode: 'tiles': .*must be one of default, exact"):
        engine.generate(asked, plan=replace(engine.plan(asked), decode="tiles"))


@pytest.mark.parametrize("name", ["experts", "text", "noise in the decode"])
def test_split_guidance_and_bfloat16_are_near(models: dict[str, Model], name: str) -> None:
    size = {"size": "96x64", "frames": 9} if name == "noise in the decode" else {}
    engine, asked = models[name].engine(), request(steps=3, **size)
    clip = engine.generate(asked)
    split = engine.generate(asked, plan=replace(engine.plan(asked), guidance_mode="split"))
    assert np.abs(split.frames.astype(int) - clip.frames.astype(int)).max() <= 1
    half = models[name].engine(dtype="bfloat16").generate(asked)
    assert 0 < np.abs(half.frames.astype(int) - clip.frames.astype(int)).mean() < 6


def test_a_clip_is_made_again_from_its_file(models: dict[str, Model], tmp_path: Path) -> None:
    picture = picture_file(tmp_path / "a.png")[0]
    for name, fields in (
        ("experts", {}),
        ("euler", {"keyframes": (picture,)}),
        ("noise in the decode", {"keyframes": (picture,), "size": "96x64", "frames": 9, "fps": 24.0}),
    ):
        engine = models[name].engine()
        prompt = "雪地里, 一个 “cube”  falls"
        clip = engine.generate(request(prompt=prompt, steps=3, seed=None, **fields))
        recipe = read_recipe(clip.save(tmp_path / f"{name}.mp4"))
        assert recipe is not None
        assert recipe["request"]["prompt"] == prompt, "the words reach these models as they were typed"
        again = reproduce(recipe, model=models[name].folder)
        assert again.is_same
        assert again.notes == ()


def test_the_estimate_counts_one_evaluation_where_guidance_is_built_in(models: dict[str, Model]) -> None:
    engine = models["text"].engine()
    assert engine.plan(request()).guidance_mode == "off"
    once, twice = (models[n].engine().estimate(request()).flops["denoise"] for n in ("text", "experts"))
    assert once > 0
    assert models["experts"].engine().estimate(request(guidance=1.0)).flops["denoise"] == twice / 2


def test_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    model = wan(tmp_path / "m")
    (model.folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match="^tokenizer: .*has no vocabulary"):
        model.engine().generate(request())


def test_without_transformers_the_extra_is_named(models: dict[str, Model]) -> None:
    code = (
        "import sys\nsys.modules['transformers'] = None\n"
        "from kinema.engine.engine import Engine\nfrom kinema.core.request import GenerationRequest\n"
        "from kinema.core.errors import MissingPackage\n"
        f"engine = Engine({str(models['experts'].folder)!r}, dtype='float32', threads=1)\n"
        f"try: engine.generate(GenerationRequest.from_dict({request().to_dict()!r}))\n"
        "except MissingPackage as e: print(e)"
    )
    printed = run_python(code)
    assert "pip install 'kinema[text]'" in printed
    assert printed.count("\n") == 1


def test_kinema_s_own_models_need_no_transformers(tiny: Path) -> None:
    code = (
        "import sys\nfrom kinema.engine.engine import Engine\nfrom kinema.core.request import GenerationRequest\n"
        f"e = Engine({str(tiny)!r}, dtype='float32', threads=1)\n"
        "e.generate(GenerationRequest(prompt='x', steps=1))\n"
        "names = ('transformers', 'tokenizers', 'ftfy', 'kinema.engine.families.wan', 'kinema.models.text.wan')\n"
        "print([m for m in names if m in sys.modules])"
    )
    assert run_python(code).strip() == "[]"
