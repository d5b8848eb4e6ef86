from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from kinema.models.text.published import padded_ids, pixels
from tests.models.text import tiny


def test_texts_are_padded_or_cut_to_one_length() -> None:
    words = tiny.t5_tokenizer()
    ids, mask = padded_ids(words, ["the red car", "", tiny.LONG * 9], 11, device=torch.device("cpu"))
    assert ids.shape == mask.shape == (3, 11)
    assert mask.sum(1).tolist() == [4, 1, 11]
    assert ids[mask == 0].tolist() == [words.pad_token_id] * 17


def test_pixels_are_the_processors_whatever_the_pictures_sizes() -> None:
    processor, cpu = tiny.image_processor(14), torch.device("cpu")
    pictures = [tiny.picture(1, 20, 33), tiny.picture(2, 3, 5), tiny.picture(3, 14, 14)]
    together = pixels(processor, pictures, device=cpu)
    assert together.shape == (3, 3, 14, 14)
    for i, picture in enumerate(pictures):
        assert torch.equal(pixels(processor, [picture], device=cpu)[0], together[i])
        # even where three rows could be three channels
        expected = processor(images=[Image.fromarray(picture)], return_tensors="pt")["pixel_values"]
        assert torch.equal(together[i : i + 1], expected)
    # nothing to resize: what is left is the processor's normalisation
    mean, std = (np.array(v, np.float32) for v in (processor.image_mean, processor.image_std))
    expected = torch.from_numpy(((pictures[2] / 255 - mean) / std).transpose(2, 0, 1)).float()
    torch.testing.assert_close(together[2], expected, rtol=0, atol=1e-5)
