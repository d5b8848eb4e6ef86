"""Everything that acts in a scene as solids over time: the subjects, and the ropes, flames and splashes that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.effects import effects
from kinema.world.kinds import subject_solids
from kinema.world.motion import poses
from kinema.world.pose import Pose
from kinema.world.scene import Scene
from kinema.world.solids import Solids, gather
from kinema.world.spray import Burst, bursts

EFFECT = -1  # the owner of what belongs to no subject


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The solids of subjects and effects at n moments, the subject that owns each (`EFFECT` for none), and water thrown up."""

    solids: Solids
    owners: tuple[int, ...]
    poses: tuple[Pose, ...]
    bursts: tuple[Burst, ...] = ()


def cast(scene: Scene, times_s: Float[Tensor, " n"]) -> Cast:
    """The `Cast` of an unflipped ``scene`` at ``times_s``."""
    held = poses(scene, times_s)
    parts, owners = [], []
    for number, (subject, pose) in enumerate(zip(scene.subjects, held, strict=True)):
        parts.append(subject_solids(subject, pose))
        owners += [number] * len(parts[-1].shapes)
    extra = effects(scene, times_s, held)
    if extra:
        parts.append(gather(extra))
        owners += [EFFECT] * len(extra)
    thrown = bursts(scene, times_s, held)
    return Cast(solids=beside(parts), owners=tuple(owners), poses=tuple(held), bursts=tuple(thrown))


def beside(parts: Sequence[Solids]) -> Solids:
    """All solids of ``parts``, which hold the same moments, as one."""
    if len(parts) == 1:
        return parts[0]
    return Solids(
        shapes=sum((p.shapes for p in parts), ()),
        patterns=sum((p.patterns for p in parts), ()),
        casts=sum((p.casts for p in parts), ()),
        gloss=sum((p.gloss for p in parts), ()),
        matrix=torch.cat([p.matrix for p in parts], 1),
        colour=torch.cat([p.colour for p in parts], 1),
        accent=torch.cat([p.accent for p in parts], 1),
    )
