"""`BlockReader`: tensors of a network out of its files again and again, each time into memory that goes with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.weights.files import listed
from kinema.weights.load import Pieces, wanted_dtype
from kinema.weights.tensors import TensorReader, is_finite


class BlockReader:
    """Reads tensors by name as `kinema.weights.load.fill_module` does: to the bit, and to the place within a page.

    What needs no conversion is mapped on the CPU: it costs no copy, and the system may take its pages back at any time. Some
    kernels sum in another order where numbers lie otherwise in memory, so a copy would not do. May be called from any thread.

    With ``checks`` a tensor is looked through when it is read for the first time: for a network that `empty_module` made.
    """

    def __init__(
        self,
        pieces: Pieces,
        *,
        dtype: torch.dtype,
        device: str | torch.device = "cpu",
        fp32_parts: frozenset[str] = frozenset(),
        checks: bool = False,
    ) -> None:
        self._pieces, self._dtype, self._device, self._fp32_parts = pieces, dtype, device, fp32_parts
        self._unchecked = set(pieces) if checks else set()

    def __call__(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Name -> tensor. Raises: WeightsError for a file that can't be read, has become shorter, or has NaN or infinity."""
        tensors = {}
        with TensorReader("tensor") as reader:
            for name in names:
                dtype = wanted_dtype(name, self._dtype, self._fp32_parts)
                # what is mapped is looked through where it lies: its pages are needed anyway
                tensors[name], _ = reader.read(self._pieces[name], dtype=dtype, device=self._device, checked=False)
        if bad := [name for name in names if name in self._unchecked and not is_finite(tensors[name])]:
            file = self._pieces[bad[0]].info.file
            raise WeightsError("tensor", file, f"tensors with NaN or infinity: {listed(bad)}")
        self._unchecked.difference_update(names)
        return tensors
