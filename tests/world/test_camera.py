from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.world.camera import (
    ALIASES,
    CAMERA_FEATURE_NAMES,
    CAMERA_FEATURES,
    CAMERAS,
    camera_features,
    camera_path,
    frame_times,
    scene_camera,
)
from kinema.world.motion import poses
from kinema.world.motion.constants import TARGET_HEIGHT, VIEW_SPAN
from kinema.world.scene import CAMERA_NAMES
from tests.world.scenes import make, pair, three

TIMES = frame_times(17, 8)
POINT = torch.tensor([0.0, TARGET_HEIGHT, 0.0], dtype=torch.float64)  # what the camera looks at
BEHIND = torch.tensor([0.0, TARGET_HEIGHT, -6.0], dtype=torch.float64)
NEVER_STILL = ("handheld", "tracking")  # the one trembles on, the other goes with its subject
# class -> what changes from the first frame to the last, and its sign, as `CAMERAS` tells it; all else stays zero.
# Around, the camera goes to its side and ahead on a circle (x, z), and turns the other way to keep looking at the subject.
CHANGES: dict[str, dict[str, int]] = {
    "static": {},
    "zoom_in": {"log_zoom": 1},
    "zoom_out": {"log_zoom": -1},
    "pan_up": {"y": 1},
    "pan_down": {"y": -1},
    "pan_left": {"x": -1},
    "pan_right": {"x": 1},
    "tilt_up": {"pitch": 1},
    "tilt_down": {"pitch": -1},
    "tilt_left": {"yaw": 1},
    "tilt_right": {"yaw": -1},
    "around_left": {"x": -1, "yaw": -1, "z": 1},
    "around_right": {"x": 1, "yaw": 1, "z": 1},
    "push_in": {"z": 1},
    "pull_out": {"z": -1},
}


def _on_screen(name: str, point: Tensor) -> Tensor:
    """(t, 2) slopes times zoom: right and up."""
    path = camera_path(name, times_s=TIMES)
    seen = (path.axes * (point - path.position)[:, None]).sum(-1)
    return seen[:, :2] / seen[:, 2:] * path.zoom[:, None]


def test_every_class_has_its_convention_stated() -> None:
    assert tuple(CAMERAS) == CAMERA_NAMES
    assert {*CHANGES, *NEVER_STILL} == set(CAMERA_NAMES)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("elevation_deg", [0.0, 6.0, 25.0])
def test_a_class_changes_what_its_convention_says_and_nothing_else(name: str, elevation_deg: float) -> None:
    # Panning up and tilting go along the picture's or the world's axes, which are one at no elevation.
    level = (
        0.0
        if name in ("pan_up", "pan_down", "tilt_left", "tilt_right", "around_left", "around_right")
        else elevation_deg
    )
    features = camera_features(name, range(17), elevation_deg=level)
    for column, feature in enumerate(CAMERA_FEATURE_NAMES):
        sign = CHANGES[name].get(feature, 0)
        steps = features[1:, column] - features[:-1, column]
        if sign and not (name.startswith("around") and feature == "z"):
            assert (sign * steps > 1e-4).all(), feature
            assert sign * features[-1, column] > 0.05, feature
        elif sign:
            assert features[-1, column] > 0.2
        else:
            assert float(features[:, column].abs().max()) < 1e-6, feature


@pytest.mark.parametrize(
    "name, axis, sign, parallax",
    [
        ("pan_left", 0, 1, True), ("pan_right", 0, -1, True), ("pan_up", 1, -1, True), ("pan_down", 1, 1, True),
        ("tilt_left", 0, 1, False), ("tilt_right", 0, -1, False), ("tilt_up", 1, -1, False), ("tilt_down", 1, 1, False),
    ],
)  # fmt: skip
def test_the_picture_moves_against_the_camera_and_only_a_pan_has_parallax(
    name: str, axis: int, sign: int, parallax: bool
) -> None:
    near, far = (sign * (s[-1, axis] - s[0, axis]) for s in (_on_screen(name, POINT), _on_screen(name, BEHIND)))
    assert near > 0
    assert far > 0
    assert (near > 1.5 * far) == parallax
    assert (abs(near - far) < 0.02 * near) == (not parallax)


@pytest.mark.parametrize(
    "name, sign, parallax",
    [("zoom_in", 1, False), ("zoom_out", -1, False), ("push_in", 1, True), ("pull_out", -1, True)],
)
def test_zooming_and_pushing_in_make_things_grow_and_only_a_push_has_parallax(
    name: str, sign: int, parallax: bool
) -> None:
    aside = torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64)
    near, far = (_on_screen(name, p + aside)[:, 0] for p in (POINT, BEHIND))
    growth = [math.log(float(s[-1] / s[0])) * sign for s in (near, far)]
    assert growth[0] > 0.2
    assert (growth[0] > 1.5 * growth[1]) == parallax
    assert math.isclose(growth[0], growth[1]) == (not parallax)


@pytest.mark.parametrize("name, sign", [("around_left", -1), ("around_right", 1)])
def test_going_around_keeps_the_subject_in_the_middle_at_one_distance(name: str, sign: int) -> None:
    path = camera_path(name, times_s=TIMES)
    assert torch.allclose(_on_screen(name, POINT), torch.zeros(1, dtype=torch.float64), atol=1e-12)
    distance = torch.tensor(path.distance, dtype=torch.float64)
    assert torch.allclose((path.position - POINT).norm(dim=-1), distance)
    # Seen from above, the camera's own left is where it goes; the background moves the same way on the picture.
    way = ((path.position[1:] - path.position[:-1]) * path.axes[:-1, 0]).sum(-1)
    assert (sign * way > 0).all()
    background = _on_screen(name, BEHIND)[:, 0]
    assert (sign * (background[1:] - background[:-1]) > 0).all()


def test_a_hand_trembles_in_place_and_angle_but_never_rolls_or_drifts_away() -> None:
    features = camera_features("handheld", range(200), fps=25)
    spread = dict(zip(CAMERA_FEATURE_NAMES, features.std(0).tolist(), strict=True))
    assert all(spread[name] > 1e-3 for name in ("yaw", "pitch", "x", "y"))
    assert spread["roll"] < 2e-3  # what turning aside does to a camera that looks down
    assert spread["log_zoom"] == 0
    assert float(features.abs().max()) < 0.1


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("kind, action", [("puppy", "walk"), ("ball", "roll"), ("horse", "run"), ("cube", "slide")])
def test_tracking_goes_with_the_subject(kind: str, action: str, direction: str) -> None:
    scene = make(kind, action, camera="tracking", direction=direction)
    path, followed = scene_camera(scene, TIMES), poses(scene, TIMES)[0]
    moved = path.position - path.position[0]
    assert torch.allclose(moved[:, 0], followed.x - followed.x[0])
    assert (moved[:, 1:] == 0).all()
    assert (path.axes == path.axes[0]).all()
    assert float(moved[:, 0].abs().max()) > 0.8
    sign = 1.0 if direction == "right" else -1.0
    assert float(sign * moved[moved[:, 0].abs().argmax(), 0]) > 0


@pytest.mark.parametrize("alias, name", ALIASES.items())
def test_other_names_of_a_class_give_its_path(alias: str, name: str) -> None:
    assert torch.equal(camera_features(alias, range(9)), camera_features(name, range(9)))
    assert name in CAMERAS


@pytest.mark.parametrize("name", CAMERA_NAMES)
def test_axes_are_a_right_handed_frame_and_never_roll(name: str) -> None:
    path = camera_path(name, times_s=TIMES, elevation_deg=9.0)
    square = (path.axes[:, :, None] * path.axes[:, None]).sum(-1)
    assert torch.allclose(square, torch.eye(3, dtype=torch.float64).expand(17, 3, 3))
    right, up, forward = path.axes.unbind(1)
    assert torch.allclose(torch.linalg.cross(right, up), -forward)
    assert (right[:, 1] == 0).all()
    if not name.startswith(("tilt", "handheld")):
        assert torch.allclose(forward[:, 1], torch.tensor(-math.sin(math.radians(9.0)), dtype=torch.float64))


@pytest.mark.parametrize("name", [n for n in CAMERA_NAMES if n not in NEVER_STILL])
def test_long_clips_ease_to_a_stop(name: str) -> None:
    path = camera_path(name, times_s=frame_times(600, 10))
    assert float((path.position[-1] - path.position[-2]).abs().max()) < 1e-9
    assert (path.position[:, 2] > 2.0).all()
    assert ((path.zoom > 0.6) & (path.zoom < 1.7)).all()


@pytest.mark.parametrize("name", [n for n in CAMERA_NAMES if n not in NEVER_STILL])
def test_speed_scales_time_and_the_middle_of_the_way_looks_straight(name: str) -> None:
    slow, fast = (camera_path(name, times_s=TIMES / s, speed=s) for s in (0.5, 0.8))
    if not name.startswith(("pan", "tilt", "around")):  # these are centred on the way that two seconds take
        assert torch.allclose(slow.position, fast.position)
        assert torch.allclose(slow.zoom, fast.zoom)
    assert torch.allclose(camera_path(name, times_s=TIMES).zoom[8], torch.tensor(1.0, dtype=torch.float64), atol=0.03)


@pytest.mark.parametrize("name", CAMERA_NAMES)
def test_features_are_relative_to_frame_0(name: str) -> None:
    features = camera_features(name, [0, 4, 16])
    assert features.shape == (3, CAMERA_FEATURES)
    assert features.dtype == torch.float32
    assert (features[0] == 0).all()
    assert (features[2] != 0).any() == (name not in ("static", "tracking"))


def test_features_are_what_the_constants_say() -> None:
    column = CAMERA_FEATURE_NAMES.index
    distance = camera_path("static", times_s=TIMES).distance
    assert distance == pytest.approx(VIEW_SPAN / 2 / math.tan(math.radians(16)))
    assert camera_features("zoom_in", [16])[0, column("log_zoom")] == pytest.approx(math.log(1.26 / 0.84), abs=1e-6)
    assert camera_features("pan_right", [16])[0, column("x")] == pytest.approx(0.8 / distance, abs=1e-6)
    assert camera_features("tilt_up", [16])[0, column("pitch")] == pytest.approx(math.radians(9), abs=1e-6)
    around = camera_features("around_left", [16], elevation_deg=2.0)[0]
    assert around[column("yaw")] == pytest.approx(-math.radians(50), abs=0.01)  # it turns right to keep looking
    assert around[column("x")] == pytest.approx(-math.sin(math.radians(50)), abs=0.01)
    assert around[column("z")] == pytest.approx(1 - math.cos(math.radians(50)), abs=0.01)


def test_a_wider_view_stands_farther_off_and_moves_alike_in_the_picture() -> None:
    near, far = (camera_path("pan_left", times_s=TIMES, span=span) for span in (VIEW_SPAN, 2 * VIEW_SPAN))
    assert far.distance == pytest.approx(2 * near.distance)
    ways = [(p.position[-1, 0] - p.position[0, 0]) / p.distance for p in (near, far)]
    assert ways[0] == pytest.approx(ways[1])
    assert scene_camera(three(), TIMES).distance > scene_camera(make(), TIMES).distance
    assert scene_camera(pair("collide", "ball", "cube"), TIMES).distance > scene_camera(make(), TIMES).distance
    assert scene_camera(replace(make(), span=4.9), TIMES).distance == pytest.approx(2 * near.distance)


def test_features_don_t_depend_on_the_frame_rate_or_the_class_s_wrapping() -> None:
    scene = make(camera="around_right")
    assert torch.equal(camera_features(scene, [2, 8], fps=8), camera_features(scene, [6, 24], fps=24))
    assert torch.equal(
        camera_features(scene, [3, 5]), camera_features("around_right", [3, 5], elevation_deg=scene.elevation_deg)
    )
    with pytest.raises(InvalidInput, match=r"pan_left.*truck_left"):
        camera_features("dolly", [1])


@pytest.mark.parametrize("name", CAMERA_NAMES)
def test_a_mirrored_scene_has_the_features_of_the_mirrored_class(name: str) -> None:
    scene = make(action="walk", camera=name, layout=5)
    mirror = scene.mirrored()
    features = camera_features(mirror, range(17))
    sides = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    assert torch.allclose(features, camera_features(scene, range(17)) * sides, atol=1e-6)
    if name != "handheld":  # a hand trembles in its own way, whatever it is called
        assert torch.allclose(features, camera_features(replace(mirror, flipped=False), range(17)), atol=1e-6)
    path = scene_camera(mirror, TIMES)
    right, up, forward = path.axes.unbind(1)
    assert torch.allclose(torch.linalg.cross(right, up), -forward)
