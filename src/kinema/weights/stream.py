"""`BlockReader`: tensors of a network out of its files again and again, each time into memory that goes with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kinema.weights.load import Pieces, wanted_dtype
from kinema.weights.tensors import TensorReader


class BlockReader:
    """Reads tensors by name as `kinema.weights.load.fill_module` does: to the bit, and to the place within a page.

    What needs no conversion is mapped on the CPU: it costs no copy, and the system may take its pages back at any time. Some
    kernels sum in another order where numbers lie otherwise in memory, so a copy would not do. May be called from any thread.
    """

    def __init__(
        self,
        pieces: Pieces,
        *,
        dtype: torch.dtype,
        device: str | torch.device = "cpu",
        fp32_parts: frozenset[str] = frozenset(),
    ) -> None:
        self._pieces, self._dtype, self._device, self._fp32_parts = pieces, dtype, device, fp32_parts

    def __call__(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Name -> tensor. Raises: WeightsError for a file that can't be read, or has changed since."""
        tensors = {}
        with TensorReader("tensor") as reader:
            for name in names:
                dtype = wanted_dtype(name, self._dtype, self._fp32_parts)
                # looked through when the network was filled
                tensors[name], _ = reader.read(self._pieces[name], dtype=dtype, device=self._device, checked=False)
        return tensors
