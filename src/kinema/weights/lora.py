"""LoRA files in one form: our parameter's name -> what is to be added to it.

Read are the namings of diffusers and PEFT (``lora_A``, ``lora_B``), of kohya's trainers (``lora_unet_``, ``lora_down``,
``lora_up``, ``alpha``) and of the original models (``diffusion_model.``, fused projections), each with published or original
names of layers, and dense differences (``diff``, ``diff_b``). Fused projections are cut as the weights themselves are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.models.layers.low_rank import LowRank
from kinema.weights.files import LORA_ROLES, PICKLE_SUFFIXES
from kinema.weights.header import Piece, TensorInfo, read_header, read_metadata
from kinema.weights.keymaps import KeyMap, hunyuan_video, ltx, published, wan
from kinema.weights.tensors import TensorReader

Update = LowRank | Tensor
Shapes = Mapping[str, tuple[int, ...]]

# class of the network in model_index.json -> (its original key map, the original names of its layers)
_ORIGINAL: dict[str, tuple[KeyMap, Callable[[Shapes], set[str]]]] = {
    "HunyuanVideoTransformer3DModel": (hunyuan_video.transformer, hunyuan_video.layers),
    "WanTransformer3DModel": (wan.transformer, wan.layers),
    "LTXVideoTransformer3DModel": (ltx.transformer, ltx.layers),
}
_PREFIXES = ("base_model.model.", "model.", "diffusion_model.", "transformer.", "transformer_2.")
_FLAT_PREFIXES = ("lora_unet_", "lora_transformer_")


def read_lora(file: Path, shapes: Shapes, *, class_name: str, component: str = "transformer") -> dict[str, Update]:
    """The updates in ``file`` for a network whose parameters have these ``shapes``: low-rank ones, and tensors for dense ones.

    ``class_name`` is the network's in ``model_index.json``. Of a file for two experts, ``component`` says whose part is read.
    Raises: WeightsError for a pickle, a file that can't be read, a key that has no home in the network (naming it), one half
    of a pair, an adapter of another kind, numbers that aren't finite, or shapes of another model.
    """
    if file.suffix in PICKLE_SUFFIXES:
        raise WeightsError("lora", file, "pickle files can run code and are not read; convert it to safetensors")
    original, original_layers = _ORIGINAL.get(class_name, (published, lambda _: set()))
    own = {name.rpartition(".")[0] for name in shapes} | set(shapes)
    flat = {layer.replace(".", "_"): layer for layer in (*original_layers(shapes), *own)}
    layers: dict[str, dict[str, TensorInfo]] = {}
    for info in _part_of(read_header(file), component):
        layer, role = _parse(file, info.name, flat)
        if role in layers.setdefault(layer, {}):
            raise WeightsError("lora", file, f"{info.name}: its layer has another {role}")
        layers[layer][role] = info
    if not layers:
        raise WeightsError("lora", file, f"holds nothing for the {component}")
    scaling, updates = _read_scaling(file, component), {}
    with TensorReader() as reader:
        for layer, infos in layers.items():
            tensors = {role: _read(file, reader, info) for role, info in infos.items()}
            first = next(iter(infos.values())).name
            for name, update in _updates(
                file, layer, tensors, published if layer in own else original, scaling
            ).items():
                _check_home(file, first, name, update, shapes)
                updates[name] = update
    return updates


def parts_of(file: Path) -> tuple[str, ...]:
    """The networks that ``file`` itself names, if it is for two experts; else (). Raises: WeightsError."""
    names = [info.name for info in read_header(file)]
    if not any(name.startswith("transformer_2.") for name in names):
        return ()
    return tuple(n for n in ("transformer", "transformer_2") if any(name.startswith(f"{n}.") for name in names))


@dataclass(frozen=True, kw_only=True)
class _Scaling:
    """What a file says of the scale of layers that have no alpha of their own."""

    alpha: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    is_rank_stabilised: bool = False

    def of(self, layer: str, own: Tensor | None, rank: int) -> float:
        """Alpha over the rank, or over its root where the file says so; 1 without alpha."""
        alpha = self.alpha if own is None else float(own)
        if own is None:  # as with PEFT, a pattern is the end of a layer's name; it isn't taken for an expression here
            alpha = next((a for p, a in self.patterns.items() if f".{layer}".endswith(f".{p}")), alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.is_rank_stabilised else rank)


def _read_scaling(file: Path, component: str) -> _Scaling:
    """From what diffusers writes into a file's metadata. Raises: WeightsError."""
    text = read_metadata(file).get("lora_adapter_metadata", "{}")
    try:
        data: dict[str, Any] = json.loads(text)
        own = {k.removeprefix(f"{component}."): v for k, v in data.items() if k.startswith(f"{component}.")}
        alpha, patterns = own.get("lora_alpha"), own.get("alpha_pattern") or {}
        scaling = _Scaling(
            alpha=None if alpha is None else float(alpha),
            patterns={pattern: float(a) for pattern, a in patterns.items()},
            is_rank_stabilised=bool(own.get("use_rslora")),
        )
        if not all(map(math.isfinite, (scaling.alpha or 0.0, *scaling.patterns.values()))):
            raise ValueError("an alpha is NaN or infinity")
    except (ValueError, TypeError, AttributeError, RecursionError) as e:
        raise WeightsError("lora", file, f"has broken adapter metadata: {e}") from e
    if own.get("use_dora"):
        raise WeightsError("lora", file, "is a DoRA, which has magnitudes besides; only low-rank changes are read")
    return scaling


def _part_of(infos: Sequence[TensorInfo], component: str) -> list[TensorInfo]:
    """The tensors of ``component`` in a file that names two experts, else all."""
    if not any(info.name.startswith("transformer_2.") for info in infos):
        return list(infos)
    others = {"transformer.": "transformer", "transformer_2.": "transformer_2"}
    skipped = tuple(prefix for prefix, name in others.items() if name != component)
    return [info for info in infos if not info.name.startswith(skipped)]


def _parse(file: Path, key: str, flat: Mapping[str, str]) -> tuple[str, str]:
    """(layer, role) of a key. Raises: WeightsError."""
    end = next((end for end in LORA_ROLES if key.endswith(end)), None)
    if end is None:
        rule = f"{key} is of no kind that is read; low-rank pairs ({', '.join(LORA_ROLES)}) are"
        raise WeightsError("lora", file, rule)
    layer, role = key.removesuffix(end), LORA_ROLES[end]
    for prefix in _FLAT_PREFIXES:
        if layer.startswith(prefix):
            flattened = layer.removeprefix(prefix)
            if flattened not in flat:
                raise WeightsError("lora", file, f"{key} has no home in this model")
            return flat[flattened], role
    for prefix in _PREFIXES:
        layer = layer.removeprefix(prefix)
    return layer, role


def _read(file: Path, reader: TensorReader, info: TensorInfo) -> Tensor:
    tensor, is_finite = reader.read(Piece(info=info))
    if not is_finite:
        raise WeightsError("lora", file, f"{info.name} has NaN or infinity")
    return tensor


def _updates(
    file: Path, layer: str, tensors: Mapping[str, Tensor], key_map: KeyMap, scaling: _Scaling
) -> dict[str, Update]:
    """The updates of one ``layer``, by the names and in the pieces that ``key_map`` gives its weights."""
    updates: dict[str, Update] = {}
    down, up = tensors.get("down"), tensors.get("up")
    if (down is None) != (up is None) or (down is None and "alpha" in tensors):
        raise WeightsError("lora", file, f"{layer} has {' and '.join(tensors)} alone; up and down go together")
    alpha = tensors.get("alpha")
    if alpha is not None and alpha.numel() != 1:
        raise WeightsError("lora", file, f"{layer} has an alpha of {tuple(alpha.shape)}; must be one number")
    # what the changes would be as whole tensors: the key map cuts a bias as it cuts the weight beside it
    stands_alone = layer.rpartition(".")[2] in ("modulation", "scale_shift_table")
    names = {role: layer if stands_alone else f"{layer}.{role}" for role in ("weight", "bias")}
    infos = {names[r]: TensorInfo(names[r], "F32", tuple(tensors[r].shape), file, 0, 0) for r in names if r in tensors}
    if down is not None and up is not None:
        is_empty = 0 in (*down.shape, *up.shape)
        if is_empty or min(down.ndim, up.ndim) < 2 or down.shape[0] != up[0].numel():
            raise WeightsError("lora", file, f"{layer}: {tuple(up.shape)} times {tuple(down.shape)} is no product")
        if names["weight"] in infos:
            raise WeightsError("lora", file, f"{layer} has a low-rank and a dense change of the same weight")
        down, up = down.flatten(1), up.flatten(1)  # of a convolution
        shape = (up.shape[0], down.shape[1])
        infos[names["weight"]] = TensorInfo(names["weight"], "F32", shape, file, 0, 0)
    for name, piece in key_map(infos).items():
        if down is not None and up is not None and piece.info.name == names["weight"]:
            scale = scaling.of(layer, alpha, down.shape[0])
            updates[name] = LowRank(down=down, up=_rows(up, piece.rows), scale=scale)
        else:
            role = "weight" if piece.info.name == names["weight"] and "weight" in tensors else "bias"
            updates[name] = _rows(tensors[role], piece.rows)
    return updates


def _rows(tensor: Tensor, rows: tuple[tuple[int, int], ...]) -> Tensor:
    return torch.cat([tensor[start:stop] for start, stop in rows]) if rows else tensor


def _check_home(file: Path, key: str, name: str, update: Update, shapes: Shapes) -> None:
    """Raises: WeightsError unless there is a parameter ``name`` that ``update`` fits."""
    if name not in shapes:
        raise WeightsError("lora", file, f"{key} has no home in this model")
    shape, wanted = shapes[name], math.prod(shapes[name])
    if isinstance(update, LowRank):
        found: tuple[int, ...] = (update.up.shape[0], update.down.shape[1])
        fits = found[0] == shape[0] and math.prod(found) == wanted
    else:
        found = tuple(update.shape)
        fits = found in (shape, (*shape[1:],) if shape[:1] == (1,) else shape)
    if not fits:
        rule = f"{key} is for a weight of {found}, and {name} has {shape}: a LoRA for another model"
        raise WeightsError("lora", file, rule)
