from __future__ import annotations

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.world.sheet import contact_sheet


def _clip(frames: int, value: int) -> torch.Tensor:
    return (torch.arange(frames, dtype=torch.uint8)[:, None, None, None] + value).expand(frames, 5, 7, 3)


def test_frames_go_across_and_clips_down() -> None:
    sheet = contact_sheet([_clip(9, 100), _clip(3, 200)], columns=3, gap_px=2, background=11)
    assert sheet.shape == (2 + 2 * (5 + 2), 2 + 3 * (7 + 2), 3)
    assert [int(sheet[2, 2 + 9 * k, 0]) for k in range(3)] == [100, 104, 108]
    assert [int(sheet[9, 2 + 9 * k, 0]) for k in range(3)] == [200, 201, 202]
    assert (sheet[:2] == 11).all()
    assert (sheet[:, -2:] == 11).all()


def test_one_column_shows_the_first_frame() -> None:
    assert int(contact_sheet([_clip(4, 50)], columns=1)[3, 3, 1]) == 50


@pytest.mark.parametrize(
    "clips, columns, field",
    [([], 3, "clips"), ([_clip(2, 0), _clip(2, 0)[:, :4]], 3, "clips"), ([_clip(2, 0)], 0, "columns")],
)
def test_bad_arguments_are_named(clips: list[torch.Tensor], columns: int, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        contact_sheet(clips, columns=columns)
    assert error.value.field == field
