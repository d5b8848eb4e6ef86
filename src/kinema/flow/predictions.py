"""What a network says, turned into what is needed: velocity, noise, x0 and v on either path. All in fp32.

x and a prediction are two linear equations in x0 and the noise:

    x        = alpha  x0 + s  noise
    velocity = alpha' x0 + s' noise        (' is the slope along sigma)

so x0 = (s' x - s velocity) / w and noise = (alpha velocity - alpha' x) / w, with w = alpha s' - alpha' s, which is 1 on flow
matching's line. Where a coefficient that is divided by is zero, the prediction says nothing of what is asked for: noise knows
no x0 at alpha = 0, x0 knows no noise at s = 0. The result is then not finite.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kinema.flow.paths import Path, expand


def to_x0(
    path: Path,
    prediction: Float[Tensor, " b *rest"],
    x: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    kind: str = "velocity",
) -> Float[Tensor, " b *rest"]:
    """The x0 that follows from a ``prediction`` of ``kind`` made at ``x`` and ``sigma``. Source: Salimans & Ho 2022, section 4, for v."""
    path.check_prediction(kind)
    prediction, x, sigma = prediction.float(), x.float(), expand(sigma.float(), x)
    if kind == "x0":
        return prediction
    alpha, s = path.alpha(sigma), path.s(sigma)
    if kind == "noise":
        return (x - s * prediction) / alpha
    if kind == "v":
        return alpha * x - s * prediction
    d_alpha, d_s = path.d_alpha(sigma), path.d_s(sigma)
    return (d_s * x - s * prediction) / (alpha * d_s - d_alpha * s)


def to_noise(
    path: Path,
    prediction: Float[Tensor, " b *rest"],
    x: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    kind: str = "velocity",
) -> Float[Tensor, " b *rest"]:
    """The noise, from a ``prediction`` of ``kind`` made at ``x`` and ``sigma``. Source: Salimans & Ho 2022, section 4, for v."""
    path.check_prediction(kind)
    prediction, x, sigma = prediction.float(), x.float(), expand(sigma.float(), x)
    if kind == "noise":
        return prediction
    alpha, s = path.alpha(sigma), path.s(sigma)
    if kind == "x0":
        return (x - alpha * prediction) / s
    if kind == "v":
        return s * x + alpha * prediction
    d_alpha, d_s = path.d_alpha(sigma), path.d_s(sigma)
    return (alpha * prediction - d_alpha * x) / (alpha * d_s - d_alpha * s)


def to_velocity(
    path: Path,
    prediction: Float[Tensor, " b *rest"],
    x: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    kind: str = "velocity",
) -> Float[Tensor, " b *rest"]:
    """The velocity dx/dsigma, from a ``prediction`` of ``kind`` made at ``x`` and ``sigma``."""
    path.check_prediction(kind)
    if kind == "velocity":
        return prediction.float()
    x0, noise = to_x0(path, prediction, x, sigma, kind), to_noise(path, prediction, x, sigma, kind)
    return path.target(x0, noise, sigma, "velocity")


def to_v(
    path: Path,
    prediction: Float[Tensor, " b *rest"],
    x: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    kind: str = "v",
) -> Float[Tensor, " b *rest"]:
    """The v = alpha noise - s x0, from a ``prediction`` of ``kind`` made at ``x`` and ``sigma``; variance-preserving path only."""
    path.check_prediction("v")
    if kind == "v":
        return prediction.float()
    x0, noise = to_x0(path, prediction, x, sigma, kind), to_noise(path, prediction, x, sigma, kind)
    return path.target(x0, noise, sigma, "v")


def x0_slope(path: Path, sigma: Float[Tensor, " *n"], kind: str) -> Float[Tensor, " *n"]:
    """How far x0 moves, in absolute value, when a prediction of ``kind`` moves by 1 at a fixed x."""
    path.check_prediction(kind)
    alpha, s = path.alpha(sigma), path.s(sigma)
    if kind == "x0":
        return alpha * 0 + 1
    if kind == "noise":
        return s / alpha
    if kind == "v":
        return s
    return s / (alpha * path.d_s(sigma) - path.d_alpha(sigma) * s)
