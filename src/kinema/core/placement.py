"""Where weights lie so that a run fits in memory: every way and its peak, and the fastest that fits. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.geometry import VideoShape
from kinema.core.memory import OFFLOADS, QUANTISATIONS, memory_by_phase
from kinema.core.plan import RunPlan


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A plan and its peak bytes by phase."""

    plan: RunPlan
    memory_bytes: dict[str, int]

    @property
    def phase(self) -> str:
        """The phase that needs most."""
        return max(self.memory_bytes, key=self.memory_bytes.__getitem__)

    @property
    def peak_bytes(self) -> int:
        """Bytes in that phase."""
        return self.memory_bytes[self.phase]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        names = {"offload": self.plan.offload, "quantise": self.plan.quantise}
        return {**names, "memory_bytes": dict(self.memory_bytes), "phase": self.phase, "peak_bytes": self.peak_bytes}

    def __str__(self) -> str:
        return (
            f"offload={self.plan.offload}, quantise={self.plan.quantise}: {self.peak_bytes / 1e9:.3g} GB ({self.phase})"
        )


def placements(
    card: ModelCard, video: VideoShape, plan: RunPlan, *, is_guided: bool, num_keyframes: int = 0
) -> list[Placement]:
    """Every placement with every quantisation that goes with it, all else as in ``plan``; unquantised ones first, faster ones first."""
    found = []
    for quantise in QUANTISATIONS:
        for offload in OFFLOADS:
            try:
                changed = replace(plan, quantise=quantise, offload=offload)
            except InvalidInput:  # the two don't go together on this device
                continue
            memory = memory_by_phase(card, video, changed, is_guided=is_guided, num_keyframes=num_keyframes)
            found.append(Placement(plan=changed, memory_bytes=memory))
    return found


def choose_placement(
    card: ModelCard,
    video: VideoShape,
    memory_bytes: int,
    *,
    plan: RunPlan,
    is_guided: bool,
    num_keyframes: int = 0,
) -> RunPlan:
    """``plan`` with the fastest ``offload`` that keeps the peak within ``memory_bytes`` of its device.

    Only what changes no bit is chosen: ``quantise`` stays, and is proposed where it would help.

    Raises: UnsupportedRequest if nothing fits, naming the fastest quantised plan that would, or else what the smallest one needs.
    """
    check_whole("memory_bytes", memory_bytes, least=1)
    every = placements(card, video, plan, is_guided=is_guided, num_keyframes=num_keyframes)
    mine = [p for p in every if p.plan.quantise == plan.quantise]
    fitting = next((p for p in mine if p.peak_bytes <= memory_bytes), None)
    if fitting is not None:
        return fitting.plan
    raise UnsupportedRequest("memory", f"{memory_bytes / 1e9:.3g} GB", _refusal(card, every, memory_bytes))


def _refusal(card: ModelCard, every: Sequence[Placement], memory_bytes: int) -> str:
    fitting = next((p for p in every if p.peak_bytes <= memory_bytes), None)
    if fitting is not None:
        return f"is too little for {card.name} with this plan's weights; what fits: {fitting}"
    cheapest = min(every, key=lambda p: p.peak_bytes)
    return f"is too little for {card.name} at this size and length; the cheapest plan: {cheapest}"
