"""`apply_offload`: weights on the device only while they are needed; the same bits as with all of them there.

A network's blocks are what `kinema.core.blocks.repeated_blocks` finds. They are filled by hooks just before they run and
emptied just after, so the networks know nothing of it. Weights that aren't there are on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinema.core.blocks import repeated_blocks
from kinema.core.errors import InvalidInput, choices
from kinema.core.memory import OFFLOADS

# Names of tensors -> the tensors, on the device; called from another thread where blocks are fetched ahead.
Read = Callable[[Sequence[str]], Mapping[str, Tensor]]


def apply_offload(module: nn.Module, mode: str, *, device: str | torch.device, read: Read | None = None) -> Offload:
    """``module`` with its weights taken from ``device``, to which they come by ``mode`` whenever it runs.

    - component: all of them while it runs.
    - layers: those around the blocks while it runs, and of the blocks the one that runs and the next, which is fetched
      meanwhile.
    - disk: the same without the next.

    "While it runs" is a call of ``module``, or a ``with`` block of what is returned, which may span many calls and methods
    other than ``forward``. ``read`` brings tensors from a file (`kinema.weights.stream.BlockReader`); without it they
    stay in the host's memory, as they are in ``module`` now. With it ``module`` may be empty, as `drop_block` leaves it.
    Acts after `apply_lora` and `apply_quantize`, and doesn't go with `apply_compile`: compiled blocks hold on to their weights.

    Raises: InvalidInput for an unknown mode, or what it needs: ``read``, repeated blocks, or blocks that aren't compiled.
    """
    device = torch.device(device)
    modes = OFFLOADS[1:]
    if mode not in modes:
        raise InvalidInput("offload", mode, f"must be {choices(modes)}")
    if read is None and (mode == "disk" or device.type == "cpu"):
        what = "mode disk" if mode == "disk" else "on the cpu, where the host's memory is the device's, it"
        raise InvalidInput("offload", mode, f"{what} needs a file to read from")
    blocks = {} if mode == "component" else repeated_blocks(module.state_dict())
    if mode != "component" and not blocks:
        raise InvalidInput("offload", mode, f"{type(module).__name__} has no repeated blocks; component works")
    if any(m._compiled_call_impl is not None for m in module.modules()):
        raise InvalidInput("offload", mode, "doesn't go with compiled blocks; leave compile out")
    for owner in module.modules():  # what no file has is small, and stays on the device
        for leaf in owner._non_persistent_buffers_set:
            if (buffer := owner._buffers[leaf]) is not None:
                setattr(owner, leaf, buffer.to(device))
    return Offload(module, blocks, read=read, device=device, ahead=mode == "layers")


def drop_block(name: str, block: nn.Module) -> None:
    """Takes the weights of ``block`` to the meta device: for ``on_block`` of a load whose blocks are read again when they run."""
    _Part(block).empty()


class Offload:
    """A network whose weights come and go, made by `apply_offload`: within its ``with`` block they are there as its mode says."""

    def __init__(
        self,
        module: nn.Module,
        blocks: Mapping[str, Sequence[str]],
        *,
        read: Read | None,
        device: torch.device,
        ahead: bool,
    ) -> None:
        self._around = _Part(module, without={name for names in blocks.values() for name in names})
        self._blocks = [_Part(module.get_submodule(block), prefix=f"{block}.") for block in blocks]
        parts = [self._around, *self._blocks]
        self._read = read if read is not None else _HostWeights(parts, device)
        for part in parts:
            part.empty()
        self._depth = 0
        # one thread is enough: blocks are wanted one after another
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="offload") if ahead else None
        self._next: tuple[int, Future[_Fetched]] | None = None
        self._current: _Fetched | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._passed: list[_Fetched] = []
        module.register_forward_pre_hook(lambda *_: self._enter())
        module.register_forward_hook(lambda *_: self._leave(), always_call=True)
        for number, block in enumerate(blocks):
            submodule = module.get_submodule(block)
            submodule.register_forward_pre_hook(lambda *_, number=number: self._bring(number))
            submodule.register_forward_hook(lambda *_, number=number: self._take(number), always_call=True)

    def __enter__(self) -> Offload:
        self._enter()
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    # Out of inference mode, in which networks run: quantised tensors can't become parameters there.
    @torch.inference_mode(mode=False)
    def _enter(self) -> None:
        if self._depth == 0:
            self._around.fill(self._read(self._around.names))
        self._depth += 1
        self._fetch_ahead(0)

    def _leave(self) -> None:
        self._depth = max(0, self._depth - 1)  # a forward that couldn't begin is left all the same
        if self._depth:
            return
        if self._next is not None:
            wait([self._next[1]])
            self._next = None
        self._release_passed()
        self._around.empty()

    @torch.inference_mode(mode=False)
    def _bring(self, number: int) -> None:
        ahead, self._next = self._next, None
        fetched = ahead[1].result() if ahead is not None and ahead[0] == number else self._fetch(number)
        if fetched.arrived is not None:
            torch.cuda.current_stream().wait_event(fetched.arrived)
        self._blocks[number].fill(fetched.tensors)
        self._current = fetched
        self._fetch_ahead(number + 1)

    def _take(self, number: int) -> None:
        self._blocks[number].empty()
        fetched, self._current = self._current, None
        if fetched is not None and self._stream is not None:
            # the host runs ahead of the device, which may not even have begun with the block
            fetched.used = torch.cuda.Event()
            fetched.used.record()
            self._passed.append(fetched)

    def _fetch_ahead(self, number: int) -> None:
        if self._pool is not None and self._next is None and number < len(self._blocks):
            self._next = number, self._pool.submit(self._fetch, number)

    def _fetch(self, number: int) -> _Fetched:
        names = self._blocks[number].names
        if self._stream is None:
            return _Fetched(self._read(names))
        self._release_passed()
        with torch.cuda.stream(self._stream):
            tensors, arrived = self._read(names), torch.cuda.Event()
            arrived.record(self._stream)
        return _Fetched(tensors, arrived=arrived)

    def _release_passed(self) -> None:
        """Waits until the device is through with the blocks that ran, and lets their memory go."""
        while self._passed:
            fetched = self._passed.pop(0)
            if fetched.used is not None:
                fetched.used.synchronize()


@dataclass(eq=False)
class _Fetched:
    """A block's tensors; on a GPU also when they had arrived and when they were used."""

    tensors: Mapping[str, Tensor]
    arrived: torch.cuda.Event | None = None
    used: torch.cuda.Event | None = None


class _Part:
    """The weights of ``module`` but those in ``without``: where they belong, and what stands for them while they are away."""

    def __init__(self, module: nn.Module, *, prefix: str = "", without: Collection[str] = ()) -> None:
        found: dict[int, str] = {}
        self.tensors: dict[str, Tensor] = {}
        self._places: list[tuple[str, nn.Module, str]] = []
        for path, owner in module.named_modules():
            for leaf, tensor in {**owner._parameters, **owner._buffers}.items():
                name = f"{prefix}{path}{'.' if path else ''}{leaf}"
                if tensor is None or name in without or leaf in owner._non_persistent_buffers_set:
                    continue
                first = found.setdefault(id(tensor), name)  # tied weights stay one
                self.tensors.setdefault(first, tensor)
                self._places.append((first, owner, leaf))
        self.names = tuple(self.tensors)
        # of the same shape and dtype, for whoever asks an absent weight
        self._absent = {n: torch.empty(t.shape, dtype=t.dtype, device="meta") for n, t in self.tensors.items()}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts ``tensors`` in their places."""
        for name, owner, leaf in self._places:
            is_parameter = leaf in owner._parameters
            setattr(owner, leaf, nn.Parameter(tensors[name], requires_grad=False) if is_parameter else tensors[name])

    def empty(self) -> None:
        """Leaves nothing in their places."""
        self.tensors = {}
        self.fill(self._absent)


class _HostWeights:
    """Copies to ``device`` of the weights that ``parts`` have now, which stay where they are."""

    def __init__(self, parts: Sequence[_Part], device: torch.device) -> None:
        self._tensors = {name: tensor.detach() for part in parts for name, tensor in part.tensors.items()}
        self._device = device

    def __call__(self, names: Sequence[str]) -> dict[str, Tensor]:
        return {name: self._tensors[name].to(self._device, non_blocking=True) for name in names}
