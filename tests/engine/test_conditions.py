"""What guided runs push away from."""

from __future__ import annotations

from kinema.core.request import GenerationRequest
from kinema.engine.clock import RunClock
from kinema.engine.engine import Engine
from kinema.engine.families.kinema import Kinema
from kinema.engine.families.kinema_conditions import Conditions, build_conditions
from kinema.engine.resolve import resolve


def conditions_of(engine: Engine, request: GenerationRequest) -> Conditions:
    """What the networks are told of ``request``."""
    engine.generate(request.replace(steps=1))  # loads them
    assert engine._resident is not None
    model = engine._resident[1]
    assert isinstance(model, Kinema)
    resolved = resolve(request, engine.card, model="tiny")
    return build_conditions(model, [resolved], [{}], RunClock(lambda _: None, None, decode_share=0.1))


def test_guidance_strengthens_the_camera_and_leaves_the_numbers(engine: Engine, request_: GenerationRequest) -> None:
    both = conditions_of(engine, request_.replace(camera="pan_left", motion=40, negative_prompt="dark"))
    assert both.uncond is not None
    camera, none = both.cond["camera"], both.uncond["camera"]
    assert camera is not None
    assert camera.isfinite().all()
    assert none is not None, "a batch of both sides needs both"
    assert none.isnan().all(), "the side that is pushed away from has no camera"
    numbers, same = both.cond["scalars"], both.uncond["scalars"]
    assert numbers is not None
    assert same is not None
    assert numbers.equal(same)


def test_without_guidance_there_is_one_side(engine: Engine, request_: GenerationRequest) -> None:
    assert conditions_of(engine, request_.replace(camera="pan_left", guidance=1.0)).uncond is None
