"""Strict loading: a module on the meta device, tensors assigned block by block, nothing missing and nothing left over."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kinema.core.errors import WeightsError
from kinema.weights.files import listed, split_scales, tensors_in
from kinema.weights.header import Piece
from kinema.weights.tensors import Checks, TensorReader, stored_dtype

Pieces = Mapping[str, Piece]
# what is smaller is looked through before threads for it have begun
_LARGE_BYTES = 200_000_000


def load_module(
    build: Callable[[], nn.Module],
    files: Sequence[Path],
    *,
    dtype: torch.dtype,
    device: str | torch.device = "cpu",
    on_block: Callable[[str, nn.Module], None] | None = None,
) -> nn.Module:
    """`fill_module` from a component's safetensors ``files``, whose names are the module's own."""
    folder = files[0].parent
    pieces = pieces_of(files)
    return fill_module(
        build, pieces, where=folder, component=folder.name, dtype=dtype, device=device, on_block=on_block
    )


def fill_module(
    build: Callable[[], nn.Module],
    pieces: Pieces,
    *,
    where: Path,
    component: str,
    dtype: torch.dtype,
    device: str | torch.device = "cpu",
    on_block: Callable[[str, nn.Module], None] | None = None,
) -> nn.Module:
    """The module of ``build`` with the tensors of ``pieces``, floating point ones as ``dtype``; in eval mode, without gradients.

    What the module's ``fp32_parts`` name stays in fp32. ``on_block(name, submodule)`` is called when a block's tensors have
    arrived and before the next block is read, so that whatever acts on a built model (quantising, offloading) never holds
    more than one block besides its own result; tensors have memory of their own then, since one that stays would keep a
    file's whole mapping. ``where`` and ``component`` are what errors name.

    Raises: WeightsError listing tensors that are missing, unexpected, misshapen, not finite, whole numbers, or in no file at all.
    """
    with torch.device("meta"), _NoInit():
        module = build()
    expected = module.state_dict()
    _check_names(component, where, expected, pieces)
    kinds = {name: t.dtype for name, t in expected.items()}
    fp32_parts: frozenset[str] = getattr(module, "fp32_parts", frozenset())
    with Checks() as checks:
        is_large = sum(piece.info.nbytes for piece in pieces.values()) >= _LARGE_BYTES
        later = checks if on_block is None and is_large else None
        blocks = read_blocks(
            pieces, dtype=dtype, device=device, fp32_parts=fp32_parts, mapped=on_block is None, checks=later
        )
        for block, tensors, bad in blocks:
            if bad:
                raise WeightsError(component, where, f"tensors with NaN or infinity: {listed(bad)}")
            if whole := [n for n, t in tensors.items() if not t.is_floating_point() and kinds[n].is_floating_point]:
                raise WeightsError(component, where, f"whole numbers without a scale: {listed(whole)}")
            for name, tensor in tensors.items():
                _assign(module, name, tensor)
            if on_block is not None:
                tensors.clear()  # the module alone decides what stays
                on_block(block, module.get_submodule(block))
                _give_back()
        if bad := checks.bad():
            raise WeightsError(component, where, f"tensors with NaN or infinity: {listed(bad)}")
    # what a block's caller put back on the meta device was filled
    leftover = [n for n, t in [*module.named_parameters(), *module.named_buffers()] if t.is_meta and n not in pieces]
    if leftover:
        raise WeightsError(component, where, f"tensors that no file fills: {listed(leftover)}")
    return module.eval().requires_grad_(False)


def empty_module(
    build: Callable[[], nn.Module], pieces: Pieces, *, where: Path, component: str, dtype: torch.dtype
) -> nn.Module:
    """What `fill_module` gives for the same arguments, before any tensor is read: all of it is on the meta device, in its dtypes.

    Raises: WeightsError listing tensors that are missing, unexpected, misshapen, whole numbers, or in no file at all.
    """
    with torch.device("meta"), _NoInit():
        module = build()
    _check_names(component, where, module.state_dict(), pieces)
    fp32_parts: frozenset[str] = getattr(module, "fp32_parts", frozenset())
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    if leftover := [n for n, _ in tensors if n not in pieces]:
        raise WeightsError(component, where, f"tensors that no file fills: {listed(leftover)}")
    floats = [(n, t) for n, t in tensors if t.is_floating_point()]
    if whole := [n for n, _ in floats if not stored_dtype(pieces[n]).is_floating_point]:
        raise WeightsError(component, where, f"whole numbers without a scale: {listed(whole)}")
    for name, tensor in floats:
        # `empty_like` would import sympy
        empty = torch.empty(tensor.shape, dtype=wanted_dtype(name, dtype, fp32_parts), device="meta")
        _assign(module, name, empty)
    return module.eval().requires_grad_(False)


def pieces_of(files: Sequence[Path]) -> dict[str, Piece]:
    """Every tensor of ``files`` under its own name, with its scale where one stands beside it. Raises: WeightsError."""
    scales, weights = split_scales(files[0].parent, tensors_in(files))
    return {name: Piece(info=info, scale=scales.get(name)) for name, info in weights.items()}


def read_blocks(
    pieces: Pieces,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    fp32_parts: frozenset[str] = frozenset(),
    mapped: bool = True,
    checks: Checks | None = None,
) -> Iterator[tuple[str, dict[str, Tensor], list[str]]]:
    """(block name, its tensors by full name, the names of those that aren't finite), block after block.

    Floating point tensors come as ``dtype`` (what has a part of ``fp32_parts`` in its name as fp32), ``mapped`` if they are that already.

    ``checks`` looks through those that are mapped, meanwhile; they are called finite then.

    See `blocks_of` for what a block is. Raises: WeightsError for a file that can't be read.
    """
    with TensorReader("file" if mapped else "none") as reader:
        for block, names in blocks_of(pieces).items():
            tensors: dict[str, Tensor] = {}
            bad: list[str] = []
            for name in names:
                wanted = wanted_dtype(name, dtype, fp32_parts)
                is_later = checks is not None and reader.maps(pieces[name], dtype=wanted, device=device)
                if checks is not None and is_later:
                    checks.add(name, pieces[name])
                tensors[name], is_finite = reader.read(pieces[name], dtype=wanted, device=device, checked=not is_later)
                bad += [] if is_finite else [name]
            yield block, tensors, bad


def wanted_dtype(name: str, dtype: torch.dtype | None, fp32_parts: frozenset[str]) -> torch.dtype | None:
    """The dtype of the tensor ``name`` in a network loaded as ``dtype``, whose ``fp32_parts`` stay in fp32."""
    return torch.float32 if fp32_parts.intersection(name.split(".")) else dtype


def blocks_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Block -> the names of its tensors, all blocks and names in their order. No block lies within another: the outer one has all.

    A network's repeated blocks are one each (``transformer_blocks.3``); what has tensors of its own besides a list is one whole.
    """
    names = list(names)
    found = {block_of(name) for name in names}
    blocks: dict[str, list[str]] = {}
    for name in names:
        parts = block_of(name).split(".")
        outer = (".".join(parts[:i]) for i in range(1, len(parts) + 1))
        blocks.setdefault(next(block for block in outer if block in found), []).append(name)
    return blocks


def block_of(name: str) -> str:
    """The name of a tensor up to its first number, else its first part; "" for the root's own."""
    parts = name.split(".")[:-1]
    for i, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: i + 1])
    return parts[0] if parts else ""


def _check_names(component: str, where: Path, tensors: Mapping[str, Tensor], pieces: Pieces) -> None:
    expected = {name: tuple(t.shape) for name, t in tensors.items()}
    found = {name: piece.shape for name, piece in pieces.items()}
    problems = []
    if missing := [n for n in expected if n not in found]:
        problems.append(f"missing {listed(missing)}")
    if unexpected := [n for n in found if n not in expected]:
        problems.append(f"unexpected {listed(unexpected)}")
    if misshapen := [n for n in found if n in expected and found[n] != expected[n]]:
        shapes = [f"{n} is {_shape(found[n])}, not {_shape(expected[n])}" for n in misshapen]
        problems.append(f"misshapen {listed(shapes)}")
    if problems:
        raise WeightsError(component, where, "tensors " + "; ".join(problems))


def _assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    parent_name, _, leaf = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    if leaf in parent._parameters:
        parent._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        setattr(parent, leaf, tensor)


def _give_back() -> None:
    """Returns freed memory to the system. The C library keeps what lies between blocks: 150 MB quantised to half peaked at 262 MB."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries than GNU's have none
        if trim is not None:
            trim(0)


class _NoInit(TorchFunctionMode):
    """Leaves new tensors as they are: the file fills them.

    On the meta device `torch.nn.init.normal_` would import the compiler, which takes as long as importing torch.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
