from __future__ import annotations

from kinema.prompt.normalise import normalise
from kinema.world.captions import caption
from kinema.world.nature import KINDS, PLACES
from kinema.world.prompts import hand_written_prompts
from kinema.world.relations import RELATIONS
from kinema.world.scene import Scene


def _filled(partial: dict) -> dict:
    """The partial scene with anything at all where the prompt says nothing."""
    stated = {k: v for k, v in partial.items() if k != "relations"}
    subjects = [{"colour": "red", "action": KINDS[s["kind"]].actions[0]} | s for s in partial["subjects"]]
    wet = any(KINDS[s["kind"]].surface == "water" for s in subjects)
    place = next(p for p, facts in PLACES.items() if facts.has_water == wet or not wet)
    return {"place": place, "time": "day"} | stated | {"subjects": subjects}


def test_there_are_thirty_in_each_language() -> None:
    prompts = hand_written_prompts()
    assert [sum(p.language == lang for p in prompts) for lang in ("en", "zh")] == [30, 30]
    assert len({p.prompt for p in prompts}) == 60


def test_the_documents_own_are_among_them() -> None:
    texts = {p.prompt for p in hand_written_prompts()}
    assert {"一只小狗在公园里玩耍", "Drone view of waves crashing against a rugged cliff, sunset lighting, 4k"} <= texts


def test_each_states_a_scene_that_can_be() -> None:
    for prompt in hand_written_prompts():
        scene = Scene.from_dict(_filled(prompt.scene))
        for one, name, other in prompt.scene.get("relations", []):
            assert name in RELATIONS
            assert {one, other} <= set(range(len(scene.subjects)))


def test_they_are_varied_and_readable() -> None:
    prompts = hand_written_prompts()
    assert all(normalise(p.prompt) for p in prompts)
    stated = [s for p in prompts for s in p.scene["subjects"]]
    assert len({s["kind"] for s in stated}) >= 24
    assert len({s.get("action") for s in stated}) >= 14
    for name, least in (("camera", 10), ("weather", 5), ("place", 10), ("time", 4)):
        assert len({p.scene[name] for p in prompts if name in p.scene}) >= least, name


def test_all_but_the_documents_are_outside_the_grammar() -> None:
    for prompt in hand_written_prompts():
        if prompt.prompt != "一只小狗在公园里玩耍":
            scene = Scene.from_dict(_filled(prompt.scene))
            said = {caption(scene, language=prompt.language, seed=n).rstrip(".。").lower() for n in range(40)}
            assert prompt.prompt.rstrip(".。").lower() not in said
