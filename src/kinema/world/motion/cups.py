"""What is done with cups: drinking from one, and pouring out of one. Formulas as in `kinema.world.motion.pairs`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.world.motion.act import Act, Fields, facing, headroom, hold, pulse, smooth
from kinema.world.motion.constants import (
    REST_HEIGHT,
    RUN_STRIDE,
    half_width,
    tall,
)

# Seconds of what happens when one drinks, from the first step on.
WALK_UP_S = 0.40
GRASP_S = 0.15
LIFT_S = 0.35
TIP_S = 0.22
SIP_S = 0.60
LOWER_S = 0.40
DRINK_S = 3.1
CUP_RADIUS, CUP_HEIGHT = 0.37, 0.84  # of its rim, in its own units
_MOUTH = (0.24, 0.80)  # ahead of and above a figure's foot
_DRINK_TIP = 0.95
# And when one pours.
RISE_START_S = 0.08
RISE_S = 0.45
POUR_TIP_S = 0.35
POUR_S = 0.80
RETURN_S = 0.60
POUR_LAP_S = 3.3
POUR_TIP = 1.9
_CLEARANCE = 0.34


@dataclass(frozen=True, kw_only=True)
class Drink:
    """Moments (seconds from the first step) of one drink, and where the figure and the cup stand."""

    sign: float
    start: float
    place: float
    cup: float
    lift_s: float = WALK_UP_S + GRASP_S
    mouth_s: float = WALK_UP_S + GRASP_S + LIFT_S
    sip_s: float = WALK_UP_S + GRASP_S + LIFT_S + TIP_S
    lower_s: float = WALK_UP_S + GRASP_S + LIFT_S + 2 * TIP_S + SIP_S
    down_s: float = WALK_UP_S + GRASP_S + LIFT_S + 2 * TIP_S + SIP_S + LOWER_S


def drinking(act: Act, other: Act) -> Drink:
    """How ``act`` drinks from ``other``."""
    sign, cup = act.sign, other.subject
    apart = 0.26 * act.size + (CUP_RADIUS + 0.06) * cup.size
    place = cup.x - sign * apart
    back = min(max(sign * (place - act.subject.x), 0.0), 0.75)
    return Drink(sign=sign, start=place - sign * back, place=place, cup=cup.x)


def since_drink(t: Tensor) -> Tensor:
    """Seconds from the first step of the drink that goes on at ``t``: later drinks begin beside the cup."""
    lap = DRINK_S - WALK_UP_S
    return torch.where(t < DRINK_S, t, WALK_UP_S + (t - WALK_UP_S) % lap)


def drink(t: Tensor, act: Act, other: Act) -> Fields:
    """Steps up to the cup, lifts it to its mouth, drinks, and puts it down, again and again."""
    plan, s = drinking(act, other), since_drink(t)
    step = smooth(t / WALK_UP_S)
    walks = torch.sin(math.pi * (t / WALK_UP_S).clamp(0, 1)) * (1.0 if plan.start != plan.place else 0.0)
    grasp = smooth((s - WALK_UP_S) / GRASP_S) - smooth((s - plan.down_s) / GRASP_S)
    raised = smooth((s - plan.lift_s) / LIFT_S) - smooth((s - plan.lower_s) / LOWER_S)
    sips = _tipped(s, plan)
    return {
        "x": plan.start + (plan.place - plan.start) * step,
        "z": hold(t, other.subject.z),
        "yaw": hold(t, facing(plan.sign, 0.12)),
        "gait": 2 * math.pi * (plan.place - plan.start) * plan.sign * step / RUN_STRIDE,
        "effort": walks,
        "reach": 0.35 * grasp + 0.65 * raised,
        "roll": 0.10 * plan.sign * sips - 0.12 * plan.sign * (grasp - raised),
    }


def drink_target(t: Tensor, act: Act, by: Act) -> Fields:
    """The cup, which follows the hand to the mouth and back."""
    plan, s = drinking(by, act), since_drink(t)
    raised = smooth((s - plan.lift_s) / LIFT_S) - smooth((s - plan.lower_s) / LOWER_S)
    tip = _DRINK_TIP * _tipped(s, plan)
    radius, height = CUP_RADIUS * act.size, CUP_HEIGHT * act.size
    # Where the foot is when the near rim is at the mouth.
    x = plan.place + plan.sign * (_MOUTH[0] * by.size + radius * tip.cos() + height * tip.sin())
    y = _MOUTH[1] * by.size + radius * tip.sin() - height * tip.cos()
    return {
        "x": plan.cup + (x - plan.cup) * raised,
        "y": (y * raised).clamp(min=0.0),
        "roll": plan.sign * tip,
        "yaw": hold(t, facing(by.sign, -0.9)),  # the handle to the figure and to the camera
        "contact": raised <= 0,
    }


def _tipped(s: Tensor, plan: Drink) -> Tensor:
    return pulse(s, plan.mouth_s, TIP_S, SIP_S, TIP_S)


@dataclass(frozen=True, kw_only=True)
class Pour:
    """Moments of one pouring and where it happens: the lip of the cup at (``lip_x``, ``lip_y``), what is filled at ``other``."""

    sign: float
    start: float
    lip_x: float
    lip_y: float
    other: float
    tip_s: float = RISE_START_S + RISE_S
    flow_s: float = RISE_START_S + RISE_S + 0.7 * POUR_TIP_S
    stop_s: float = RISE_START_S + RISE_S + POUR_TIP_S + POUR_S
    return_s: float = RISE_START_S + RISE_S + 2 * POUR_TIP_S + POUR_S
    down_s: float = RISE_START_S + RISE_S + 2 * POUR_TIP_S + POUR_S + RETURN_S


def pouring(act: Act, other: Act) -> Pour:
    """How ``act`` pours on ``other``."""
    sign, its = act.sign, other.subject
    apart = half_width(act.subject) + half_width(its)
    start = min(sign * act.subject.x, sign * its.x - apart)
    top = min(tall(its) + _CLEARANCE, max(headroom(act.scene) - 0.8 * act.size, 0.5 * tall(its)))
    return Pour(sign=sign, start=sign * start, lip_x=its.x, lip_y=top, other=its.x)


def pour(t: Tensor, act: Act, other: Act) -> Fields:
    """Rises, moves over the other, tips, and goes back when it has poured."""
    plan, s = pouring(act, other), t % POUR_LAP_S
    rise = smooth((s - RISE_START_S) / (0.75 * RISE_S)) - smooth(
        (s - plan.return_s - 0.35 * RETURN_S) / (0.65 * RETURN_S)
    )
    across = smooth((s - RISE_START_S - 0.3 * RISE_S) / (0.7 * RISE_S)) - smooth((s - plan.return_s) / (0.7 * RETURN_S))
    tip = POUR_TIP * pulse(s, plan.tip_s, POUR_TIP_S, POUR_S, POUR_TIP_S)
    radius, height = CUP_RADIUS * act.size, CUP_HEIGHT * act.size
    # The lip stays where it pours while the cup tips about it.
    x = plan.lip_x - plan.sign * (radius * tip.cos() + height * tip.sin())
    y = plan.lip_y + radius * tip.sin() - height * tip.cos() + height * (1 - smooth(tip / 0.8))
    return {
        "x": plan.start + (x - plan.start) * across,
        "z": hold(t, other.subject.z),
        "y": y * rise,
        "roll": -plan.sign * tip,
        "yaw": hold(t, facing(act.sign, 0.35)),
        "contact": rise <= 0,
    }


def pour_target(t: Tensor, act: Act, by: Act) -> Fields:
    """Is filled; a flower droops until it has been watered."""
    if act.kind != "flower":
        return {}
    plan = pouring(by, act)
    fresh = smooth((t - plan.flow_s - 0.1) / 0.8)
    return {
        "bend": 0.42 * plan.sign * (1 - fresh),
        "squash": 0.95 + 0.08 * fresh,
        "y": hold(t, REST_HEIGHT.get(act.kind, 0.0)),
    }


def flow(t: Tensor, act: Act, other: Act) -> Tensor:
    """How strongly ``act`` pours at ``t``, 0 to 1."""
    plan, s = pouring(act, other), t % POUR_LAP_S
    return pulse(s, plan.flow_s, 0.12, plan.stop_s - plan.flow_s - 0.12, 0.15)
