"""Streams of events, cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.client.sse import EventParser

STREAM = (
    '\ufeffretry: 1500\n\n: a comment\nid: 1\nevent: queued\ndata: {"a": 1}\n\n'
    "data: one\r\ndata:two\r\n\r\ndata: 雪地 🐇\r\rdata\n\nnonsense: x\n\n: still here\n\nid: 9\n\ndata: cut off"
).encode()
FOUND = ['{"a": 1}', "one\ntwo", "雪地 🐇"]


def parse(*pieces: bytes) -> tuple[list[str], float | None]:
    parser = EventParser()
    return [data for piece in pieces for data in parser.feed(piece)], parser.retry_s


def test_whole():
    assert parse(STREAM) == (FOUND, 1.5)


def test_byte_by_byte():
    assert parse(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == (FOUND, 1.5)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_cut_anywhere(places: list[int]):
    ends = [0, *sorted(places), len(STREAM)]
    assert parse(*(STREAM[a:b] for a, b in itertools.pairwise(ends))) == (FOUND, 1.5)


def test_an_event_comes_as_soon_as_it_is_whole():
    parser = EventParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == ["a"]


@pytest.mark.parametrize("line", ["retry: soon", "retry:", "retry: -1"])
def test_a_pause_that_is_no_number(line: str):
    assert parse(f"{line}\n\n".encode()) == ([], None)


def test_what_is_no_text_does_no_harm():
    assert parse(b"data: \xff\xfe\n\n")[0] == ["\ufffd\ufffd"]
