"""The service's planner: every choice made, every difference told, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kinema.app.planner import ModelPlanner
from kinema.core.errors import InvalidInput, RefusedContent
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.engine.resolve import resolve

BLOB = MediaRef(f"sha256:{'a' * 64}")


@pytest.fixture(scope="module")
def planner() -> ModelPlanner:
    return ModelPlanner(["kinema-mini"])


def ask(**fields) -> GenerationRequest:
    return GenerationRequest(**{"prompt": "a red ball rolls", **fields})


def test_what_a_worker_runs_resolves_to_itself(planner: ModelPlanner):
    card = planner.models["kinema-mini"]
    planned = planner.resolve(
        ask(seconds=2, aspect_ratio="9:16", motion=200, camera="zoom_in", keyframes=(Keyframe(BLOB),))
    )
    request = planned.request
    assert request.seed is not None
    assert (request.seconds, request.frames, request.size, request.aspect_ratio) == (None, 17, "80x128", None)
    assert (request.steps, request.guidance, request.fps) == (card.default_steps, card.default_guidance, 8.0)
    # a queue may hold it as JSON, and an attempt that begins anew comes to the same
    again = GenerationRequest.from_dict(request.to_dict())
    assert resolve(again, card, model="kinema-mini").request == request
    assert planner.resolve(again).request == request
    assert (planned.shape, planned.steps) == ("80x128x17", card.default_steps)


def test_cost_grows_with_the_work(planner: ModelPlanner):
    small, more, longer = (
        planner.resolve(ask(**f)).cost
        for f in ({"frames": 5, "steps": 2}, {"frames": 5, "steps": 8}, {"frames": 33, "steps": 8})
    )
    assert 0 < small < more < longer


def test_what_may_run_as_one_batch(planner: ModelPlanner):
    key = planner.resolve(ask(seed=1)).plan_key
    assert planner.resolve(ask(prompt="two cubes", seed=2, motion=3, camera="zoom_in")).plan_key == key
    pictured = {"keyframes": (Keyframe(BLOB),)}
    for fields in ({"frames": 5}, {"steps": 3}, {"guidance": 1.0}, {"size": "80x128"}, pictured):
        assert planner.resolve(ask(**fields)).plan_key != key


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"seconds": 4}, "seconds: 4 became 4.125"),
        ({"aspect_ratio": "16:9"}, "aspect_ratio: 16:9 became 128x80"),
        ({"prompt": "a zebra rolls"}, "was not trained on: zebra"),
        ({"prompt": "a cinematic masterpiece of a ball, 4k"}, "prompt: rewritten as"),
        ({"style": "watercolour"}, "style: kinema-mini was not trained on watercolour"),
    ],
)
def test_differences_are_told(planner: ModelPlanner, fields: dict, told: str):
    assert any(told in line for line in planner.resolve(ask(**fields)).warnings)


def test_what_was_asked_for_exactly_has_no_warning(planner: ModelPlanner):
    asked = ask(frames=17, size="96x96", seed=3)
    assert planner.resolve(asked).warnings == ()


def test_words_are_kept_on_request(planner: ModelPlanner):
    asked = ask(prompt="a cinematic masterpiece of a ball, 4k")
    assert planner.resolve(asked).request.prompt != asked.prompt
    assert planner.resolve(asked, rewrites=False).request.prompt == asked.prompt


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"model": "other"}, "model"),
        ({"frames": 6}, "frames"),
        ({"source": BLOB}, "source"),
        ({"audio": "on"}, "audio"),
        ({"strength": 0.5}, "strength"),
        ({"references": ((BLOB, "cat"),)}, "references"),
        ({"keyframes": (Keyframe(BLOB), Keyframe(BLOB, 0.01))}, "keyframes"),
    ],
)
def test_what_cannot_be_done(planner: ModelPlanner, fields: dict, field: str):
    with pytest.raises(InvalidInput) as error:
        planner.resolve(ask(**fields))
    assert error.value.field == field


def test_content_checks(planner: ModelPlanner):
    asked = ask(prompt="a naked child")
    with pytest.raises(RefusedContent) as error:
        planner.resolve(asked)
    assert "--" not in str(error.value)
    assert any(
        "the checks object" in line for line in ModelPlanner(["kinema-mini"], checks="warn").resolve(asked).warnings
    )
    assert not any(
        "the checks object" in w for w in ModelPlanner(["kinema-mini"], checks="off").resolve(asked).warnings
    )


def test_dry_run(planner: ModelPlanner):
    told = planner.dry_run(planner.resolve(ask(frames=5)))
    assert told["fits"] is True
    assert told["estimate"]["peak_bytes"] <= told["memory_bytes"]
    assert {p["offload"] for p in told["placements"]} >= {"none"}
    unknown = ModelPlanner(["kinema-mini"], device="cuda").dry_run(planner.resolve(ask(frames=5)))
    assert (unknown["plan"]["device"], unknown["memory_bytes"], unknown["fits"]) == ("cuda", None, None)


def test_no_torch():
    code = (
        "import sys\n"
        "from kinema.app.planner import ModelPlanner\n"
        "from kinema.core.request import GenerationRequest\n"
        "import kinema.serve.api.app\n"
        "p = ModelPlanner(['kinema-mini'])\n"
        "p.dry_run(p.resolve(GenerationRequest(prompt='a ball')))\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
