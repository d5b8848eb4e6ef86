"""A fake model that is examined."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinema.core.card import ModelCard
from tests.evaluation.fakes import FakeEngine, fake_engine


@pytest.fixture
def fake(tmp_path: Path, toy_card: ModelCard) -> FakeEngine:
    """Clips of nine frames of 32x32; takes keyframes, motion, and cameras static and zoom_in; knows all words."""
    return fake_engine(tmp_path / "fake", toy_card)
