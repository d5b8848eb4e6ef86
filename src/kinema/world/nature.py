"""What the world is made of and what each thing can do: kinds, colours, places, times, weathers, styles, actions.

The one table of each; pictures, motion and words are given to these names elsewhere. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown", "grey", "turquoise",
)  # fmt: skip
TIMES = ("dawn", "day", "sunset", "night")
WEATHERS = ("clear", "cloudy", "rain", "snow", "fog")
STYLES = ("toy", "cartoon")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """``half_width`` is how far it reaches to each side of its middle, in its own heights, whichever way it is turned."""

    category: str
    actions: tuple[str, ...]
    surface: str = "ground"
    half_width: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a place allows."""

    has_water: bool = False
    is_indoors: bool = False


@dataclass(frozen=True, kw_only=True)
class PairAction:
    """An action on another subject: which ``kinds`` (None: all of ``categories``) and what the other does of itself."""

    kinds: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    target_action: str = "stand"

    def suits(self, kind: str) -> bool:
        """Whether it can be done to ``kind``."""
        return kind in self.kinds or KINDS[kind].category in self.categories


PLACES: dict[str, Place] = {
    "park": Place(),
    "beach": Place(has_water=True),
    "snowfield": Place(),
    "desert": Place(),
    "coast": Place(has_water=True),
    "lake": Place(has_water=True),
    "hills": Place(),
    "street": Place(),
    "forest": Place(),
    "room": Place(is_indoors=True),
}

# stand: hardly moves. walk: goes ahead by its own means, each kind in its way (drives, sails, swims). play: hops merrily.
# wave: waves a hand. sway: bends in the wind. slide: is pushed and slows by friction. toss: flies in an arc and lands. topple: tips over.
SOLO_ACTIONS = (
    "stand", "walk", "run", "jump", "spin", "play", "wave", "sway", "fall", "roll", "slide", "swing", "float", "fly", "toss",
    "topple",
)  # fmt: skip
# collide: runs into another, which takes over its momentum. knock_over: runs into another, which then tips over.
PAIR_ACTIONS: dict[str, PairAction] = {
    "collide": PairAction(kinds=("ball", "cube", "cylinder", "car", "lorry")),
    "knock_over": PairAction(kinds=("tower", "cylinder", "cone", "cactus", "robot", "rocket", "tree")),
    "chase": PairAction(kinds=("person", "robot", "astronaut", "puppy", "cat", "rabbit", "horse", "bird", "duck", "penguin", "car", "ball"),
                        target_action="run"),
    "drink": PairAction(kinds=("cup",)),
    "pour": PairAction(kinds=("cup", "flower")),
}  # fmt: skip
ACTIONS = (*SOLO_ACTIONS, *PAIR_ACTIONS)

_LEGS = ("stand", "walk", "run", "jump", "spin", "play", "chase")
_HANDS = (*_LEGS, "wave", "fall", "drink", "knock_over")
_WHEELS = ("stand", "walk", "run", "jump", "spin", "fall", "collide", "knock_over", "chase")

KINDS: dict[str, Kind] = {
    "person": Kind(category="people", actions=_HANDS, half_width=0.39),
    "robot": Kind(category="people", actions=(*_HANDS, "topple"), half_width=0.44),
    "astronaut": Kind(category="people", actions=(*_HANDS, "float"), half_width=0.42),
    "puppy": Kind(category="animals", actions=(*_LEGS, "fall"), half_width=0.83),
    "cat": Kind(category="animals", actions=(*_LEGS, "fall"), half_width=0.67),
    "rabbit": Kind(category="animals", actions=(*_LEGS, "fall"), half_width=0.52),
    "bird": Kind(category="animals", actions=(*_LEGS, "fly", "fall"), half_width=0.65),
    "duck": Kind(category="animals", actions=(*_LEGS, "fly", "fall"), half_width=0.68),
    "penguin": Kind(category="animals", actions=(*_LEGS, "fall", "slide"), half_width=0.41),
    "horse": Kind(category="animals", actions=_LEGS, half_width=0.81),
    "fish": Kind(category="animals", surface="water", actions=("walk", "run", "jump", "spin", "float"), half_width=0.73),
    "tree": Kind(category="plants", actions=("stand", "sway", "topple"), half_width=0.44),
    "flower": Kind(category="plants", actions=("stand", "sway", "spin"), half_width=0.35),
    "cactus": Kind(category="plants", actions=("stand", "sway", "play", "topple"), half_width=0.46),
    "mushroom": Kind(category="plants", actions=("stand", "sway", "jump", "fall"), half_width=0.46),
    "grass": Kind(category="plants", actions=("stand", "sway"), half_width=0.50),
    "cliff": Kind(category="landscapes", surface="water", actions=("stand",), half_width=0.80),
    "iceberg": Kind(category="landscapes", surface="water", actions=("stand", "float", "spin"), half_width=0.71),
    "volcano": Kind(category="landscapes", actions=("stand",), half_width=0.80),
    "car": Kind(category="vehicles", actions=_WHEELS, half_width=0.75),
    "lorry": Kind(category="vehicles", actions=_WHEELS, half_width=0.82),
    "train": Kind(category="vehicles", actions=("stand", "walk", "run", "collide", "knock_over"), half_width=0.85),
    "boat": Kind(category="vehicles", surface="water", actions=("walk", "run", "spin", "float"), half_width=0.67),
    "aeroplane": Kind(category="vehicles", actions=("stand", "walk", "spin", "fly"), half_width=0.78),
    "balloon": Kind(category="vehicles", surface="air", actions=("stand", "float", "fly", "spin"), half_width=0.40),
    "rocket": Kind(category="vehicles", actions=("stand", "fly", "spin", "fall", "topple"), half_width=0.34),
    "ball": Kind(category="objects",
        actions=("stand", "roll", "run", "jump", "spin", "fall", "toss", "swing", "float", "collide", "knock_over", "chase"),
        half_width=0.45,
    ),
    "cube": Kind(category="objects",
        actions=("stand", "slide", "jump", "spin", "fall", "toss", "swing", "topple", "collide"),
        half_width=0.57,
    ),
    "cylinder": Kind(category="objects", actions=("stand", "roll", "slide", "spin", "fall", "toss", "topple", "collide"), half_width=0.35),
    "cone": Kind(category="objects", actions=("stand", "slide", "jump", "spin", "fall", "topple"), half_width=0.42),
    "ring": Kind(category="objects", actions=("stand", "roll", "spin", "fall", "toss", "swing", "float"), half_width=0.47),
    "cup": Kind(category="objects", actions=("stand", "slide", "spin", "fall", "topple", "pour"), half_width=0.50),
    "lantern": Kind(category="objects", surface="air", actions=("stand", "swing", "sway", "float", "spin", "fall"), half_width=0.35),
    "kite": Kind(category="objects", surface="air", actions=("float", "fly", "sway", "spin"), half_width=0.34),
    "house": Kind(category="buildings", actions=("stand", "spin", "jump"), half_width=0.68),
    "tower": Kind(category="buildings", actions=("stand", "spin", "sway", "topple"), half_width=0.36),
    "lighthouse": Kind(category="buildings", actions=("stand", "spin"), half_width=0.33),
    "castle": Kind(category="buildings", actions=("stand", "spin"), half_width=0.79),
    "windmill": Kind(category="buildings", actions=("stand", "spin"), half_width=0.54),
}  # fmt: skip
CATEGORIES = tuple(dict.fromkeys(k.category for k in KINDS.values()))


def can(kind: str, action: str) -> bool:
    """Whether a ``kind`` does ``action``."""
    return action in KINDS[kind].actions
