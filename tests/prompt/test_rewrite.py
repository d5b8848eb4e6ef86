"""rewrite: captions go through, free text becomes one, and what it means is kept; measured against the truth of scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.prompt.lexicon import lexicon
from kinema.prompt.normalise import language
from kinema.prompt.parse import Sketch, parse
from kinema.prompt.rewrite import rewrite, strip_idle, summary
from kinema.prompt.vocabulary import words_unknown
from kinema.weights.folder import open_model
from kinema.world.captions import caption
from kinema.world.prompts import hand_written_prompts
from kinema.world.sampler import sample
from kinema.world.words import vocabulary

WORLD = vocabulary()
HELD_OUT = [
    json.loads(line)
    for line in Path(__file__).with_name("rewrites_held_out.jsonl").read_text(encoding="utf-8").splitlines()
]
SETTINGS = ("place", "time", "weather", "camera", "style", "view")


def sketch_of(prompt: str) -> Sketch:
    """What is recognised in ``prompt``, idle words taken out."""
    words = lexicon(WORLD, language(prompt))
    return parse(strip_idle(prompt, is_chinese=words.is_chinese)[0], words)


def recognised(prompt: str, subjects: list[tuple[str, str | None, str | None]], settings: dict[str, str]) -> list[bool]:
    """Of each thing that ``prompt`` says, whether it is recognised: kinds with their colours and actions, and the setting."""
    sketch, right = sketch_of(prompt), []
    free = list(sketch.subjects) + [s for s in sketch.subjects for _ in range(s.count - 1)]
    for kind, colour, action in subjects:
        alike = [s for s in free if s.kind == kind]
        found = next((s for s in alike if colour in (None, s.colour)), alike[0] if alike else None)
        if found is not None:
            free.remove(found)
        right.append(found is not None)
        right += [found is not None and found.colour == colour] if colour else []
        right += [found is not None and found.action == action] if action else []
    return right + [sketch.settings.get(name, ("",))[0] == value for name, value in settings.items()]


def stated(scene: dict[str, Any]) -> tuple[list[tuple[str, str | None, str | None]], dict[str, str]]:
    """What a hand-written prompt says of its scene. Standing goes without saying."""
    subjects = [(s["kind"], s.get("colour"), s.get("action")) for s in scene["subjects"]]
    subjects = [(kind, colour, None if action in ("stand", None) else action) for kind, colour, action in subjects]
    settings = {name: scene[name] for name in SETTINGS if name in scene}
    return subjects, settings | ({"view": "aerial"} if "elevation_deg" in scene else {})


@pytest.mark.parametrize("words", ["en", "zh"])
@pytest.mark.parametrize("form", ["short", "full"])
def test_captions_go_through_unchanged(words: str, form: str) -> None:
    for seed in range(300):
        text = caption(sample(seed), language=words, form=form, seed=seed)
        rewritten = rewrite(text, WORLD)
        assert (rewritten.prompt, rewritten.changes) == (text, ()), text


@pytest.mark.parametrize("words", ["en", "zh"])
def test_dense_captions_go_through_unchanged(words: str) -> None:
    for seed in range(60):
        text = caption(sample(seed), language=words, form="dense", seed=seed)
        assert rewrite(text, WORLD).prompt == text


@pytest.mark.parametrize("words", ["en", "zh"])
def test_what_captions_say_is_read_as_it_was_meant(words: str) -> None:
    """The truth is the scene: each of its subjects is found, and a place, time, camera that is read is the scene's."""
    for seed in range(300):
        scene = sample(seed)
        sketch = parse(caption(scene, language=words, seed=seed), lexicon(WORLD, words))
        kinds = sorted(s.kind for s in sketch.subjects for _ in range(s.count))
        assert kinds == sorted(s.kind for s in scene.subjects)
        for name in ("place", "time", "camera", "style"):
            assert sketch.settings.get(name, (getattr(scene, name),))[0] == getattr(scene, name), (name, seed)


@pytest.mark.parametrize("words", ["en", "zh"])
def test_what_hand_written_prompts_say_is_recognised(words: str) -> None:
    prompts = [p for p in hand_written_prompts() if p.language == words]
    right = [r for p in prompts for r in recognised(p.prompt, *stated(p.scene))]
    assert sum(right) / len(right) >= 0.93


@pytest.mark.parametrize("words", ["en", "zh"])
def test_what_other_prompts_say_is_recognised(words: str) -> None:
    rows = [row for row in HELD_OUT if row["language"] == words]
    says = [(row["prompt"], row["says"]) for row in rows]
    right = [
        r
        for prompt, said in says
        for r in recognised(prompt, said["subjects"], {n: said[n] for n in SETTINGS if n in said})
    ]
    assert sum(right) / len(right) >= 0.93


EXAMPLES = [
    (
        "Drone view of waves crashing against a rugged cliff, sunset lighting, 4k",
        "drone view of waves crashing against a rugged cliff at sunset",
    ),
    ("please show me a red ball bouncing down from the sky onto the beach", "a red ball falls down on the beach"),
    (
        "I'd love to see a yellow car race down the street at night while the camera tracks it",
        "a yellow car speeds along in the street at night, tracking shot",
    ),
    ("a kitty gallops through the grove of toadstools", "a cat gallops with two toadstools"),
    ("two fluffy bunnies hopping on the lawn, masterpiece", "two bunnies jump in the park"),
    ("an astronot floats over the dessert", "an astronaut floats in the desert"),
    ("five fluffy ducks swimming in a pond", "three ducks swim by the lake"),
    ("a tree with no leaves and no birds", "a tree"),
    ("a boat on the lake while heavy snowstorm, without waves", "a boat on the lake in the falling snow"),
    ("一辆黄色的汽车晚上在街上飞驰，镜头跟着它", "晚上，一辆黄色的汽车在街道上飞驰，跟踪镜头"),
    ("我想看一只可爱的小狗在公园里开心地玩", "一只小狗在公园里玩耍"),
    ("绿球滚过来，一下子把高高的红塔撞翻了。", "一个绿色的球撞倒一座红色的塔"),
    ("一群鸭子在池塘里嬉戏", "三只鸭子在湖边玩耍"),
    ("帮我拍一段老虎在雪里散步的视频，要震撼", "一只猫在雪地里散步"),
]


@pytest.mark.parametrize("prompt,expected", EXAMPLES)
def test_examples(prompt: str, expected: str) -> None:
    assert rewrite(prompt, WORLD).prompt == expected


@pytest.mark.parametrize("prompt", [p for p, _ in EXAMPLES] + [p.prompt for p in hand_written_prompts()])
def test_what_was_rewritten_has_no_unknown_words_and_is_not_rewritten_again(prompt: str) -> None:
    rewritten = rewrite(prompt, WORLD)
    if rewritten.is_changed:
        assert words_unknown(rewritten.prompt, WORLD) == ()
        assert rewrite(rewritten.prompt, WORLD).prompt == rewritten.prompt
    assert rewrite(prompt, WORLD) == rewritten


def test_the_shipped_model_s_own_words_are_used() -> None:
    """Its world is smaller: what its card lacks is not said."""
    card = open_model("kinema-mini").card
    rewritten = rewrite("a cute doggy running in the meadow, please", card.vocabulary)
    assert words_unknown(rewritten.prompt, card.vocabulary) == ()
    assert "park" in rewritten.prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "a purple tuba",
        "two golden coins spinning",
        "唱歌的大象",
        "sunset over nothing at all",
        "",
        "4k",
        "🙂",
        '{"a": 1}',
    ],
)
def test_what_names_nothing_that_is_known_is_left_alone(prompt: str) -> None:
    assert rewrite(prompt, WORLD).prompt == prompt


def test_without_a_vocabulary_nothing_is_changed() -> None:
    assert rewrite("please show me a kitty, 4k", {}).changes == ()


def test_changes_are_told() -> None:
    rewritten = rewrite("please show me a kitty and a zebra standing, swaying by the tuba, 8k", WORLD)
    told = {(c.before, c.after, c.how) for c in rewritten.changes}
    assert {("kitty", "cat", "same"), ("zebra", "horse", "near"), ("tuba", "", "unknown"), ("8k", "", "idle")} <= told
    assert "kitty -> cat; zebra -> horse (nearest)" in summary(rewritten.changes)
    assert rewritten.to_dict()["original"].startswith("please")


@given(st.text(max_size=120))
def test_any_text_is_rewritten(text: str) -> None:
    rewrite(text, WORLD)


@given(
    st.lists(
        st.sampled_from(
            "a the two red cat dog chases hits with and no behind it beach rain night please 4k , . zoom".split()
        )
    )
)
def test_any_order_of_words_is_rewritten(words: list[str]) -> None:
    rewritten = rewrite(" ".join(words), WORLD)
    assert not rewritten.is_changed or rewritten.prompt


@given(
    st.lists(
        st.sampled_from("一 只 红 猫 狗 追 撞 把 没有 在 海滩 上 雨 夜里 请 4k ， 。 镜头 拉近 穿 衣服 的 后面".split())
    )
)
def test_any_order_of_chinese_words_is_rewritten(words: list[str]) -> None:
    rewritten = rewrite("".join(words), WORLD)
    assert not rewritten.is_changed or rewritten.prompt
