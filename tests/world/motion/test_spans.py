from __future__ import annotations

import pytest
import torch

from kinema.world.camera import scene_camera
from kinema.world.motion import layout_homes, pair_fits, poses, span_of, view_span
from kinema.world.motion.constants import half_width, tall
from kinema.world.scene import CAMERA_NAMES, Scene, Subject
from kinema.world.view import View
from tests.world.motion.scenes import every, one, two

CLIP = torch.arange(17, dtype=torch.float64) / 8


@pytest.mark.parametrize("camera", CAMERA_NAMES)
def test_everything_stays_in_the_narrowest_picture(camera: str) -> None:
    for scene in every(camera):
        if scene.subject.action in ("collide", "knock_over") and not pair_fits(scene):
            continue  # for the sampler to avoid
        view = View.of([scene_camera(scene, CLIP)], height_px=100, width_px=100)
        for number, subject in enumerate(scene.subjects):
            if camera == "tracking" and number > 0:
                continue  # the camera leaves it behind
            assert _visible(scene, number, view) > 0.68, (subject, camera)


def _visible(scene: Scene, number: int, view: View) -> float:
    """The least share of a subject's width and height that the picture shows."""
    subject, pose = scene.subjects[number], poses(scene, CLIP)[number]
    high, wide = tall(subject), 0.85 * half_width(subject)
    is_down = (pose.tip > 0.3) & (subject.kind != "cylinder")
    ahead = is_down * (pose.tip.sin() * high * 0.5 + 0.2) * pose.yaw.cos()
    middle = torch.stack(
        [
            pose.x - pose.roll.sin() * high / 2 + ahead,
            pose.y + pose.roll.cos() * high / 2 - is_down * high * 0.25,
            pose.z,
        ],
        -1,
    )
    seen = (view.axes * (middle - view.position)[:, None, :]).sum(-1)
    scale = view.focal_px / seen[:, 2] / 50
    shares = [_share(seen[:, axis] * scale, half * scale) for axis, half in ((0, wide), (1, high / 2))]
    return float((shares[0] * shares[1]).min())


def _share(centre: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    return ((centre + half).clamp(max=1) - (centre - half).clamp(min=-1)).clamp(min=0) / (2 * half)


def test_the_view_widens_with_the_number_of_subjects() -> None:
    alone, pair = one("ball", "roll"), two("ball", "collide", "cube")
    several = Scene(
        subjects=(alone.subject, Subject(kind="cat", colour="blue", action="stand", z=-1.2)), place="park", time="day"
    )
    assert view_span(alone) < view_span(several) < view_span(pair)


def test_spans_hold_all_that_a_subject_does() -> None:
    (span,) = span_of(one("tower", "topple"))
    assert span.high_x - span.low_x > 1.4
    (span,) = span_of(one("person", "walk", x=0.2))
    assert span.low_x < -0.5 + 0.2
    assert span.high_x > 0.5 + 0.2
    (far,) = span_of(one("person", "walk", camera="tracking"))
    assert far.high_x - far.low_x > 3


@pytest.mark.parametrize(
    "kinds, actions",
    [
        (("cat", "ball"), ("stand", "jump")),
        (("cat", "house"), ("walk", "stand")),
        (("ball", "cube", "cone"), ("stand", "stand", "spin")),
        (("ball", "person", "puppy"), ("roll", "wave", "stand")),
        (("tower", "tree"), ("topple", "sway")),
        (("lorry", "train"), ("walk", "walk")),
        (("horse", "castle", "robot"), ("stand", "stand", "walk")),
    ],
)
def test_subjects_at_the_suggested_homes_never_meet(kinds: tuple[str, ...], actions: tuple[str, ...]) -> None:
    sizes = [1.0] * len(kinds)
    homes = layout_homes(kinds, actions, sizes)
    subjects = tuple(
        Subject(kind=k, colour="red", action=a, x=x, z=z) for k, a, (x, z) in zip(kinds, actions, homes, strict=True)
    )
    scene = Scene(subjects=subjects, place="park", time="day")
    spans = span_of(scene)
    for i, one_ in enumerate(spans):
        assert not any(one_.meets(other) for other in spans[:i]), (homes, spans)


def test_one_that_walks_stops_before_one_that_stands_in_its_way() -> None:
    walker = Subject(kind="person", colour="red", action="walk", x=-0.5)
    block = Subject(kind="cube", colour="blue", action="stand", x=0.7)
    spans = span_of(Scene(subjects=(walker, block), place="park", time="day"))
    assert spans[0].high_x <= spans[1].low_x + 0.05
