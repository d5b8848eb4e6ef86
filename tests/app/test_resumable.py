"""Runs that are kept in a file: whatever ends one, the next goes on from there, to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from kinema.app.resumable import Resumable, resumed_request
from kinema.app.states import read_state
from kinema.core.errors import Cancelled, InvalidInput, StorageError
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.progress import CancelToken, Observer, Progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from tests.engine.conftest import TINY_CARD, save_tiny

REQUEST = GenerationRequest(prompt="a cube", frames=9, size="48x32", steps=6, guidance=2.0, seed=11)


class Killed(Exception):
    """What no code expects."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return engine_of(save_tiny(tmp_path_factory.mktemp("models") / "tiny", TINY_CARD))


def engine_of(folder: Path) -> Engine:
    return Engine(folder, dtype="float32", threads=1)


def kept(engine: Engine, file: Path) -> Resumable:
    return Resumable(engine, file, every_s=0)


def raise_at(phase: str, step: int) -> Observer:
    def observer(event: Progress) -> None:
        if (event.phase, event.step) == (phase, step):
            raise Killed

    return observer


def broken_off(engine: Engine, file: Path, phase: str, step: int = 0, request: GenerationRequest = REQUEST) -> None:
    """Makes a clip until ``phase`` is at ``step``."""
    with pytest.raises(Killed):
        kept(engine, file).generate(request, observer=raise_at(phase, step))


@pytest.mark.parametrize("phase, step, first", [("denoise", 4, 3), ("decode", 0, 6)])
def test_a_run_goes_on_to_the_same_bits(engine: Engine, tmp_path: Path, phase: str, step: int, first: int) -> None:
    file = tmp_path / "run"
    broken_off(engine, file, phase, step)
    again = kept(engine, file)
    seen: list[int] = []
    clip = again.generate(REQUEST, observer=lambda e: seen.append(e.step) if e.phase == "denoise" else None)
    assert clip.digest == engine.generate(REQUEST).digest
    assert min(seen, default=6) >= first, "no step is done twice"
    assert file.is_file(), "until somebody says that the clip is safe"
    again.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("every_s", [0, 1e6])
def test_a_canceled_run_goes_on_too_and_loses_no_step(engine: Engine, tmp_path: Path, every_s: float) -> None:
    file = tmp_path / "run"

    def canceled_at(phase: str, step: int) -> str:
        cancel = CancelToken()
        with pytest.raises(Cancelled) as error:
            Resumable(engine, file, every_s=every_s).generate(
                REQUEST,
                cancel=cancel,
                observer=lambda e: cancel.cancel() if (e.phase, e.step) == (phase, step) else None,
            )
        return str(error.value)

    assert canceled_at("encode", 1) == "cancelled during encode"
    assert not file.exists()
    seen: list[int] = []
    for step in (3, 5):
        said = canceled_at("denoise", step)
        assert said.startswith(f"cancelled during denoise; the run is kept in {file}, and goes on")
        seen.append(read_state(file).step)
    assert seen[0] in (2, 3)
    assert seen[1] in (4, 5)
    assert kept(engine, file).generate(REQUEST).digest == engine.generate(REQUEST).digest


def test_one_is_kept_no_oftener_than_asked_and_always_before_the_decode(engine: Engine, tmp_path: Path) -> None:
    file, seen = tmp_path / "run", list[tuple[str, int]]()
    Resumable(engine, file, every_s=1e6).generate(
        REQUEST, observer=lambda e: seen.append((e.phase, e.step)) if file.exists() else None
    )
    assert seen == [("denoise", 6), ("decode", 0), ("decode", 1), ("decode", 2), ("decode", 3)]


def test_the_cost_of_a_clip_counts_what_came_before(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "run"
    broken_off(engine, file, "decode", 0)
    spent = read_state(file).spent
    assert spent is not None
    clip = kept(engine, file).generate(REQUEST)
    assert clip.metrics.seconds["denoise"] == spent.seconds["denoise"] > 0, "none is made again"
    assert clip.metrics.seconds["decode"] > 0
    assert clip.metrics.flops == engine.estimate(REQUEST).total_flops


def test_without_a_seed_the_kept_run_s_is_taken(engine: Engine, tmp_path: Path) -> None:
    asked = REQUEST.replace(seed=None)
    assert resumed_request(asked, tmp_path / "run") == asked
    broken_off(engine, tmp_path / "run", "denoise", 4, request=asked)
    seed = resumed_request(asked, tmp_path / "run").seed
    assert seed is not None
    clip = kept(engine, tmp_path / "run").generate(resumed_request(asked, tmp_path / "run"))
    assert clip.seed == seed
    assert resumed_request(REQUEST, tmp_path / "run") == REQUEST


@pytest.mark.parametrize("numbers", [{"count": 2}, {"best_of": 3}])
def test_it_is_for_one_clip(tmp_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="^checkpoint: .*keeps the run of one clip"):
        resumed_request(REQUEST, tmp_path / "run", **numbers)


def test_what_belongs_elsewhere_is_refused(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "run"
    broken_off(engine, file, "denoise", 4)
    before = file.read_bytes()
    with pytest.raises(InvalidInput, match=r"^checkpoint: .*another request.*\['prompt'\]; remove it, or name another"):
        kept(engine, file).generate(REQUEST.replace(prompt="a ball"))
    with pytest.raises(
        InvalidInput, match="^checkpoint: .*was made with other weights, .*; remove it, or name another"
    ):
        kept(engine_of(save_tiny(tmp_path / "other", TINY_CARD, seed=9)), file).generate(REQUEST)
    bold = Engine(engine.folder, dtype="float32", threads=1, cache_level=1)
    with pytest.raises(InvalidInput, match="^checkpoint: .*cache_level 0, and not 1"):
        kept(bold, file).generate(REQUEST)
    assert file.read_bytes() == before
    file.write_bytes(before[:50])
    with pytest.raises(InvalidInput, match="^checkpoint: .*keeps no run, or is damaged; remove it, or"):
        kept(engine, file).generate(REQUEST)
    with pytest.raises(InvalidInput, match=r"^checkpoint: .*can't be read \(a folder\); remove it, or name another"):
        kept(engine, tmp_path).generate(REQUEST)
    with pytest.raises(StorageError, match="the folder does not exist"):
        kept(engine, tmp_path / "none" / "run").generate(REQUEST, observer=raise_at("denoise", 1))
    assert replace(engine.plan(REQUEST), cache_level=1) == bold.plan(REQUEST)


def test_a_picture_that_changed_meanwhile_is_seen(engine: Engine, tmp_path: Path) -> None:
    file, picture = tmp_path / "run", tmp_path / "first.png"
    request = REQUEST.replace(keyframes=(Keyframe(MediaRef(str(picture)), 0.0),))
    Image.new("RGB", (48, 32), "red").save(picture)
    broken_off(engine, file, "denoise", 4, request=request)
    Image.new("RGB", (48, 32), "blue").save(picture)
    with pytest.raises(InvalidInput, match=r"^checkpoint: .*other pictures.*first\.png.*; remove it, or name another"):
        kept(engine, file).generate(request)
    Image.new("RGB", (96, 64), "red").save(picture)  # the same to the clip
    assert kept(engine, file).generate(request).digest == engine.generate(request).digest
