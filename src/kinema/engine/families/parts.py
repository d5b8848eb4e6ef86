"""`Parts`: a model's components by name, in memory or on their way there, as the plan says; LoRAs and quantising as they are loaded.

Where the plan leaves all in memory, `Parts` is a plain dict. Else the networks take turns: a family says which it is about to use
(`bring`), and those stay until others are brought. A transformer need not be named: it is brought when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from kinema.accel.compile import apply_compile
from kinema.accel.lora import apply_lora, attach_lora, merged
from kinema.accel.offload import Offload, Read, apply_offload
from kinema.accel.pack import PackedLinear, apply_pack, apply_unpacked
from kinema.accel.quantise import quantize_block
from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.weights.build import component_pieces, empty_component, load_component
from kinema.weights.families.facts import STREAMED_ENCODERS
from kinema.weights.folder import ModelFolder
from kinema.weights.lora import Update, parts_of, read_lora
from kinema.weights.stream import BlockReader
from kinema.weights.transformers_parts import empty_encoder

# what one file adds to one network, by our parameters' names, and how much of it
Change = tuple[Mapping[str, Update], float]
# called with a block's name and the block
OnBlock = Callable[[str, nn.Module], object]


class Parts(dict[str, Any]):
    """Components by name: networks, tokenizers, image processors."""

    def __init__(self) -> None:
        super().__init__()
        self._away: dict[str, Offload] = {}
        self._here: set[str] = set()

    def put(self, name: str, part: Any, offload: Offload | None = None) -> None:
        """Adds ``part``, whose weights come and go by ``offload``, if any."""
        self[name] = part
        if offload is not None:
            self._away[name] = offload
            part.register_forward_pre_hook(lambda *_: self._called(name), prepend=True)

    def bring(self, *names: str) -> None:
        """Has the weights of these in memory, and of no others that take turns."""
        for other in sorted(self._here.difference(names)):
            self._here.remove(other)
            self._away[other].__exit__()
        for name in names:
            if name in self._away and name not in self._here:
                self._away[name].__enter__()
                self._here.add(name)

    def bring_for(self, name: str, make: Callable[[], Iterator[Tensor]]) -> Iterator[Tensor]:
        """The chunks that ``make`` begins; ``name`` is brought before each: between them other runs may go on."""
        self.bring(name)
        chunks = make()
        while (chunk := next(chunks, None)) is not None:
            yield chunk
            self.bring(name)

    def num_bytes(self) -> int:
        """Bytes of all weights that are in memory now."""
        networks = nn.ModuleList(part for part in self.values() if isinstance(part, nn.Module))
        packed = sum(layer.num_bytes for layer in networks.modules() if isinstance(layer, PackedLinear))
        return packed + sum(_num_bytes(t) for t in (*networks.parameters(), *networks.buffers()) if not t.is_meta)

    def _called(self, name: str) -> None:
        if name not in self._here:
            self.bring(name)


def make_parts(
    folder: ModelFolder,
    plan: RunPlan,
    clock: RunClock,
    others: Mapping[str, Callable[[str], Any]] | None = None,
) -> Parts:
    """The components of ``folder`` but its scheduler, under ``plan``: Kinema's own networks, and what ``others`` make of a device.

    Of ``others``, by component, those that are networks as well take turns like all. Transformers on a CPU are packed.
    Raises: WeightsError, for a network of Kinema's whose files lack a tensor before any is read; MissingPackage; Cancelled
    between components.
    """
    names, others = [name for name in folder.components if name != "scheduler"], others or {}
    clock.start("load", len(names))
    networks, parts = _Networks(folder, plan), Parts()
    with ExitStack() as stack:
        if plan.offload != "none" or plan.quantise != "none":
            # what is filled again and again, or quantised, must be plain tensors
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.no_grad())
        # what doesn't fit shows soonest in files from elsewhere
        names.sort(key=lambda n: n not in folder.replaced)
        networks.prepare([name for name in names if name not in others])
        for step, name in enumerate(names):
            parts.put(name, *(networks.other(name, others[name]) if name in others else networks.own(name)))
            clock.done("load", step + 1)
    return parts


class _Networks:
    """Makes the networks of ``folder`` as ``plan`` wants them. Raises: WeightsError, UnsupportedRequest before any is read."""

    def __init__(self, folder: ModelFolder, plan: RunPlan) -> None:
        self._folder, self._plan = folder, plan
        self._device = torch.device(plan.device)
        self._changes = read_loras(folder)
        self._empty: dict[str, nn.Module] = {}
        self._is_packed = plan.device == "cpu" and plan.quantise == "none" and not plan.compile
        # what happens to a transformer's blocks as each is loaded: of a file that is mapped the whole stays while any part does
        self._on_block: OnBlock | None = None
        if plan.quantise != "none":
            self._on_block = quantize_block(plan.quantise)
        elif self._is_packed and plan.offload == "none":
            self._on_block = lambda _, block: apply_pack(block)
        # else weights wait in the host's memory for their turn on the device
        self._from_file = plan.device == "cpu" or plan.offload == "disk"

    def prepare(self, names: Sequence[str]) -> None:
        """Builds Kinema's own without weights: what files lack shows before gigabytes are read. Raises: WeightsError."""
        self._empty = {name: empty_component(self._folder, name, dtype=self._dtype(name)) for name in names}

    def own(self, name: str) -> tuple[nn.Module, Offload | None]:
        """(a network of Kinema's that was prepared, what brings its weights)."""
        network, offload = self._own(name)
        if self._is_packed and _is_transformer(name):
            # where weights lie changes no bit
            (apply_pack if offload is None else apply_unpacked)(network)
        return network, offload

    def _own(self, name: str) -> tuple[nn.Module, Offload | None]:
        mode = self._plan.offload if _is_transformer(name) or self._plan.offload == "none" else "component"
        changes, empty = self._changes.pop(name, []), self._empty.pop(name)
        if mode == "none":
            network = self._whole(name, self._device, changes, empty)
            return apply_compile(network) if self._plan.compile and _is_transformer(name) else network, None
        if not self._from_file:
            network = self._whole(name, torch.device("cpu"), changes, empty)
            return network, apply_offload(network, mode, device=self._device)
        # what is attached stays in memory; the rest is added whenever weights come
        changes = [(self._attached(empty, updates, scale), scale) for updates, scale in changes]
        if mode == "component":
            return empty, self._offload(empty, _Again(lambda: self._whole(name, self._device, changes)))
        read = self._block_reader(name, empty, changes)
        return empty, apply_offload(empty, mode, device=self._device, read=read)

    def other(self, name: str, load: Callable[[str], Any]) -> tuple[Any, Offload | None]:
        """(what ``load`` makes on a device, what brings its weights if it is a network that takes turns)."""
        waits, mode = self._plan.offload != "none", self._plan.offload
        if mode in ("layers", "disk") and self._from_file and self._folder.class_name(name) in STREAMED_ENCODERS:
            network, pieces = empty_encoder(self._folder, name, dtype=self._dtype(name))
            read = BlockReader(pieces, dtype=self._dtype(name), device=self._device, checks=True)
            return network, apply_offload(network, mode, device=self._device, read=read)
        part = load("cpu" if waits and not self._from_file else self._plan.device)
        if not waits or not isinstance(part, nn.Module):
            return part, None
        if not self._from_file:
            return part, apply_offload(part, "component", device=self._device)
        # it is needed next: what is there now serves the first time
        return part, self._offload(part, _Again(lambda: load(self._plan.device), first=_tensors(part)))

    def _offload(self, network: nn.Module, read: Read) -> Offload:
        return apply_offload(network, "component", device=self._device, read=read)

    def _attached(self, module: nn.Module, updates: Mapping[str, Update], scale: float) -> Mapping[str, Update]:
        """Those of ``updates`` that remain to be added to the weights of ``module``."""
        return attach_lora(module, updates, scale=scale) if self._plan.lora_mode == "attached" else updates

    def _whole(
        self, name: str, device: torch.device, changes: Sequence[Change], empty: nn.Module | None = None
    ) -> nn.Module:
        """The network with all of its weights, ``empty`` if given; quantised on the host, so that it has the same bits anywhere."""
        dtype, act = self._dtype(name), self._on_block if _is_transformer(name) else None
        if act is None and not changes:
            return load_component(self._folder, name, dtype=dtype, device=device, empty=empty)

        def finish(block: str, module: nn.Module) -> None:
            for updates, scale in changes:
                apply_lora(module, self._attached(module, _below(block, updates), scale), scale=scale)
            if act is not None:
                act(block, module)

        where = device if act is None else torch.device("cpu")
        network = load_component(self._folder, name, dtype=dtype, device=where, on_block=finish, empty=empty)
        return network.to(device)

    def _block_reader(self, name: str, network: nn.Module, changes: Sequence[Change]) -> Read:
        read = BlockReader(
            component_pieces(self._folder, name)[1],
            dtype=self._dtype(name),
            device=self._device,
            fp32_parts=getattr(network, "fp32_parts", frozenset()),
            checks=True,
        )
        if not any(updates for updates, _ in changes):
            return read

        def changed(names: Sequence[str]) -> Mapping[str, Tensor]:
            tensors = dict(read(names))
            for updates, scale in changes:
                for name in names:
                    if name in updates:  # one after another, so that no more than one is there twice
                        tensors[name] = merged(tensors[name], updates[name], scale)
            return tensors

        return changed

    def _dtype(self, name: str) -> torch.dtype:
        return getattr(torch, self._plan.vae_dtype if name == "vae" else self._plan.dtype)


def read_loras(folder: ModelFolder) -> dict[str, list[Change]]:
    """Component -> what each of the folder's LoRAs adds to it, in their order. Raises: WeightsError for one of another model."""
    found: dict[str, list[Change]] = {}
    for lora in folder.loras:
        # a file that names both experts is for both
        for component in parts_of(lora.file) or (lora.component,):
            shapes = {name: info.shape for name, info in folder.weights(component).items()}
            class_name = folder.class_name(component)
            updates = read_lora(lora.file, shapes, class_name=class_name, component=component)
            found.setdefault(component, []).append((updates, lora.scale))
    return found


def _num_bytes(tensor: Any) -> int:
    """Bytes that ``tensor`` takes; one that is quantised says what it would take if it weren't."""
    if not is_traceable_wrapper_subclass(tensor):
        return tensor.nbytes
    return sum(_num_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])


class _Again:
    """Reads by loading the whole network once more; ``first`` is what is there already."""

    def __init__(self, load: Callable[[], nn.Module], *, first: dict[str, Tensor] | None = None) -> None:
        self._load, self._first = load, first

    def __call__(self, names: Sequence[str]) -> dict[str, Tensor]:
        first, self._first = self._first, None
        tensors = first or _tensors(self._load())
        return {name: tensors[name] for name in names}


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    named = (*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


def _below(block: str, updates: Mapping[str, Update]) -> dict[str, Update]:
    """Those of ``updates`` whose parameters are in ``block``, by their names there; "" has the network's own."""
    if not block:
        return {name: update for name, update in updates.items() if "." not in name}
    start = f"{block}."
    return {n.removeprefix(start): update for n, update in updates.items() if n.startswith(start)}


def _is_transformer(name: str) -> bool:
    return name.startswith("transformer")
