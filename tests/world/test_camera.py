from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.world.camera import (
    CAMERA_FEATURE_NAMES,
    CAMERA_FEATURES,
    CAMERAS,
    DISTANCE,
    TARGET_HEIGHT,
    camera_features,
    camera_path,
    frame_times,
    scene_camera,
)
from kinema.world.scene import CAMERA_NAMES
from tests.world.scenes import make

TIMES = frame_times(17, 8)
POINT = torch.tensor([0.0, TARGET_HEIGHT, 0.0], dtype=torch.float64)  # the subject's middle
BEHIND = torch.tensor([0.0, TARGET_HEIGHT, -6.0], dtype=torch.float64)


def _on_screen(name: str, point: Tensor) -> Tensor:
    """(t, 2) slopes times zoom: right and up."""
    path = camera_path(name, times_s=TIMES)
    seen = (path.axes * (point - path.position)[:, None]).sum(-1)
    return seen[:, :2] / seen[:, 2:] * path.zoom[:, None]


def test_every_class_has_its_convention_stated() -> None:
    assert tuple(CAMERAS) == CAMERA_NAMES


def test_static_is_still() -> None:
    path = camera_path("static", times_s=TIMES)
    assert (path.position == path.position[0]).all()
    assert (path.axes == path.axes[0]).all()
    assert (path.zoom == 1).all()


@pytest.mark.parametrize("name, sign", [("zoom_in", 1), ("zoom_out", -1)])
def test_zooms_change_the_focal_length_alone(name: str, sign: int) -> None:
    path = camera_path(name, times_s=TIMES)
    assert (path.position == path.position[0]).all()
    assert (sign * (path.zoom[1:] - path.zoom[:-1]) > 0).all()
    # No parallax: near and far points grow by the same factor.
    aside = torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64)
    near, far = _on_screen(name, POINT + aside)[:, 0], _on_screen(name, BEHIND + aside)[:, 0]
    assert torch.allclose(near[-1] / near[0], far[-1] / far[0])


@pytest.mark.parametrize("name, sign", [("pan_left", 1), ("pan_right", -1)])
def test_a_pan_to_the_left_moves_things_right_and_near_ones_faster(name: str, sign: int) -> None:
    path = camera_path(name, times_s=TIMES)
    assert (path.axes == path.axes[0]).all()
    assert (sign * (path.position[1:, 0] - path.position[:-1, 0]) < 0).all()
    near, far = (sign * (s[-1, 0] - s[0, 0]) for s in (_on_screen(name, POINT), _on_screen(name, BEHIND)))
    assert near > far > 0


@pytest.mark.parametrize("name, sign", [("around_left", -1), ("around_right", 1)])
def test_going_around_keeps_the_subject_in_the_middle_at_one_distance(name: str, sign: int) -> None:
    path = camera_path(name, times_s=TIMES)
    assert torch.allclose(_on_screen(name, POINT), torch.zeros(1, dtype=torch.float64), atol=1e-12)
    assert torch.allclose((path.position - POINT).norm(dim=-1), torch.tensor(DISTANCE, dtype=torch.float64))
    # Seen from above, the camera's own left is where it goes; the background moves the same way on the picture.
    way = ((path.position[1:] - path.position[:-1]) * path.axes[:-1, 0]).sum(-1)
    assert (sign * way > 0).all()
    background = _on_screen(name, BEHIND)[:, 0]
    assert (sign * (background[1:] - background[:-1]) > 0).all()


@pytest.mark.parametrize("name", CAMERA_NAMES)
def test_axes_are_a_right_handed_frame_and_never_roll(name: str) -> None:
    path = camera_path(name, times_s=TIMES, elevation_deg=9.0)
    square = (path.axes[:, :, None] * path.axes[:, None]).sum(-1)
    assert torch.allclose(square, torch.eye(3, dtype=torch.float64).expand(17, 3, 3))
    right, up, forward = path.axes.unbind(1)
    assert torch.allclose(torch.linalg.cross(right, up), -forward)
    assert (right[:, 1] == 0).all()
    assert torch.allclose(forward[:, 1], torch.tensor(-math.sin(math.radians(9.0)), dtype=torch.float64))


@pytest.mark.parametrize("name", CAMERA_NAMES)
def test_long_clips_ease_to_a_stop(name: str) -> None:
    path = camera_path(name, times_s=frame_times(600, 10))
    assert float((path.position[-1] - path.position[-2]).abs().max()) < 1e-9
    assert (path.position[:, 2] > 2.0).all()
    assert ((path.zoom > 0.6) & (path.zoom < 1.7)).all()


def test_features_are_relative_to_frame_0() -> None:
    assert len(CAMERA_FEATURE_NAMES) == CAMERA_FEATURES
    for name in CAMERA_NAMES:
        features = camera_features(name, [0, 4, 16])
        assert features.shape == (3, CAMERA_FEATURES)
        assert features.dtype == torch.float32
        assert (features[0] == 0).all()
        assert (features[2] != 0).any() == (name != "static")
    column = CAMERA_FEATURE_NAMES.index
    assert camera_features("zoom_in", [16])[0, column("log_zoom")] == pytest.approx(math.log(1.26 / 0.84), abs=1e-6)
    pan = camera_features("pan_right", [16])[0]
    assert pan[column("x")] == pytest.approx(0.8 / DISTANCE, abs=1e-6)
    around = camera_features("around_left", [16], elevation_deg=2.0)[0]
    assert around[column("yaw")] == pytest.approx(-math.radians(50), abs=0.01)  # it turns right to keep looking
    assert around[column("x")] == pytest.approx(-math.sin(math.radians(50)), abs=0.01)
    assert around[column("z")] == pytest.approx(1 - math.cos(math.radians(50)), abs=0.01)


def test_features_don_t_depend_on_the_frame_rate_or_the_class_s_wrapping() -> None:
    scene = make(camera="around_right")
    assert torch.equal(camera_features(scene, [2, 8], fps=8), camera_features(scene, [6, 24], fps=24))
    assert torch.equal(
        camera_features(scene, [3, 5]), camera_features("around_right", [3, 5], elevation_deg=scene.elevation_deg)
    )
    with pytest.raises(InvalidInput, match="pan_left"):
        camera_features("dolly", [1])


@pytest.mark.parametrize("name", CAMERA_NAMES)
def test_a_mirrored_scene_has_the_features_of_the_mirrored_class(name: str) -> None:
    scene = make(camera=name, layout=5)
    mirror = scene.mirrored()
    features = camera_features(mirror, range(17))
    sides = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    assert torch.allclose(features, camera_features(scene, range(17)) * sides, atol=1e-6)
    assert torch.allclose(features, camera_features(replace(mirror, flipped=False), range(17)), atol=1e-6)
    path = scene_camera(mirror, TIMES)
    right, up, forward = path.axes.unbind(1)
    assert torch.allclose(torch.linalg.cross(right, up), -forward)
