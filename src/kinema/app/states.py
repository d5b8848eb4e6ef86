"""Checkpoints of a generation: its tensors and what they belong to, as one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kinema.core.errors import InvalidInput
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.engine.choose import current_isa
from kinema.engine.meter import RunMetrics
from kinema.engine.state import GenerationState

FORMAT = "2"


def state_to_bytes(state: GenerationState, *, owner: str) -> bytes:
    """The bytes of ``state``. ``owner`` names whose it is, so that no two owners' checkpoints are one file."""
    tensors = {"latents": state.latents, **{f"memory.{i}": t for i, t in enumerate(state.memory)}}
    facts = {
        "format": FORMAT,
        "owner": owner,
        "request": json.dumps(state.request.to_dict()),
        "plan": json.dumps(state.plan.to_dict()),
        "model_hash": state.model_hash,
        "step": str(state.step),
        "inputs": json.dumps(dict(state.inputs)),
        "spent": json.dumps(None if state.spent is None else asdict(state.spent)),
    }
    return save({name: t.contiguous() for name, t in tensors.items()}, metadata=facts)


def read_state(path: Path) -> GenerationState:
    """The state that `state_to_bytes` wrote, bit for bit. Raises: InvalidInput for what is none, or of another format."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        if (version := facts.get("format")) != FORMAT:
            raise InvalidInput("checkpoint", path.name, f"is of another version ({version}; this one reads {FORMAT})")
        spent = json.loads(facts.get("spent", "null"))
        return GenerationState(
            request=GenerationRequest.from_dict(json.loads(facts["request"])),
            plan=RunPlan.from_dict(json.loads(facts["plan"])),
            model_hash=facts["model_hash"],
            step=int(facts["step"]),
            latents=tensors.pop("latents"),
            memory=tuple(tensors[f"memory.{i}"] for i in range(len(tensors))),
            inputs=json.loads(facts["inputs"]),
            spent=spent and RunMetrics(**spent),
        )
    except OSError as e:
        rule = f"can't be read ({'a folder' if path.is_dir() else e.strerror or e})"
        raise InvalidInput("checkpoint", path.name or str(path), rule) from e
    except (SafetensorError, KeyError, TypeError, ValueError) as e:
        raise InvalidInput("checkpoint", path.name, "keeps no run, or is damaged") from e


def check_place(state: GenerationState, *, model_hash: str, device: str) -> None:
    """Raises: InvalidInput unless weights, device and its instructions are those of ``state``: elsewhere bits would differ."""
    if state.model_hash != model_hash:
        rule = f"was made with other weights, LoRAs or files of the transformer (these are {model_hash})"
        raise InvalidInput("checkpoint", state.model_hash, rule)
    for name, there, here in (
        ("the device", state.plan.device, device),
        ("a processor with instructions", state.plan.isa, current_isa(device)),
    ):
        if there != here:
            raise InvalidInput("checkpoint", there, f"was made on {name} {there}, and this is {here}")
