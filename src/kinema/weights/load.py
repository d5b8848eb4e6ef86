"""Strict loading: a module on the meta device, tensors assigned block by block from safetensors, nothing left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from kinema.core.errors import WeightsError
from kinema.weights.files import index_of

_LISTED = 8


def load_module(
    build: Callable[[], nn.Module],
    files: Sequence[Path],
    *,
    dtype: torch.dtype,
    device: str | torch.device = "cpu",
    on_block: Callable[[str, nn.Module], None] | None = None,
) -> nn.Module:
    """The module of ``build``, every tensor from ``files``, floating point ones as ``dtype``; in eval mode, without gradients.

    ``on_block(name, submodule)`` is called when a block's tensors have arrived and before the next block is read, so that
    whatever acts on a built model (quantising, offloading) never holds more than one block besides its own result.

    Raises: WeightsError listing tensors that are missing, unexpected, misshapen, not finite, or in no file at all.
    """
    with torch.device("meta"), _NoInit():
        module = build()
    component = files[0].parent.name
    _check_names(component, module, files)
    for block, tensors in read_blocks(files, dtype=dtype, device=device):
        for name, tensor in tensors.items():
            _assign(module, name, tensor)
        if on_block is not None:
            on_block(block, module.get_submodule(block))
    leftover = [n for n, t in [*module.named_parameters(), *module.named_buffers()] if t.is_meta]
    if leftover:
        raise WeightsError(component, files[0].parent, f"tensors that no file fills: {_list(leftover)}")
    return module.eval().requires_grad_(False)


def read_blocks(
    files: Sequence[Path], *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(block name, its tensors by full name), block after block; memory-mapped, converted to ``dtype`` where floating point.

    A block is a name up to its first number (``transformer_blocks.3``), else its first part (``proj_out``).
    Raises: WeightsError naming tensors that are not finite, or a file that can't be read.
    """
    header = read_shapes(files)
    blocks: dict[str, list[str]] = {}
    for name in header:
        blocks.setdefault(block_of(name), []).append(name)
    with ExitStack() as stack:
        handles = {file: stack.enter_context(_open(file)) for file in files}
        for block, names in blocks.items():
            tensors: dict[str, Tensor] = {}
            for name in names:
                file = header[name][1]
                with _readable(file):
                    tensor = handles[file].get_tensor(name)
                is_float = tensor.is_floating_point()
                tensors[name] = tensor.to(device=device, dtype=dtype if is_float else None)
            bad = [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
            if bad:
                raise WeightsError(files[0].parent.name, files[0].parent, f"tensors with NaN or infinity: {_list(bad)}")
            yield block, tensors


def read_shapes(files: Sequence[Path]) -> dict[str, tuple[tuple[int, ...], Path]]:
    """Tensor name -> (shape, file) of a component's files, read from their headers alone.

    Raises: WeightsError for a file that is no safetensors, is truncated, or disagrees with the index or another file.
    """
    found: dict[str, tuple[tuple[int, ...], Path]] = {}
    for file in files:
        with _readable(file), _open(file) as handle:
            for name in handle.keys():  # noqa: SIM118 (a handle is no dict)
                if name in found:
                    other = found[name][1].name
                    raise WeightsError(file.parent.name, file, f"holds {name}, and so does {other}")
                found[name] = (tuple(handle.get_slice(name).get_shape()), file)
    index = index_of(files[0].parent)
    if index is not None:
        wrong = [n for n, file in index.items() if n not in found or found[n][1].name != file]
        if wrong:
            raise WeightsError(
                files[0].parent.name, files[0].parent, f"tensors not where the index says: {_list(wrong)}"
            )
    return found


def block_of(name: str) -> str:
    """The block that tensor ``name`` belongs to: the name up to its first number, else its first part; "" for the root's own."""
    parts = name.split(".")[:-1]
    for i, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: i + 1])
    return parts[0] if parts else ""


def _check_names(component: str, module: nn.Module, files: Sequence[Path]) -> None:
    expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    found = {name: shape for name, (shape, _) in read_shapes(files).items()}
    problems = []
    if missing := [n for n in expected if n not in found]:
        problems.append(f"missing {_list(missing)}")
    if unexpected := [n for n in found if n not in expected]:
        problems.append(f"unexpected {_list(unexpected)}")
    if misshapen := [n for n in found if n in expected and found[n] != expected[n]]:
        shapes = [f"{n} is {_shape(found[n])}, not {_shape(expected[n])}" for n in misshapen]
        problems.append(f"misshapen {_list(shapes)}")
    if problems:
        raise WeightsError(component, files[0].parent, "tensors " + "; ".join(problems))


def _assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    parent_name, _, leaf = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    is_parameter = leaf in dict(parent.named_parameters(recurse=False))
    setattr(parent, leaf, nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor)


def _open(file: Path) -> Any:
    with _readable(file):
        return safe_open(str(file), framework="pt", device="cpu")


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


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turns what safetensors and the system raise on a bad file into a `WeightsError` that names it."""
    try:
        yield
    except (SafetensorError, OSError) as e:
        rule = f"is no readable safetensors file (truncated, or of another kind): {e}"
        raise WeightsError(file.parent.name, file, rule) from e


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
