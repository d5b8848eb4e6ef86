"""Water that is thrown up: fans of torn sheets and many small drops that rise and fall back, where waves break and fish leap.

All water of a burst leaves at one moment and falls freely, so what is seen is one pattern over launch speeds, stretched by time: it is
drawn on an upright plane that faces the camera, and each of its points is known at every other moment too.

Legend: n moments, h w pixels. Launch speeds are in shares: ``a`` aside (-1 to 1), ``b`` upwards (1 just reaches the burst's height).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kinema.world.backdrop.field import column, smooth
from kinema.world.layers import pixels_of
from kinema.world.lights import Light
from kinema.world.motion import air
from kinema.world.motion.act import Act
from kinema.world.motion.constants import GRAVITY, JUMP_AIR_S, JUMP_REST_S, SEA_CRASH_S, SEA_S, half_width
from kinema.world.places.grounds import FOAM
from kinema.world.places.shores import cliffs
from kinema.world.pose import Pose
from kinema.world.scene import Scene
from kinema.world.view import View, Window

_START_S = 0.02  # before it there is nothing to see
_CELL = 0.072  # room of a drop at half a burst's life, subject heights
_DROP = 0.019  # radius, subject heights
_DROP_PX = 0.55  # and at least so many pixels
_BEYOND = 0.24  # how far in b drops fly beyond the sheet
_WIDEST, _HIGHEST = 1.12, 1.0 + 0.31  # a and b beyond which there is nothing
_SINKS = 0.09  # height below which it is lost in the foam
_DIRECT, _AMBIENT = 0.72, 0.92  # how much of a light spray, which glows all through, sends on


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Water thrown up at ``x, z`` (n moments, subject heights), ``age_s`` seconds ago; negative: not yet.

    It is ``base`` wide to either side where it starts, ``base + spread`` where it lands, and reaches ``tall``. ``sheet`` is how much of it
    holds together, 0 (drops alone) to 1; ``turn`` (an angle) makes another pattern.
    """

    x: Float[Tensor, " n"]
    z: Float[Tensor, " n"]
    age_s: Float[Tensor, " n"]
    tall: float
    base: float
    spread: float
    turn: float
    sheet: float = 1.0

    @property
    def speed(self) -> float:
        """Upwards, of what reaches ``tall``: subject heights a second."""
        return math.sqrt(2 * GRAVITY * self.tall)

    @property
    def life_s(self) -> float:
        """Until all has fallen back."""
        return 2 * self.speed / GRAVITY

    @property
    def is_seen(self) -> Bool[Tensor, " n"]:
        """At which moments there is anything of it."""
        return (self.age_s > _START_S) & (self.age_s < self.life_s)

    def take(self, moments: Int[Tensor, " m"]) -> Burst:
        """The burst at some of its moments."""
        return replace(self, x=self.x[moments], z=self.z[moments], age_s=self.age_s[moments])


@dataclass(frozen=True, kw_only=True)
class Spray:
    """What a window's pixels see of a burst: its ``share`` of the pixel, depth, brightness, and launch speeds ``a`` and ``b``."""

    share: Float[Tensor, "n h w"]
    depth: Float[Tensor, "n h w"]
    tone: Float[Tensor, "n h w"]
    a: Float[Tensor, "n h w"]
    b: Float[Tensor, "n h w"]


def bursts(scene: Scene, times_s: Float[Tensor, " n"], poses: Sequence[Pose]) -> list[Burst]:
    """The bursts of an unflipped ``scene`` whose subjects have ``poses`` at ``times_s``: the same ones at all moments."""
    t = times_s.to(torch.float64)
    found: list[Burst] = []
    for number, pose in enumerate(poses):
        act = Act(scene=scene, number=number)
        if act.kind == "cliff":
            found += _at_foot(t, act, pose)
        elif act.kind == "fish" and act.subject.action == "jump":
            found += _leaps(t, act, pose)
    return found + _surf(t, scene) if scene.place == "coast" else found


def _at_foot(t: Tensor, act: Act, pose: Pose) -> list[Burst]:
    """Where waves break at a cliff: at its nearer corners, one after the other, and low along its front."""
    reach, size, side = half_width(act.subject), act.size, act.sign
    x, z = pose.x, pose.z + 0.42 * size
    return [
        *_breaker(t, x + side * 0.70 * reach, z, size=0.95 * size, late_s=0.0, turn=0.4),
        *_breaker(t, x - side * 0.62 * reach, z, size=0.78 * size, late_s=0.22, turn=2.9),
        Burst(
            x=x + side * 0.06 * size, z=z + 0.16 * size, age_s=_since(t, SEA_CRASH_S + 0.10, SEA_S), tall=0.34 * size,
            base=0.42 * size, spread=0.30 * size, turn=4.1,
        ),
    ]  # fmt: skip


def _surf(t: Tensor, scene: Scene) -> list[Burst]:
    """Waves that break on the first rock and at the foot of the cliffs of a coast."""
    shape = cliffs(scene)
    x, z, radius = shape.rocks[0]
    wall_x = shape.gap_x + (shape.gap_half + 0.5 * shape.scale) * (1 if shape.gap_x < 0 else -1)
    rock = _breaker(t, x + 0 * t, z + 0.9 * radius + 0 * t, size=1.0 * shape.scale, late_s=0.0, turn=1.3)
    wall = _breaker(
        t, wall_x + 0 * t, shape.foot_z(wall_x) + 0.25 + 0 * t, size=1.25 * shape.scale, late_s=0.18, turn=5.0
    )
    return [rock[0], wall[0]]  # far off, one of each is enough


def _breaker(t: Tensor, x: Tensor, z: Tensor, *, size: float, late_s: float, turn: float) -> list[Burst]:
    """A tall burst and a broad low one whenever a wave hits."""
    parts = ((1.15, 0.30, 0.50, 0.0), (0.62, 0.46, 0.56, 0.13))
    return [
        Burst(
            x=x, z=z + 0.04 * k, age_s=_since(t, SEA_CRASH_S + late_s + later, SEA_S), tall=tall * size, base=base * size,
            spread=spread * size, turn=turn + 2.1 * k,
        )
        for k, (tall, base, spread, later) in enumerate(parts)
    ]  # fmt: skip


def _since(t: Tensor, first_s: float, period_s: float) -> Tensor:
    """Seconds since the last of the moments ``first_s`` and every ``period_s`` after it; negative before the first."""
    return torch.where(t < first_s, -1.0, (t - first_s) % period_s)


def _leaps(t: Tensor, act: Act, pose: Pose) -> list[Burst]:
    """Drops thrown up where a fish leaves the water and where it enters again."""
    period = JUMP_AIR_S + JUMP_REST_S
    found = []
    for k, moment in enumerate((JUMP_REST_S, 0.0)):
        age = (t - moment) % period
        where = torch.cos(math.pi * ((t - age) / period))  # the place of the leap's start or end
        x = act.subject.x - act.sign * air.LEAP_HALF * where
        age = torch.where(t < moment, -1.0, age)
        found.append(
            Burst(
                x=x,
                z=pose.z + 0.05,
                age_s=age,
                tall=0.46 * act.size,
                base=0.15 * act.size,
                spread=0.36 * act.size,
                turn=1.0 + k,
            )
        )
    return found


def see(burst: Burst, view: View, window: Window, *, device: torch.device) -> Spray:
    """What ``window`` of ``view`` sees of ``burst``; shares are 0 where it isn't."""
    rx, rise, rz = view.rays(view.slopes(window, device), device)
    eye, ahead = view.eye(device), _ahead(view)
    fx, fz, x, z = (column(v, device) for v in (ahead[:, 0], ahead[:, 1], burst.x, burst.z))
    depth = ((x - eye[:, 0]) * fx + (z - eye[:, 2]) * fz) / (rx * fx + rz * fz).clamp(min=1e-3)
    # Right of the camera, level, is (-fz, fx) along x and z.
    aside = (eye[:, 2] + depth * rz - z) * fx - (eye[:, 0] + depth * rx - x) * fz
    height = eye[:, 1] + depth * rise
    age = column(burst.age_s, device).clamp(min=_START_S)
    wide, fast = burst.base + burst.spread / burst.life_s * age, burst.speed * age
    a, b = aside / wide, (height + 0.5 * GRAVITY * age * age) / fast
    share, tone = _pattern(burst, a, b, age / burst.life_s, wide, fast, depth / column(view.focal_px, device))
    there = (depth > 0.1) & (height > 0) & column(burst.is_seen, device).to(torch.bool)
    share = share * (height / _SINKS).clamp(max=1)
    return Spray(share=torch.where(there, share, 0.0), depth=depth, tone=tone, a=a, b=b)


def _pattern(
    burst: Burst, a: Tensor, b: Tensor, age: Tensor, wide: Tensor, fast: Tensor, pixel: Tensor
) -> tuple[Tensor, Tensor]:
    """(share of a pixel, brightness): pointed jets side by side, torn the more the older they are, and drops beyond them."""
    turn = burst.turn
    bell = 1 - 0.80 * a * a
    reach = bell * (1 - 0.34 * torch.sin(5.2 * a + 0.8 * torch.sin(3.1 * a + turn) + turn).abs())
    torn = torch.sin(9.0 * a + 2.2 * torch.sin(6.0 * b + turn)) * torch.sin(15.0 * b + 2.6 * torch.sin(7.0 * a + turn))
    sheet = ((reach - b) * 3.2).clamp(max=1) * burst.sheet * (1.30 - 0.75 * age) + 0.45 * torn * (0.3 + age) - 0.12
    mist = ((reach + 0.30 - b) * 1.6).clamp(0, 1) * bell.clamp(min=0) * (1 - age)
    share = torch.maximum(smooth(sheet * 1.7) * 0.94, mist * burst.sheet * (0.50 + 0.25 * torn))
    drop = _drops(burst, a, b, age, wide, fast, pixel)
    flies = ((reach + _BEYOND - b) * 8).clamp(0, 1) * ((bell - 0.1) * 6).clamp(0, 1)
    return torch.maximum(share, drop * flies * 0.9), 0.92 + 0.12 * torn.clamp(min=-0.8) + 0.10 * (b - 0.6).clamp(
        -1, 0.6
    )


def _drops(burst: Burst, a: Tensor, b: Tensor, age: Tensor, wide: Tensor, fast: Tensor, pixel: Tensor) -> Tensor:
    """How much of a pixel drops cover, one in most cells of a grid of launch speeds; ``pixel`` is a pixel's size there."""
    columns, rows = (burst.base + burst.spread / 2) / _CELL, 2 * burst.tall / _CELL
    u, v = a * columns, b * rows
    i, j = u.floor(), v.floor()
    p, q, lot = (torch.sin(i * k + j * m + burst.turn) for k, m in ((12.99, 78.23), (39.35, 11.13), (63.73, 26.68)))
    across, up = wide / columns, fast / rows  # a cell's sides, which grow
    off = (((u - i - 0.5 - 0.25 * p) * across).square() + ((v - j - 0.5 - 0.25 * q) * up).square()).sqrt()
    radius = torch.minimum((_DROP_PX * pixel).clamp(min=_DROP) * (1.25 - 0.6 * age), 0.3 * torch.minimum(across, up))
    radius = radius * (0.75 + 0.35 * lot)
    return ((radius - off) / pixel + 0.5).clamp(0, 1) * (2 * radius / pixel).clamp(0, 1) * (lot > -0.4)


def add_spray(
    picture: Float[Tensor, "n c h w"], depth: Float[Tensor, "n h w"], found: Sequence[Burst], view: View, *,
    rows: Int[Tensor, " m"], light: Light, is_cartoon: bool,
) -> None:  # fmt: skip
    """Draws bursts, seen by ``view``, over ``rows`` of ``picture`` and of its ``depth``, in place, where nothing is before them."""
    paint = [f * (_DIRECT * d + _AMBIENT * a) for f, d, a in zip(FOAM, light.direct, light.ambient, strict=True)]
    for whole in found:
        moments = whole.is_seen.nonzero()[:, 0]
        burst, its_view = whole.take(moments), view.take(moments)
        window = its_view.window(_boxes(burst, its_view), grain=1) if len(moments) else None
        if window is None:
            continue
        seen = see(burst, its_view, window, device=picture.device)
        at = pixels_of(window, rows[moments], picture.device)
        share = torch.where(seen.depth < depth[at], seen.share, 0.0)
        tone = seen.tone
        if is_cartoon:  # flat, with a hard rim
            share, tone = ((share - 0.5) * 5 + 0.5).clamp(0, 1), torch.where(tone > 0.86, 1.0, 0.84)
        depth[at] = torch.where(share > 0.5, seen.depth, depth[at])
        for k in range(3):
            pixels = (at[0], k, at[1], at[2])
            picture[pixels] = picture[pixels] + (paint[k] * tone - picture[pixels]) * share


def spray_points(
    burst: Burst, view: View, after: View, later_s: float, *, device: torch.device
) -> tuple[Float[Tensor, "n h w"], list[Tensor]] | None:
    """(depth of what hides more than half of a pixel, infinite elsewhere; the world points where that water is ``later_s`` on), or None.

    The plane that it is drawn on faces the camera then too, which is that of ``after``.
    """
    if not bool(burst.is_seen.any()):
        return None
    seen = see(burst, view, view.whole(), device=device)
    age = column(burst.age_s + later_s, device)
    aside = seen.a * (burst.base + burst.spread / burst.life_s * age)
    fx, fz = (column(v, device) for v in _ahead(after).unbind(-1))
    points = [
        column(burst.x, device) - aside * fz,
        seen.b * (burst.speed * age) - 0.5 * GRAVITY * age * age,
        column(burst.z, device) + aside * fx,
    ]
    return torch.where(seen.share > 0.5, seen.depth, torch.inf), points


def _ahead(view: View) -> Float[Tensor, "n 2"]:
    """The level direction (x, z) in which each camera looks."""
    forward = view.axes[:, 2, [0, 2]]
    return forward / forward.square().sum(-1, keepdim=True).sqrt()


def _boxes(burst: Burst, view: View) -> Float[Tensor, "n 4"]:
    """Picture boxes that hold ``burst``, which is there at all moments (left, top, right, bottom; pixels)."""
    ahead, age = _ahead(view), burst.age_s
    wide = _WIDEST * (burst.base + burst.spread / burst.life_s * age)
    top = (_HIGHEST * burst.speed * age - 0.5 * GRAVITY * age * age).clamp(min=0.0)
    corners = []
    for side in (-wide, wide):
        for level in (torch.zeros_like(top), top):
            corners.append(torch.stack([burst.x - side * ahead[:, 1], level, burst.z + side * ahead[:, 0]], -1))
    away = torch.stack(corners, 1) - view.position[:, None]
    seen = (view.axes[:, None] * away[..., None, :]).sum(-1)
    scale = view.focal_px[:, None] / seen[..., 2].clamp(min=0.2)
    px, py = view.width_px / 2 + seen[..., 0] * scale, view.height_px / 2 - seen[..., 1] * scale
    return torch.stack([px.amin(1), py.amin(1), px.amax(1), py.amax(1)], -1)
