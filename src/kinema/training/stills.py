"""Clips as pictures, at no cost: batches in which each clip is cut to its first latent frame, among those of whole clips.

A causal autoencoder's first latent frame is that of the first picture alone. It says who is where in which light for a fifth of the
tokens of five latent frames, so a model sees five times as many scenes for the same work.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.data.load.loader import Batch, Loader

_MOTION = 1.0  # the motion score of what stands still


class WithStills:
    """`Batches`: every so often, in a ``share`` of all steps, one of ``stills`` cut to its first latent frame; else one of ``clips``.

    Both loaders count their own batches, so that each goes through its samples in turn.
    """

    def __init__(self, clips: Loader, stills: Loader, *, share: float) -> None:
        if not 0 <= share < 1:
            raise InvalidInput("stills", share, "must be from 0 to below 1")
        self.clips, self.stills, self.share = clips, stills, share

    def batch(self, step: int) -> Batch:
        """Batch number ``step``: the same, whatever was loaded before."""
        before = self._stills_before(step)
        if self._stills_before(step + 1) > before:
            return replace(first_frames(self.stills.batch(before)), step=step)
        return replace(self.clips.batch(step - before), step=step)

    def from_step(self, step: int) -> Generator[Batch, None, None]:
        """Batches ``step``, ``step`` + 1, ... without end."""
        before = self._stills_before(step)
        with ExitStack() as stack:
            clips, stills = self.clips.from_step(step - before), self.stills.from_step(before)
            stack.callback(clips.close)
            stack.callback(stills.close)
            while True:
                is_still = self._stills_before(step + 1) > self._stills_before(step)
                yield replace(first_frames(next(stills)) if is_still else next(clips), step=step)
                step += 1

    def _stills_before(self, step: int) -> int:
        return int(step * self.share + 1e-9)


def first_frames(batch: Batch) -> Batch:
    """``batch`` of clips as one of pictures: the first latent frame of each, seen by a camera at rest."""
    tensors: dict[str, Tensor] = dict(batch.tensors)
    tensors["latents"] = tensors["latents"][:, :, :1].contiguous()
    tensors["camera"] = tensors["camera"][:, :1]
    tensors["motion"] = torch.full_like(tensors["motion"], _MOTION)
    return replace(batch, bucket=replace(batch.bucket, frames=1), tensors=tensors)
