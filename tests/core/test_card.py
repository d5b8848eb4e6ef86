from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.blocks import BlockSizes
from kinema.core.card import CostFormula, ModelCard
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.geometry import Compression, VideoShape
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from tests.core.cards import CARD

CAT = MediaRef("cat.png")
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
counts = st.integers(1, 10**12)
rates = st.floats(0, 1e15)


def request(**changes: Any) -> GenerationRequest:
    return GenerationRequest(**{"prompt": "a cat", **changes})


def block_sizes(parameters: int) -> BlockSizes:
    return BlockSizes(
        parameters=parameters, quantised=parameters // 2, largest=parameters // 3, largest_quantised=parameters // 7
    )


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    """Any card at all."""
    lists = st.lists(names, max_size=4).map(tuple)
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | names, lambda v: st.lists(v, max_size=3), max_leaves=5
    )
    records = st.dictionaries(names, json_values, max_size=3)
    space, conditions = draw(st.integers(1, 32)), draw(lists)
    return ModelCard(
        name=draw(names),
        version=draw(names),
        family=draw(names),
        license=draw(names),
        parameters=draw(st.dictionaries(names, counts, max_size=4)),
        weights_bytes=draw(counts),
        sizes=tuple(draw(st.lists(st.tuples(counts, counts), min_size=1, max_size=4))),
        compression=Compression(
            time=draw(st.integers(1, 8)), space=space, channels=draw(counts), align=space * draw(st.integers(0, 3))
        ),
        patch=draw(st.tuples(counts, counts, counts)),
        text_tokens=draw(counts),
        fps=tuple(draw(st.lists(st.floats(0.1, 240), min_size=1, max_size=3))),
        default_seconds=draw(rates),
        max_frames=draw(counts),
        default_steps=draw(counts),
        default_guidance=draw(rates),
        conditions=conditions,
        blocks=draw(st.dictionaries(names, st.builds(block_sizes, st.integers(0, 10**10)), max_size=2)),
        needs=conditions[: draw(st.integers(0, 2))],
        cameras=draw(lists),
        languages=draw(lists),
        cost=CostFormula(**{f.name: draw(rates) for f in fields(CostFormula)}),
        vocabulary=draw(
            st.dictionaries(names, st.dictionaries(names, st.lists(names, max_size=3), max_size=3), max_size=3)
        ),
        has_sound=draw(st.booleans()),
        any_size=draw(st.booleans()),
        joint_text=draw(st.booleans()),
        embedded_guidance=draw(st.booleans()),
        default_guidance_2=draw(st.none() | st.floats(0, 100)),
        keyframes_at=draw(st.sampled_from([(), (0.0,), (0.0, -1.0)])),
        one_spelling=draw(st.booleans()),
        training=draw(records),
        scores=draw(records),
    )


@given(card=cards())
def test_a_card_survives_json(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json()) == card


def test_cards_of_before_are_read() -> None:
    data = json.loads(CARD.to_json())
    later = ("default_guidance_2", "keyframes_at", "one_spelling")
    for name in ("any_size", "needs", "joint_text", "embedded_guidance", *later):
        del data[name]
    assert ModelCard.from_json(json.dumps(data)) == CARD
    for name in ("conditions", "cameras", "patch"):
        with pytest.raises(InvalidInput, match="is not a model card"):
            ModelCard.from_json(json.dumps({k: v for k, v in data.items() if k != name}))


def test_any_size_means_any_on_the_grid() -> None:
    free = replace(CARD, any_size=True)
    assert free.shape(request(size="40x24")).width_px == 40
    assert free.shape(request(aspect_ratio="16:9")).width_px == 128, "a size that it was trained for"
    with pytest.raises(UnsupportedRequest, match="width_px: 42: must be a multiple of 8"):
        free.shape(request(size="42x24"))
    with pytest.raises(UnsupportedRequest, match="size: '40x24'"):
        CARD.shape(request(size="40x24"))


def test_what_a_model_needs_must_be_there() -> None:
    card = replace(CARD, needs=("keyframes",))
    with pytest.raises(UnsupportedRequest, match="^keyframes: 'none': toy can't do without"):
        card.check(request())
    assert card.check(request(keyframes=(Keyframe(CAT),)))
    with pytest.raises(InvalidInput, match="^needs: .*must be among its conditions: keyframes, camera, motion"):
        replace(CARD, needs=("audio",))


def test_keyframes_may_have_their_times() -> None:
    card = replace(CARD, keyframes_at=(0.0, -1.0))
    for times in ((), (0.0,), (-1, 0.0)):
        assert card.check(request(keyframes=tuple(Keyframe(CAT, t) for t in times)))
    with pytest.raises(
        UnsupportedRequest, match=r"^keyframes: 0.5: toy takes pictures at 0 s, -1 \(the last frame\) alone"
    ):
        card.check(request(keyframes=(Keyframe(CAT), Keyframe(CAT, 0.5))))
    with pytest.raises(UnsupportedRequest, match="^keyframes: -1: toy needs a picture at 0 s as well"):
        card.check(request(keyframes=(Keyframe(CAT, -1),)))


def test_guidance_is_what_the_networks_take() -> None:
    with pytest.raises(UnsupportedRequest, match="^guidance_2: 3.0: goes with models of two networks, and toy has one"):
        CARD.check(request(guidance_2=3.0))
    assert replace(CARD, default_guidance_2=2.0).check(request(guidance_2=3.0))
    with pytest.raises(UnsupportedRequest, match="^negative_prompt: 'dark': toy has its guidance built in"):
        replace(CARD, embedded_guidance=True).check(request(negative_prompt="dark"))
    assert CARD.check(request(negative_prompt="dark"))


def test_a_card_reads_as_text_and_from_a_file(tmp_path: Path) -> None:
    assert "小狗" in CARD.to_json()
    path = tmp_path / "card.json"
    path.write_text(CARD.to_json(), encoding="utf-8")
    assert ModelCard.read(path) == CARD


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"card"', "{}", '{"name": "toy"}'])
def test_what_is_no_card_is_named(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ModelCard.from_json(text, field_name="toy/card.json")
    assert caught.value.field == "toy/card.json"


@pytest.mark.parametrize(
    "field,value",
    [
        ("compression", 5),
        ("compression", {"time": 4}),
        ("cost", []),
        ("sizes", [5]),
        ("sizes", 5),
        ("fps", 8.0),
        ("fps", ["a"]),
        ("sizes", [[0, 5]]),
        ("sizes", [["64", 5]]),
        ("max_frames", None),
        ("default_steps", "x"),
        ("default_seconds", "x"),
        ("parameters", {"vae": "x"}),
        ("vocabulary", ["puppy"]),
        ("vocabulary", {"kind": ["puppy"]}),
        ("vocabulary", {"kind": {"puppy": "puppy"}}),
        ("cost", {**asdict(CARD.cost), "text": "x"}),
        ("patch", None),
    ],
)
def test_a_card_with_a_wrong_field_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="^card: "):
        ModelCard.from_json(json.dumps({**asdict(CARD), field: value}))


@pytest.mark.parametrize("field", ["sizes", "fps"])
def test_a_card_that_can_do_nothing_is_refused(field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(CARD, **{field: ()})
    assert caught.value.field == field


def test_an_unknown_field_of_a_card_is_named() -> None:
    with pytest.raises(InvalidInput, match="colour"):
        ModelCard.from_json(json.dumps({**asdict(CARD), "colour": "red"}))


def test_a_card_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="model.*card.json"):
        ModelCard.read(tmp_path / "card.json")
    (tmp_path / "card.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InvalidInput, match="card.json.*UTF-8"):
        ModelCard.read(tmp_path / "card.json")
    with pytest.raises(InvalidInput, match="model"):
        ModelCard.read(tmp_path)


def test_what_is_not_said_is_the_cards_choice() -> None:
    assert CARD.shape(request()) == VideoShape(frames=17, height_px=96, width_px=96, fps=8.0)
    assert CARD.shape(request(fps=12)) == VideoShape(frames=25, height_px=96, width_px=96, fps=12)


@given(seconds=st.floats(0.01, 3.7), fps=st.sampled_from([8.0, 12.0]))
def test_seconds_are_snapped_to_what_the_model_makes(seconds: float, fps: float) -> None:
    if seconds * fps > 31:
        with pytest.raises(UnsupportedRequest, match="seconds"):
            CARD.shape(request(seconds=seconds, fps=fps))
        return
    shape = CARD.shape(request(seconds=seconds, fps=fps))
    assert shape.frames <= CARD.max_frames
    assert (shape.frames - 1) % 4 == 0
    assert abs(shape.frames - seconds * fps) <= 2 or shape.frames == 1


@given(frames=st.integers(1, 40))
def test_frames_are_taken_as_they_are_or_refused_with_the_nearest(frames: int) -> None:
    if frames <= 29 and (frames - 1) % 4 == 0:
        assert CARD.shape(request(frames=frames)).frames == frames
        return
    with pytest.raises(UnsupportedRequest) as caught:
        CARD.shape(request(frames=frames))
    assert caught.value.field == "frames"
    if frames > 29:
        assert "29" in caught.value.rule
    else:
        near = [int(n) for n in caught.value.rule.split("nearest: ")[1].split(" or ")]
        for n in near:
            assert CARD.shape(request(frames=n)).frames == n


@pytest.mark.parametrize(
    "aspect,size", [("1:1", (96, 96)), ("16:9", (128, 72)), ("9:16", (72, 128)), ("21:9", (128, 72))]
)
def test_an_aspect_takes_the_nearest_size(aspect: str, size: tuple[int, int]) -> None:
    shape = CARD.shape(request(aspect_ratio=aspect))
    assert (shape.width_px, shape.height_px) == size


@pytest.mark.parametrize(
    "field,changes,help_text",
    [
        ("size", {"size": "100x100"}, "nearest: 96x96"),
        ("size", {"size": "1920x1080"}, "nearest: 128x72"),
        ("fps", {"fps": 24}, "one of 8, 12"),
        ("seconds", {"seconds": 60}, "at most 3.62 s at 8 fps"),
        ("frames", {"frames": 33}, "at most 29"),
        ("frames", {"frames": 16}, "nearest: 17 or 13"),
        ("camera", {"camera": "dolly"}, "one of static, pan_left"),
        ("source", {"source": CAT}, "keyframes, camera, motion"),
        ("references", {"references": ((CAT, "tom"),)}, "toy was not trained on it"),
        ("controls", {"controls": (("depth", CAT),)}, "toy was not trained on it"),
        ("style", {"style": "ink"}, "toy was not trained on it"),
        ("audio", {"audio": "on"}, "toy was not trained on it"),
        ("audio", {"audio": CAT}, "toy was not trained on it"),
        ("keyframes", {"keyframes": (Keyframe(CAT, 2.5),)}, "within the clip's 2.125 s"),
        ("keyframes", {"keyframes": (Keyframe(CAT, 0.0), Keyframe(CAT, -2.0))}, "within the clip's 2.125 s"),
    ],
)
def test_what_the_model_cannot_do_is_refused_with_what_it_can(field: str, changes: dict, help_text: str) -> None:
    with pytest.raises(UnsupportedRequest) as caught:
        CARD.check(request(**changes))
    assert caught.value.field == field
    assert help_text in caught.value.rule
    assert "\n" not in str(caught.value)


def test_what_the_model_can_do_passes() -> None:
    keyframes = (Keyframe(CAT, 0.0), Keyframe(CAT, 2.0), Keyframe(CAT, -1))
    shape = CARD.check(request(keyframes=keyframes, camera="pan_left", motion=200, size="72x128"))
    assert (shape.width_px, shape.height_px) == (72, 128)


def test_a_model_without_conditions_says_so() -> None:
    with pytest.raises(UnsupportedRequest, match="text alone"):
        replace(CARD, conditions=()).check(request(motion=5))
    with pytest.raises(UnsupportedRequest, match="^keyframes: 'given': "):
        replace(CARD, conditions=()).check(request(keyframes=(Keyframe(CAT, 0.0),)))
