"""Where the subjects are at any moment: actions as closed formulas of time, so a clip of any length and rate samples one motion.

World axes: x to the right of the picture, y up, z towards the camera; the ground is y = 0. Lengths in subject heights (about 1),
times in seconds. All motion starts at phase 0: a jump on the ground, a fall above it. `constants` has the numbers, `act` what a
formula is told, `ground`, `air`, `gestures`, `tipping` and `pairs` the formulas, `spans` how much room they need.
"""

from kinema.world.motion.actions import poses
from kinema.world.motion.constants import view_span
from kinema.world.motion.spans import Span, layout_homes, pair_fits, span_of

__all__ = ["Span", "layout_homes", "pair_fits", "poses", "span_of", "view_span"]
