"""All kinds as solids: `subject_solids`, and what motion must know of their build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import compose, rotate, scale, translate
from kinema.world.kinds import animals, buildings, landscapes, objects, people, plants, vehicles
from kinema.world.kinds.body import Body
from kinema.world.nature import KINDS
from kinema.world.pose import Pose
from kinema.world.scene import Subject
from kinema.world.solids import Solid, Solids, gather

BUILD: dict[str, Callable[[Body], list[Solid]]] = {
    "person": people.person,
    "robot": people.robot,
    "astronaut": people.astronaut,
    "puppy": animals.puppy,
    "cat": animals.cat,
    "rabbit": animals.rabbit,
    "bird": animals.bird,
    "duck": animals.duck,
    "penguin": animals.penguin,
    "horse": animals.horse,
    "fish": animals.fish,
    "tree": plants.tree,
    "flower": plants.flower,
    "cactus": plants.cactus,
    "mushroom": plants.mushroom,
    "grass": plants.grass,
    "cliff": landscapes.cliff,
    "iceberg": landscapes.iceberg,
    "volcano": landscapes.volcano,
    "car": vehicles.car,
    "lorry": vehicles.lorry,
    "train": vehicles.train,
    "boat": vehicles.boat,
    "aeroplane": vehicles.aeroplane,
    "balloon": vehicles.balloon,
    "rocket": vehicles.rocket,
    "ball": objects.ball,
    "cube": objects.cube,
    "cylinder": objects.cylinder,
    "cone": objects.cone_,
    "ring": objects.ring_,
    "cup": objects.cup,
    "lantern": objects.lantern,
    "kite": objects.kite,
    "house": buildings.house,
    "tower": buildings.tower,
    "lighthouse": buildings.lighthouse,
    "castle": buildings.castle,
    "windmill": buildings.windmill,
}
# All kinds fill about the same part of the picture; 1 where it isn't said.
SCALE: dict[str, float] = dict.fromkeys(KINDS, 1.0) | {"person": 1.1, "bird": 1.05, "cube": 1.02}
# The radius on which each kind rolls, in own units: `Pose.turned` is the way divided by it (and by the subject's size).
ROLL_RADIUS: dict[str, float] = {
    "car": vehicles.CAR_WHEEL,
    "lorry": vehicles.LORRY_WHEEL,
    "train": vehicles.TRAIN_WHEEL,
    "aeroplane": vehicles.PLANE_WHEEL,
    "ball": objects.BALL_RADIUS,
    "cylinder": objects.CYLINDER_RADIUS,
    "ring": objects.RING_RADIUS,
}
# The front edge of the foot of what topples, in own units ahead of its middle: `Pose.tip` turns about it.
FRONT_EDGE: dict[str, float] = {
    "robot": 0.13,
    "tree": 0.115,
    "cactus": 0.15,
    "rocket": 0.26,
    "cube": 0.40,
    "cylinder": objects.CYLINDER_RADIUS,
    "cone": 0.42,
    "cup": 0.38,
    "tower": 0.25,
}
_FOOT_EDGE = 0.2


def subject_size(subject: Subject) -> float:
    """World units per own unit of ``subject``."""
    return subject.size * SCALE[subject.kind]


def subject_solids(subject: Subject, pose: Pose) -> Solids:
    """``subject`` of an unflipped scene as solids in world space, at the moments of ``pose``."""
    size = subject_size(subject)
    near = 1.0 if subject.direction == "right" else -1.0
    parts = BUILD[subject.kind](Body(colour=subject.colour, material=subject.material, size=size, near=near, pose=pose))
    solids = gather([replace(part, matrix=part.matrix.expand(len(pose.x), 3, 4)) for part in parts])
    return replace(solids, matrix=compose(placement(subject, pose)[:, None], solids.matrix))


def placement(subject: Subject, pose: Pose) -> Float[Tensor, "n 3 4"]:
    """The map from ``subject``'s own axes to the world. Squashing keeps the volume."""
    size, front = subject_size(subject), FRONT_EDGE.get(subject.kind, _FOOT_EDGE)
    wide = size / pose.squash.sqrt()
    edge = front * wide
    return compose(
        translate(pose.x, pose.y, pose.z),
        rotate("z", pose.roll),
        rotate("y", pose.yaw),
        translate(edge, 0.0, 0.0),
        rotate("z", -pose.tip),
        translate(-edge, 0.0, 0.0),
        scale(wide, size * pose.squash, wide),
    )
