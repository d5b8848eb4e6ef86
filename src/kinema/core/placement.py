"""Where weights lie so that a run fits in memory: every way and its peak, and the fastest that fits. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.geometry import VideoShape
from kinema.core.memory import OFFLOADS, QUANTISATIONS, host_bytes, memory_by_phase
from kinema.core.plan import RunPlan

# the offload of whoever leaves the choice to the arithmetic
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A plan and its peak bytes by phase; ``host_bytes`` are those of the host beside a GPU."""

    plan: RunPlan
    memory_bytes: dict[str, int]
    host_bytes: int = 0

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
        peak = {"phase": self.phase, "peak_bytes": self.peak_bytes, "host_bytes": self.host_bytes}
        return {**names, "memory_bytes": dict(self.memory_bytes), **peak}

    def fits(self, memory_bytes: int, host_memory_bytes: int | None = None) -> bool:
        """Whether neither the device's nor the host's memory is too small; None: it isn't known, or is the device's."""
        is_known = host_memory_bytes is not None and self.host_bytes
        return self.peak_bytes <= memory_bytes and not (is_known and self.host_bytes > (host_memory_bytes or 0))

    def __str__(self) -> str:
        size = f"{self.peak_bytes / 1e9:.3g} GB ({self.phase})"
        host = f" and {self.host_bytes / 1e9:.3g} GB of the host's" if self.host_bytes else ""
        decode = "" if self.plan.decode == "default" else f"decode={self.plan.decode}, "
        return f"{decode}offload={self.plan.offload}, quantise={self.plan.quantise}: {size}{host}"


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
            found.append(Placement(plan=changed, memory_bytes=memory, host_bytes=host_bytes(card, changed)))
    return found


def choose_placement(
    card: ModelCard,
    video: VideoShape,
    memory_bytes: int,
    *,
    plan: RunPlan,
    is_guided: bool,
    num_keyframes: int = 0,
    offload: str = AUTO,
    host_memory_bytes: int | None = None,
) -> RunPlan:
    """``plan`` with the fastest ``offload`` that keeps the peak within ``memory_bytes`` of its device, and the host's within its own.

    Only what changes no bit is chosen: ``quantise`` and ``decode`` stay, and others are proposed where they would help. An ``offload``
    other than "auto" is the only one that is looked at.

    Raises: UnsupportedRequest if nothing fits, naming the fastest plan that would, or else what the smallest one needs.
    """
    check_whole("memory_bytes", memory_bytes, least=1)
    every = placements(card, video, plan, is_guided=is_guided, num_keyframes=num_keyframes)
    fitting = [p for p in every if p.fits(memory_bytes, host_memory_bytes)]
    for placement in fitting:
        if placement.plan.quantise == plan.quantise and offload in (AUTO, placement.plan.offload):
            return placement.plan
    if not fitting:  # other decodes change pixels, if by little: they are proposed
        others = [replace(plan, decode=decode) for decode in card.decodes if decode != plan.decode]
        every += [
            p for o in others for p in placements(card, video, o, is_guided=is_guided, num_keyframes=num_keyframes)
        ]
        fitting = [p for p in every if p.fits(memory_bytes, host_memory_bytes)]
    given = f"{memory_bytes / 1e9:.3g} GB"
    if plan.device != "cpu" and host_memory_bytes is not None:
        given += f" and {host_memory_bytes / 1e9:.3g} GB of the host's"
    raise UnsupportedRequest("memory", given, _refusal(card, every, fitting, offload))


def _refusal(card: ModelCard, every: Sequence[Placement], fitting: Sequence[Placement], offload: str) -> str:
    if fitting:
        way = "with this plan" if offload == AUTO else f"with offload={offload}"
        return f"is too little for {card.name} {way}; what fits: {fitting[0]}"
    cheapest = min(every, key=lambda p: p.peak_bytes)
    return f"is too little for {card.name} at this size and length; the cheapest plan: {cheapest}"
