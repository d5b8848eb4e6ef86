"""What requests come to, told without loading a model: the service's `Planner`. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kinema.app.clips import in_its_words
from kinema.app.prompts import PreparedPrompt, PromptPolicy, prepare_prompt
from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, RefusedContent, choices
from kinema.core.geometry import VideoShape
from kinema.core.placement import placements
from kinema.core.plan import Estimate, RunPlan, estimate
from kinema.core.request import GenerationRequest
from kinema.engine.choose import cache_file, known_choice
from kinema.engine.machine import num_cores
from kinema.engine.resolve import ResolvedRequest, default_plan, resolve
from kinema.prompt.rewrite import summary
from kinema.serve.api.planner import Planned
from kinema.weights.folder import open_model


class ModelPlanner:
    """Requests to ``models`` on ``device``. ``checks`` is what the content checks do when they object: block, warn or off.

    Raises: InvalidInput for a model that isn't there.
    """

    def __init__(self, models: Sequence[str], *, checks: str = "block", device: Literal["cpu", "cuda"] = "cpu") -> None:
        self.models: Mapping[str, ModelCard] = {name: open_model(name).card for name in models}
        self._checks, self._device = checks, device

    def resolve(self, request: GenerationRequest, *, rewrites: bool = True) -> Planned:
        """See `kinema.serve.api.planner.Planner`."""
        card = self._card(request)
        resolved, prepared = self._resolved(request, card, rewrites=rewrites)
        # FLOPs are the same by any plan
        cost = self._estimate(card, resolved, default_plan(resolved))
        filled = resolved.request
        video = resolved.video
        # networks that read pictures take one number of them in every row
        group = (video, resolved.steps, resolved.guidance, filled.guidance_2, len(resolved.keyframes))
        return Planned(
            request=filled,
            warnings=(*_about_prompt(prepared, card), *_about_shape(request, video)),
            shape=f"{video.width_px}x{video.height_px}x{video.frames}",
            steps=resolved.steps,
            cost=max(1.0, cost.total_flops),
            plan_key=" | ".join(map(str, group))[:200],
        )

    def dry_run(self, planned: Planned) -> dict[str, Any]:
        """See `kinema.serve.api.planner.Planner`; memory is this machine's, and not known of other devices."""
        card = self._card(planned.request)
        resolved = resolve(planned.request, card, model=planned.request.model)
        plan = self._plan(resolved)
        cost = self._estimate(card, resolved, plan)
        ways = placements(
            card, resolved.video, plan, is_guided=resolved.is_guided, num_keyframes=len(resolved.keyframes)
        )
        memory_bytes = _memory_bytes() if self._device == "cpu" else None
        return {
            "plan": plan.to_dict(),
            "estimate": cost.to_dict(),
            "placements": [way.to_dict() for way in ways],
            "memory_bytes": memory_bytes,
            "fits": None if memory_bytes is None else cost.peak_bytes <= memory_bytes,
        }

    def _card(self, request: GenerationRequest) -> ModelCard:
        if request.model not in self.models:
            raise InvalidInput("model", request.model, f"is not served here; {choices(self.models)}")
        return self.models[request.model]

    def _resolved(
        self, request: GenerationRequest, card: ModelCard, *, rewrites: bool
    ) -> tuple[ResolvedRequest, PreparedPrompt]:
        request = in_its_words(request, card)
        # what the model can't do is said before anything is done to the prompt
        card.check(request.replace(style=None) if "style" not in card.conditions else request)
        try:
            prepared = prepare_prompt(request, card, PromptPolicy(rewrites=rewrites, checks=self._checks))
        except RefusedContent as e:
            # the rest of the rule is for the command line
            raise RefusedContent(e.field, e.value, e.rule.partition("; --")[0]) from e
        return resolve(prepared.request, card, model=request.model), prepared

    def _plan(self, resolved: ResolvedRequest) -> RunPlan:
        choice = known_choice(cache_file())
        dtypes = {} if choice is None else {"dtype": choice.dtype, "vae_dtype": choice.vae_dtype, "isa": choice.isa}
        return default_plan(resolved, device=self._device, threads=num_cores(), **dtypes)

    def _estimate(self, card: ModelCard, resolved: ResolvedRequest, plan: RunPlan) -> Estimate:
        return estimate(
            card,
            resolved.video,
            steps=resolved.steps,
            is_guided=resolved.is_guided,
            plan=plan,
            num_keyframes=len(resolved.keyframes),
        )


def _about_prompt(prepared: PreparedPrompt, card: ModelCard) -> list[str]:
    lines = [f"prompt: the checks object: {f.meaning} ({', '.join(f.words)})" for f in prepared.findings]
    if prepared.rewritten.is_changed:
        changes = summary(prepared.rewritten.changes)
        told = f" ({changes})" if changes else ""
        lines.append(f"prompt: rewritten as: {prepared.rewritten.prompt}{told}; rewrite: false keeps your words")
    if prepared.unknown:
        lines.append(f"prompt: {card.name} was not trained on: {', '.join(prepared.unknown)}")
    if prepared.style_is_known is False:
        lines.append(f"style: {card.name} was not trained on {prepared.request.style}; its words were added")
    return lines


def _about_shape(asked: GenerationRequest, video: VideoShape) -> list[str]:
    lines = []
    if asked.seconds is not None and abs(asked.seconds - video.seconds) > 1e-6:
        lines.append(f"seconds: {asked.seconds:g} became {video.seconds:g}, which is {video.frames} frames")
    if asked.aspect_ratio is not None:
        width, height = (int(part) for part in asked.aspect_ratio.replace("：", ":").split(":"))
        if width * video.height_px != height * video.width_px:
            lines.append(f"aspect_ratio: {asked.aspect_ratio} became {video.width_px}x{video.height_px}, the nearest")
    return lines


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
