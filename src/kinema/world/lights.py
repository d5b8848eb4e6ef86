"""Skies and lights of the four times of day, and what each weather makes of them. Standard library only.

What is seen, for whoever writes sentences:
- dawn: a lavender sky that is pink above the horizon, a small pale sun in thin pink cloud, thin mist low over far ground.
- day: a blue sky with small white clouds. sunset: a violet sky that is orange above the horizon, with a low yellow sun in its glow.
- night: a dark blue sky with stars and a moon; things are bluish and dim, the subjects stay lit.
- clear: as said. cloudy: a grey sky full of big clouds, no sun, moon or stars; pale soft shadows.
- rain: a dark grey sky with dark clouds, slanted streaks, ground that is dark, wet and shiny with puddles, rings on all water.
- snow: a pale sky, flakes that drift down, a white dusting on the ground and on what stands there.
- fog: far things fade into pale fog (lavender at dawn, white by day, peach at sunset, slate blue at night); no sky, sun or hills are seen.
- indoors the window shows the time's clear sky, and a lamp burns at night.
"""

from __future__ import annotations

from dataclasses import dataclass

from kinema.world.nature import PLACES
from kinema.world.scene import Scene
from kinema.world.solids import Colour, Vector


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Sky paints and lights of one time of day. ``sun`` points to the light that casts shadows."""

    zenith: Colour
    horizon: Colour
    sun: Vector
    sun_light: Colour
    ambient: Colour
    subject_sun: Colour  # the subject keeps its colour at night, as on a lit stage
    subject_ambient: Colour
    haze: float
    overcast: Colour  # the sky behind clouds
    fog: Colour
    mist: float = 0.0  # how thick mist lies over far ground


SKIES: dict[str, Sky] = {
    "dawn": Sky(
        zenith=(0.50, 0.50, 0.86),
        horizon=(1.00, 0.74, 0.82),
        sun=(-0.62, 0.45, 0.50),
        sun_light=(0.62, 0.46, 0.50),
        ambient=(0.44, 0.42, 0.56),
        subject_sun=(0.58, 0.51, 0.52),
        subject_ambient=(0.52, 0.51, 0.56),
        haze=0.7,
        overcast=(0.66, 0.60, 0.74),
        fog=(0.84, 0.75, 0.86),
        mist=0.5,
    ),
    "day": Sky(
        zenith=(0.18, 0.48, 0.95),
        horizon=(0.70, 0.88, 1.00),
        sun=(-0.45, 0.75, 0.48),
        sun_light=(0.62, 0.60, 0.54),
        ambient=(0.50, 0.52, 0.56),
        subject_sun=(0.56, 0.54, 0.50),
        subject_ambient=(0.56, 0.57, 0.60),
        haze=0.55,
        overcast=(0.70, 0.73, 0.78),
        fog=(0.86, 0.89, 0.91),
    ),
    "sunset": Sky(
        zenith=(0.36, 0.20, 0.50),
        horizon=(1.00, 0.52, 0.18),
        sun=(0.62, 0.42, 0.55),
        sun_light=(0.74, 0.50, 0.34),
        ambient=(0.46, 0.36, 0.42),
        subject_sun=(0.62, 0.53, 0.44),
        subject_ambient=(0.52, 0.49, 0.50),
        haze=0.6,
        overcast=(0.62, 0.47, 0.42),
        fog=(0.92, 0.66, 0.48),
    ),
    "night": Sky(
        zenith=(0.01, 0.02, 0.10),
        horizon=(0.07, 0.11, 0.28),
        sun=(-0.40, 0.80, 0.45),
        sun_light=(0.26, 0.31, 0.44),
        ambient=(0.25, 0.29, 0.44),
        subject_sun=(0.50, 0.50, 0.54),
        subject_ambient=(0.54, 0.55, 0.60),
        haze=0.5,
        overcast=(0.13, 0.15, 0.22),
        fog=(0.25, 0.29, 0.40),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What a weather does to a sky: shares of its clear lights that are left, and how grey and bright the sky turns."""

    sun: float
    ambient: float
    shadow: float
    overcast: float  # how much of the sky is the time's overcast paint
    level: float  # brightness of that paint
    haze: float = 0.0  # more of it than when clear
    fog_density: float = 0.0  # a subject height


WEATHER: dict[str, Weather] = {
    "clear": Weather(sun=1.0, ambient=1.0, shadow=0.52, overcast=0.0, level=1.0),
    "cloudy": Weather(sun=0.45, ambient=1.08, shadow=0.24, overcast=0.88, level=1.0),
    "rain": Weather(sun=0.22, ambient=0.90, shadow=0.14, overcast=0.94, level=0.58, haze=0.15),
    "snow": Weather(sun=0.40, ambient=1.36, shadow=0.20, overcast=0.90, level=1.16, haze=0.2),
    "fog": Weather(sun=0.30, ambient=1.12, shadow=0.16, overcast=1.0, level=1.0, fog_density=0.34),
}

# The lights of a room: the window's by day, a warm lamp's at night.
_INDOORS: dict[str, tuple[Colour, Colour]] = {
    "dawn": ((0.40, 0.30, 0.34), (0.62, 0.53, 0.62)),
    "day": ((0.44, 0.42, 0.38), (0.66, 0.66, 0.66)),
    "sunset": ((0.62, 0.38, 0.20), (0.56, 0.43, 0.38)),
    "night": ((0.40, 0.29, 0.15), (0.36, 0.32, 0.34)),
}


@dataclass(frozen=True, kw_only=True)
class Light:
    """A sun (where it stands, how bright) and the light from all around."""

    sun: Vector
    direct: Colour
    ambient: Colour


@dataclass(frozen=True, kw_only=True)
class Lights:
    """What lights a scene: its ``world`` and its ``subject`` have lights of their own; ``shadow`` is how dark shadows are.

    ``zenith`` and ``horizon`` are the sky's paints in this weather. ``fog_density`` is a subject height, beyond the subjects.
    """

    world: Light
    subject: Light
    shadow: float
    zenith: Colour
    horizon: Colour
    haze: float
    mist: float
    fog: Colour
    fog_density: float

    @property
    def sun(self) -> Vector:
        """Where the light that casts shadows stands."""
        return self.world.sun

    @property
    def on_ground(self) -> Colour:
        """What a paint on level ground is multiplied by."""
        return _colour(
            a + d * max(0.0, self.sun[1]) for a, d in zip(self.world.ambient, self.world.direct, strict=True)
        )

    @property
    def on_far(self) -> Colour:
        """What a paint on far hills is multiplied by."""
        return _colour(a + 0.75 * d for a, d in zip(self.world.ambient, self.world.direct, strict=True))


def lights(scene: Scene) -> Lights:
    """The `Lights` of ``scene``. They depend on its place, time and weather alone."""
    sky, weather = SKIES[scene.time], WEATHER[scene.weather]
    direct, ambient = sky.sun_light, sky.ambient
    if PLACES[scene.place].is_indoors:
        direct, ambient = _INDOORS[scene.time]
    grey = sum(direct) / 3
    # Clouds take the sun's tint with its strength.
    tint = 0.5 * (1 - weather.sun)
    direct = _colour((d + (grey - d) * tint) * weather.sun for d in direct)
    cover = _colour(c * weather.level for c in (sky.fog if scene.weather == "fog" else sky.overcast))
    glow = 0.35 if scene.weather in ("cloudy", "rain") else 0.12
    return Lights(
        world=Light(sun=sky.sun, direct=direct, ambient=_colour(a * weather.ambient for a in ambient)),
        subject=Light(
            sun=sky.sun,
            direct=_colour(d * (0.5 + 0.5 * weather.sun) for d in sky.subject_sun),
            ambient=_colour(a * (1 + 0.16 * (1 - weather.sun)) for a in sky.subject_ambient),
        ),
        shadow=weather.shadow,
        zenith=_mix(
            sky.zenith, _colour(0.80 * c for c in cover) if weather.fog_density == 0 else cover, weather.overcast
        ),
        horizon=_mix(
            sky.horizon, cover, weather.overcast - (glow if weather.overcast and not weather.fog_density else 0.0)
        ),
        haze=min(0.95, sky.haze + weather.haze),
        mist=sky.mist,
        fog=sky.fog,
        fog_density=weather.fog_density,
    )


def _colour(values) -> Colour:  # noqa: ANN001 - any three numbers
    r, g, b = values
    return (r, g, b)


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return _colour(p + (q - p) * share for p, q in zip(a, b, strict=True))
