"""Sheets are PNG that others read; speed is measured and decides by it; losses are what they say."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kinema.core.errors import InvalidInput
from kinema.training.sheets import SheetFolder, png, sheet
from kinema.training.speed import choose_dtype, compile_or_not, count_flops, matmul_peak, measured_facts
from kinema.training.vae_losses import LossWeights, charbonnier, kl, psnr, reconstruction, spectrum, to_frames, to_model

CPU = torch.device("cpu")


def test_png_round_trip() -> None:
    picture = torch.randint(0, 256, (11, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    read = np.asarray(Image.open(io.BytesIO(png(picture))))
    assert np.array_equal(read, picture.numpy())


def test_sheet_shows_first_and_last(tmp_path: Path) -> None:
    clips = [torch.full((9, 4, 5, 3), i, dtype=torch.uint8) for i in (10, 20)]
    for clip in clips:
        clip[0], clip[-1] = clip[0] + 1, clip[-1] + 2
    picture = sheet(clips, columns=3, gap_px=1)
    assert picture.shape == (2 * 5, 3 * 6, 3)
    assert picture[[0, 5], :, 0][:, [0, 6, 12]].tolist() == [[11, 10, 12], [21, 20, 22]]
    SheetFolder(tmp_path / "sheets")("a", [c.numpy() for c in clips], ["one", "二"])
    assert (tmp_path / "sheets" / "a.txt").read_text(encoding="utf-8") == "1. one\n2. 二\n"
    with Image.open(tmp_path / "sheets" / "a.png") as image:
        assert image.size == (6 * 7, 2 * 6)
    with pytest.raises(InvalidInput, match="at least one clip"):
        sheet([])


def test_dtype_is_chosen_by_measurement() -> None:
    def step(slow: str) -> object:
        return lambda dtype: time.sleep(0.02 if dtype == slow else 0.002)

    assert choose_dtype(step("float32"), CPU, repeats=1).dtype == "bfloat16"  # pyright: ignore[reportArgumentType]
    slow = choose_dtype(step("bfloat16"), CPU, repeats=1)  # pyright: ignore[reportArgumentType]
    assert slow.dtype == "float32"
    assert slow.seconds["bfloat16"] > slow.seconds["float32"]
    known = {"dtype": "bfloat16", "peak_flops_per_s": 1.0}
    assert measured_facts(lambda dtype: None, CPU, wanted="auto", known=known) == known


def test_flops_and_peak() -> None:
    a, b = torch.ones(3, 5, requires_grad=True), torch.ones(5, 7, requires_grad=True)
    assert count_flops(lambda: (a @ b).sum().backward()) == 3 * 2 * 3 * 5 * 7
    assert matmul_peak(CPU, "float32", sizes=(64,), repeats=1) > 1e6


def test_training_goes_on_without_a_compiler(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise RuntimeError("no compiler\nat all")

    undone: list[bool] = []
    facts = {"compile": True}
    compile_or_not(facts, use=fails, undo=lambda: undone.append(True))
    assert facts == {"compile": False, "compile_error": "no compiler"}
    assert undone == [True]
    assert "no compiler" in caplog.text


def test_losses() -> None:
    target = torch.zeros(2, 3, 5, 8, 12)
    total, parts = reconstruction(target.clone(), target, LossWeights(spectrum=1.0))
    assert float(total) == pytest.approx(0, abs=1e-6)
    assert set(parts) == {"pixel", "square", "edge", "time", "coarse", "spectrum"}
    output = target + 0.5
    total, parts = reconstruction(output, target, LossWeights(square=0, edge=1, time=1, coarse=0))
    assert float(total) == pytest.approx(math.sqrt(0.25 + 1e-4) - 0.01)
    assert float(parts["edge"]) == pytest.approx(0, abs=1e-6)
    assert float(spectrum(output, target)) > 0
    assert float(charbonnier(torch.zeros(3))) == pytest.approx(0, abs=1e-9)
    standard = torch.zeros(1, 2, 1, 1, 1)
    assert float(kl(standard, standard)) == 0
    assert float(kl(standard + 2, standard)) == pytest.approx(2.0)


def test_psnr_is_of_eight_bits() -> None:
    target = torch.zeros(2, 3, 1, 4, 4)
    output = target.clone()
    output[1] = 2.55 / 127.5  # rounds from 127.5 + 2.55 to 130, two above 128
    got = psnr(output, target)
    assert got[0] > 80
    assert float(got[1]) == pytest.approx(20 * math.log10(255 / 2), abs=1e-4)
    frames = torch.randint(0, 256, (2, 5, 3, 7, 3), dtype=torch.uint8)
    assert torch.equal(to_frames(to_model(frames)), frames)
    assert to_model(frames).amin() >= -1
