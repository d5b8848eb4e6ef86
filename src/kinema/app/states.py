"""Checkpoints of a generation: its tensors and what they belong to, as one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kinema.core.errors import InvalidInput
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.engine.choose import current_isa
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
    }
    return save({name: t.contiguous() for name, t in tensors.items()}, metadata=facts)


def read_state(path: Path) -> GenerationState:
    """The state that `state_to_bytes` wrote, bit for bit. Raises: InvalidInput for what is none, or of another format."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        if facts.get("format") != FORMAT:
            raise InvalidInput(
                "checkpoint", path.name, f"is of another version ({facts.get('format')}; this one reads {FORMAT})"
            )
        return GenerationState(
            request=GenerationRequest.from_dict(json.loads(facts["request"])),
            plan=RunPlan.from_dict(json.loads(facts["plan"])),
            model_hash=facts["model_hash"],
            step=int(facts["step"]),
            latents=tensors.pop("latents"),
            memory=tuple(tensors[f"memory.{i}"] for i in range(len(tensors))),
            inputs=json.loads(facts["inputs"]),
        )
    except (SafetensorError, OSError, KeyError, ValueError) as e:
        raise InvalidInput("checkpoint", path.name, f"can't be read: {type(e).__name__}") from e


def check_place(state: GenerationState, *, model_hash: str, device: str) -> None:
    """Raises: InvalidInput unless weights, device and its instructions are those of ``state``: elsewhere bits would differ."""
    here = (model_hash, device, current_isa(device))
    there = (state.model_hash, state.plan.device, state.plan.isa)
    if here != there:
        raise InvalidInput("checkpoint", there, f"was made elsewhere; here it would be {here}")
