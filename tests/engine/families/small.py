"""Requests and engines for small models of every family."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from kinema.core.blocks import BlockSizes
from kinema.core.media_ref import Keyframe
from kinema.core.placement import placements
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.weights.folder import ModelFolder

FAMILIES = ("experts", "first frame", "seen picture", "text", "picture", "ltx", "kinema")
WEIGHTS = "diffusion_pytorch_model.safetensors"


def request(name: str, keyframe: Keyframe, **fields: Any) -> GenerationRequest:
    """Five frames of 48x32 in two steps, with a picture where the family takes one."""
    guidance = 4.0 if name == "picture" else 1.0
    pictures = () if name in ("experts", "text") else (keyframe,)
    shape = {"frames": 9, "size": "96x64"} if name == "ltx" else {"frames": 5, "size": "48x32"}
    defaults: dict[str, Any] = {"prompt": "a red car", **shape, "steps": 2, "seed": 7}
    return GenerationRequest(**{**defaults, "keyframes": pictures, "guidance": guidance, **fields})


def engine_of(folder: Any, **settings: Any) -> Engine:
    return Engine(folder, dtype="float32", threads=1, **settings)


def large(model: ModelFolder) -> ModelFolder:
    """``model`` with a card that claims a hundred thousand times its transformer's parameters."""
    many = 10**5
    known = model.card.blocks
    sizes = {**known, "transformer": BlockSizes(**{k: many * v for k, v in asdict(known["transformer"]).items()})}
    counts = model.card.parameters
    parameters = {**counts, "transformer": many * counts["transformer"]}
    big = replace(model)
    big.__dict__["card"] = replace(model.card, parameters=parameters, blocks=sizes)
    return big


def peaks(model: ModelFolder, asked: GenerationRequest) -> dict[str, int]:
    """Peak bytes of the ways that aren't quantised."""
    ways = placements(model.card, model.card.shape(asked), RunPlan(guidance_mode="off"), is_guided=False)
    return {w.plan.offload: w.peak_bytes for w in ways if w.plan.quantise == "none"}
