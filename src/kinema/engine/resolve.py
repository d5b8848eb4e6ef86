"""A request with every choice made, checked against the card before any tensor is read. No torch."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, UnsupportedRequest, choices
from kinema.core.geometry import LatentShape, VideoShape
from kinema.core.media_ref import Keyframe
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.prompt.normalise import normalise

# What this engine does with a request; a card may promise more to engines that come later.
CONDITIONS = ("keyframes", "camera", "motion")
_LATER = ("source", "references", "controls", "style", "audio")
_MAX_FRESH_SEED = 2**31
_GROUP = ("size or length", "steps", "guidance", "guidance_2")


@dataclass(frozen=True, kw_only=True)
class ResolvedRequest:
    """``request`` with seed, steps, guidance, frames, size and fps filled in, and the shapes that follow.

    The prompts are in the spelling that the model reads. ``is_guided``: a second evaluation without the prompt is needed.
    ``keyframes`` are by the latent frame that shows them.
    """

    request: GenerationRequest
    video: VideoShape
    latent: LatentShape
    seed: int
    steps: int
    guidance: float
    is_guided: bool
    keyframes: Mapping[int, Keyframe]

    @property
    def group(self) -> tuple[VideoShape, int, float, float | None]:
        """What requests must share to run as one batch."""
        return self.video, self.steps, self.guidance, self.request.guidance_2


def resolve(request: GenerationRequest, card: ModelCard, *, model: str) -> ResolvedRequest:
    """``request`` with the card's defaults and, without a seed, a fresh one. ``model`` is the name that the recipe will carry.

    Raises: UnsupportedRequest naming what the model can do.
    """
    video = card.check(request)
    _check_engine(request, card)
    seed = secrets.randbelow(_MAX_FRESH_SEED) if request.seed is None else request.seed
    steps = card.default_steps if request.steps is None else request.steps
    guidance = float(card.default_guidance if request.guidance is None else request.guidance)
    spelled = normalise if card.one_spelling else str
    filled = request.replace(
        prompt=spelled(request.prompt),
        negative_prompt=spelled(request.negative_prompt),
        seconds=None,
        frames=video.frames,
        size=f"{video.width_px}x{video.height_px}",
        aspect_ratio=None,
        fps=float(video.fps),
        seed=seed,
        steps=steps,
        guidance=guidance,
        guidance_2=_guidance_2(request, card),
        model=model,
    )
    return ResolvedRequest(
        request=filled,
        video=video,
        latent=card.compression.latent(video),
        seed=seed,
        steps=steps,
        guidance=guidance,
        is_guided=guidance != 1.0 and not card.embedded_guidance,
        keyframes=keyframe_places(filled, card, video),
    )


def keyframe_places(request: GenerationRequest, card: ModelCard, video: VideoShape) -> dict[int, Keyframe]:
    """Latent frame -> the keyframe that it shows. Raises: InvalidInput if two fall into the same latent frame."""
    places: dict[int, Keyframe] = {}
    for keyframe in request.keyframes:
        place = card.compression.latent_frame_of(_frame_at(keyframe.at_s, video))
        if place in places:
            span = card.compression.frames_of_latent(place)
            rule = (
                f"falls into frames {span.start} to {span.stop - 1} with {places[place].media}, which hold one picture"
            )
            raise InvalidInput("keyframes", f"{keyframe.media}@{keyframe.at_s:g}", f"{rule}; set them further apart")
        places[place] = keyframe
    return places


def default_plan(resolved: ResolvedRequest, **settings: object) -> RunPlan:
    """The plan with ``settings`` for ``resolved``: guided runs evaluate both prompts as one batch."""
    return RunPlan(**{"guidance_mode": "batched" if resolved.is_guided else "off", **settings})  # type: ignore[arg-type]


def check_group(requests: Sequence[ResolvedRequest]) -> None:
    """Raises: InvalidInput if ``requests`` can't run as one batch, naming what differs."""
    for other in requests[1:]:
        for name, mine, its in zip(_GROUP, requests[0].group, other.group, strict=True):
            if mine != its:
                raise InvalidInput("requests", name, f"must be one within a batch; it is {mine} and {its}")


def check_plan(plan: RunPlan, resolved: ResolvedRequest, card: ModelCard) -> None:
    """Raises: InvalidInput if ``plan`` can't serve ``resolved``, or the model can't follow it."""
    if plan.decode not in card.decodes:
        rule = f"is no way in which {card.name} decodes; must be {choices(card.decodes)}"
        raise InvalidInput("decode", plan.decode, rule)
    if resolved.is_guided and plan.guidance_mode == "off":
        raise InvalidInput(
            "guidance_mode", "off", f"guidance {resolved.guidance:g} needs batched or split; off goes with guidance 1"
        )


def _guidance_2(request: GenerationRequest, card: ModelCard) -> float | None:
    """Who asks for a guidance and names but one means it for both networks; so do the published pipelines."""
    if card.default_guidance_2 is None or request.guidance_2 is not None:
        return request.guidance_2
    return card.default_guidance_2 if request.guidance is None else request.guidance


def _frame_at(at_s: float, video: VideoShape) -> int:
    if at_s == -1:
        return video.frames - 1
    frame = round(at_s * video.fps) + (video.frames if at_s < 0 else 0)
    return min(max(frame, 0), video.frames - 1)


def _check_engine(request: GenerationRequest, card: ModelCard) -> None:
    is_said = (
        request.original_prompt is not None and "style" not in card.conditions
    )  # the style's words are in the prompt
    for name in _LATER:
        value = None if name == "style" and is_said else getattr(request, name)
        if value not in (None, (), "off"):
            raise UnsupportedRequest(
                name, value, f"this version's engine takes {', '.join(CONDITIONS)} besides the prompt"
            )
    if request.strength is not None:
        raise UnsupportedRequest(
            "strength", request.strength, "goes with a source, which this version's engine doesn't take"
        )
