"""The page: whole HTML, nothing from elsewhere, hostile words as text, every clip with what is wrong in it."""

from __future__ import annotations

import base64
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kinema.evaluation.model import Examination, Made
from kinema.evaluation.page import Shown, page
from kinema.evaluation.scores import answer, table
from kinema.evaluation.statistics import wilson
from kinema.media.read import read_video
from tests.evaluation.fakes import FakeEngine, examinee_of, mistaken

HOSTILE = "</figcaption><script>alert('1')</script><img src=x onerror=\"alert(2)\"> & so on"


class Reader(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(t == tag for t, _ in self.tags)

    def said(self) -> str:
        return " ".join(self.text)


@pytest.fixture
def made(fake: FakeEngine) -> list[Made]:
    """Two scenes in two languages, the last clip wrong in all."""
    examinee = examinee_of(fake, Examination(scenes=2))
    found = list(examinee.words(examinee.asked()))
    wrong = answer(found[-1].question, mistaken(found[-1].answer.verdict))
    return [*found[:-1], replace(found[-1], answer=wrong)]


def result_of(made: list[Made], **fields: Any) -> dict[str, Any]:
    return {
        "model": {"name": "toy", "version": "1"},
        "shape": "9x32x32",
        "floor": {"attributes": {"kind": {"share": 0.975}}, "suites": {"plain": {"colour": {"share": 0.625}}}},
        "words": table([m.answer for m in made]),
        **fields,
    }


def page_of(made: list[Made], **fields: Any) -> str:
    return page(result_of(made, **fields), [Shown.of(m) for m in made])


def test_it_holds_every_clip_as_it_is(made: list[Made], tmp_path: Path) -> None:
    reader = Reader(page_of(made))
    pictures = [attributes["src"] or "" for tag, attributes in reader.tags if tag == "img"]
    assert len(pictures) == reader.count("figure") == 4
    for one, source in zip(made, pictures, strict=True):
        kind, _, data = source.partition(",")
        assert kind == "data:image/webp;base64"
        (tmp_path / "a.webp").write_bytes(base64.b64decode(data, validate=True))
        frames = read_video(tmp_path / "a.webp").frames
        assert frames.shape == one.clip.frames.shape
        assert one.question.prompt in reader.said()


def test_it_needs_no_network(made: list[Made]) -> None:
    reader = Reader(text := page_of(made))
    assert "://" not in text
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in reader.tags}
    sources = [v for _, attributes in reader.tags for k, v in attributes.items() if k in ("src", "href", "action")]
    assert all(v is not None and v.startswith("data:") for v in sources)
    assert "url(" not in text
    assert "@import" not in text


def test_hostile_words_stay_words(made: list[Made]) -> None:
    question = replace(made[0].question, prompt=HOSTILE, suite=HOSTILE)
    first = replace(made[0], answer=replace(made[0].answer, question=question))
    verdict = replace(made[3].answer.verdict, place=HOSTILE)
    last = replace(made[3], answer=answer(made[3].question, verdict))
    shown = [first, *made[1:3], last]
    worse = [{"attribute": HOSTILE, "where": {HOSTILE: HOSTILE}, "share": 0.1, "rest": 0.9, "asked": 9}]
    result = result_of(shown, model={"name": HOSTILE, "version": HOSTILE}, shape=HOSTILE, kept={HOSTILE: [HOSTILE]})
    result["words"] = {**result["words"], "worse": worse}
    reader = Reader(text := page(result, [Shown.of(m) for m in shown]))
    assert "<script" not in text
    assert 'onerror="' not in text
    assert reader.count("script") == 0
    assert reader.count("img") == 4
    assert not any("onerror" in attributes for _, attributes in reader.tags)
    assert reader.said().count(HOSTILE) >= 10


def test_what_is_wrong_stands_below_the_clip(made: list[Made]) -> None:
    reader = Reader(text := page_of(made))
    assert text.count('class="wrong"') == 1
    subject = made[3].question.subjects[0]
    kind, colour = (", ".join([f"no {subject[name]}"] * 2) for name in ("kind", "colour"))
    assert f"kind: {kind}; colour: {colour}" in reader.said()
    assert "count: 2" in reader.said()
    nobody = answer(made[0].question, replace(made[0].answer.verdict, subjects=()))
    blind = [replace(made[0], answer=nobody)]
    assert "kind: nobody; colour: nobody; action: nobody" in Reader(page_of(blind)).said()


def test_a_wrong_count_is_told(fake: FakeEngine) -> None:
    examinee = examinee_of(fake, Examination(scenes=1, suites=("together",)), honest=False)
    (one, _) = examinee.words(examinee.asked())
    few = len(one.question.subjects) - 1
    assert f"count: {few}" in Reader(page_of([one])).said()


def test_floors_stand_beside_what_they_are_of(made: list[Made]) -> None:
    low, high = wilson(1.5, 2)  # two scenes, each asked for twice
    of_all, suite = page_of(made).split("<h3>Suite: plain</h3>")
    suite, language, _ = suite.split("<h3>Language: ")
    share = f"<td>75.0%<td>{low:.0%} to {high:.0%}"
    for part, kind, colour in ((of_all, "97.5%", "none"), (suite, "none", "62.5%")):
        assert f"<td>kind{share}<td>{kind}<td>4" in part
        assert f"<td>colour{share}<td>{colour}<td>4" in part
    assert "<td>97.5%<td>2" in language


def test_parts_appear_where_there_is_something_to_say(made: list[Made]) -> None:
    plain = Reader(page_of(made)).said()
    assert "Where it does worse" not in plain
    assert "Pass" not in plain
    assert "Language: zh" in plain
    assert "Kept" not in plain
    found = result_of(made, camera={"all": {"share": 0.5}}, keyframes={"velocity_error": None})
    found["words"] |= {"pass": {"prompts": 2, "pass@1": 0.25}}
    reader = Reader(page(found, [Shown.of(m) for m in made]))
    for text in ("Pass", "pass@1", "0.25", "Camera", "Keyframes", "velocity_error"):
        assert text in reader.said()
    assert [t for t, _ in reader.tags].index("h1") < [t for t, _ in reader.tags].index("h2")


def test_a_clip_of_one_frame_is_a_picture(made: list[Made]) -> None:
    still = [replace(m, clip=replace(m.clip, frames=m.clip.frames[:1].copy())) for m in made]
    assert Reader(page_of(still)).count("img") == 4
