"""A small model of every family and task, shared by all tests: none may write into their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinema.core.card import ModelCard
from kinema.core.media_ref import Keyframe
from tests.engine.conftest import save_tiny
from tests.engine.families.published import IMAGE_DIM, hunyuan_video, ltx, picture_file, wan

SEES = {"in_channels": 16, "image_dim": IMAGE_DIM, "added_kv_proj_dim": 24}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_card: ModelCard) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    models = {
        "experts": wan(root / "a14b", boundary=0.875, shift=12.0),
        "first frame": wan(root / "5b", expand=True, shift=5.0),
        "seen picture": wan(root / "i2v", picture=True, transformer=SEES),
        "text": hunyuan_video(root / "t2v", transformer={"guidance_embeds": True}),
        "picture": hunyuan_video(root / "hy", picture="token_replace", transformer={"guidance_embeds": False}),
    }
    models["ltx"] = ltx(root / "ltx", picture=True)
    return {**{n: m.folder for n, m in models.items()}, "kinema": save_tiny(root / "tiny", tiny_card)}


@pytest.fixture(scope="session")
def keyframe(tmp_path_factory: pytest.TempPathFactory) -> Keyframe:
    return picture_file(tmp_path_factory.mktemp("pictures") / "a.png")[0]
