"""Plans by memory: the fastest that fits, and refusals that say what would."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe
from kinema.core.progress import ignore_progress
from kinema.weights.folder import open_model
from tests.engine.families.small import engine_of, large, peaks, request


def test_a_plan_is_chosen_by_memory(
    folders: dict[str, Path], keyframe: Keyframe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = large(open_model(folders["first frame"])), request("experts", keyframe)
    rooms = peaks(model, asked)
    assert rooms["none"] > rooms["component"] > rooms["layers"] > rooms["disk"]
    for offload, room in rooms.items():
        monkeypatch.setattr("kinema.engine.engine.memory_room_bytes", lambda *_, room=room: room)
        assert engine_of(model).plan(asked).offload == offload
        assert engine_of(model, memory_limit_gb=9e9).plan(asked).offload == offload, "a limit makes no room"
        assert engine_of(model, offload="none").plan(asked).offload == "none", "whoever chooses knows"
    monkeypatch.setattr("kinema.engine.engine.memory_room_bytes", lambda *_: 10**9)
    for ask in (engine_of(model).plan, engine_of(model).generate):
        with pytest.raises(InvalidInput, match="^memory: '1 GB': .*the cheapest plan: offload=disk, quantise=none: "):
            ask(asked)


def test_a_limit_refuses_what_it_is_too_small_for(folders: dict[str, Path], keyframe: Keyframe) -> None:
    model, asked = large(open_model(folders["first frame"])), request("experts", keyframe)
    limit = peaks(model, asked)["component"] / 1e9 + 1e-3
    assert engine_of(model, memory_limit_gb=limit).plan(asked).offload == "component"
    with pytest.raises(InvalidInput, match="^memory: .* with offload=none; what fits: offload=component"):
        engine_of(model, memory_limit_gb=limit, offload="none").generate(asked)
    for settings, match in (
        ({"memory_limit_gb": 0}, "^memory_limit_gb: 0"),
        ({"offload": "swap"}, "^offload: 'swap': must be one of auto, none, component, layers, disk"),
        ({"quantise": "int4"}, "^quantise: 'int4': must be one of none, int8, fp8"),
        ({"quantise": "int8", "offload": "disk"}, "^quantise: 'int8': doesn't go with offload=disk"),
        ({"compile": True, "offload": "layers"}, "^offload: 'layers': must be none with compile"),
    ):
        with pytest.raises(InvalidInput, match=match):
            engine_of(folders["experts"], **settings).plan(asked)


def test_a_batch_is_planned_as_one(folders: dict[str, Path], keyframe: Keyframe) -> None:
    asked = request("experts", keyframe, frames=81, size="832x480")
    engine = engine_of(folders["experts"], offload="none")
    room = 2 * engine.estimate(asked).peak_bytes
    engine = engine_of(folders["experts"], memory_limit_gb=room / 1e9)
    assert engine.plan(asked).offload == "none"
    with pytest.raises(InvalidInput, match="^memory: .*too little"):
        engine._run([asked] * 99, ignore_progress, None, plan=None)
