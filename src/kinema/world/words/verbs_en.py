"""What every action is called in English, by who does it. The canonical verb comes first; {} stands for whom it is done to."""

from __future__ import annotations

from functools import cache

from kinema.world.nature import KINDS
from kinema.world.words.inflect import Verb, verb

# action -> kind, category or "" (all others) -> bare verb phrases; see `inflect.verb` for "~".
VERBS: dict[str, dict[str, str]] = {
    "stand": {
        "": "stand still|stand|stay still|stay in place",
        "animals": "stand still|stay still|stand quietly|stand",
        "plants": "stand|stand still|stand quietly",
        "buildings": "stand|stand still|stand quietly",
        "windmill": "stand|stand upright",
        "cliff": "stand",
        "iceberg": "lie still|stay still|rest",
        "volcano": "stand|rise|stand quietly",
        "car": "stand still|be parked|stay still",
        "lorry": "stand still|be parked|stay still",
        "train": "stand still|stay still|wait",
        "aeroplane": "stand still|be parked|stay still",
        "balloon": "hang in the air|hang still|hover",
        "lantern": "hang still|hang in the air|hang quietly",
        "rocket": "stand still|stand upright|stand ready",
        "ball": "lie still|rest|stay still",
        "cube": "stand still|rest|stay still",
        "ring": "stand still|rest|stay still",
        "cup": "stand|stand still|stay still",
    },
    "walk": {
        "": "walk|walk along|stroll|go for a walk",
        "robot": "walk|walk along|march",
        "astronaut": "walk|walk along|march",
        "rabbit": "walk|hop along|walk along",
        "bird": "walk|hop along|walk along",
        "duck": "walk|waddle|waddle along",
        "penguin": "walk|waddle|waddle along",
        "fish": "swim|swim along|swim about",
        "car": "drive|drive along|cruise along",
        "lorry": "drive|drive along|cruise along",
        "train": "travel along|ride along|chug along",
        "boat": "sail|sail along|cruise along",
        "aeroplane": "taxi along|taxi|drive along",
    },
    "run": {
        "": "run|run along|dash along|race along",
        "people": "run|jog|run along|sprint",
        "horse": "gallop|run|gallop along|race along",
        "fish": "swim fast|dart along|swim quickly",
        "car": "speed along|race along|drive fast",
        "lorry": "speed along|race along|drive fast",
        "train": "speed along|race along|rush along",
        "boat": "speed along|race along|sail fast",
        "ball": "roll fast|speed along|race along",
    },
    "jump": {
        "": "jump|jump up and down|hop up and down|leap into the air",
        "fish": "leap out of the water|jump|jump out of the water",
    },
    "spin": {"": "spin|spin around|turn around|spin in place|twirl|turn on the spot", "windmill": "turn its sails|spin its sails|turn"},
    "play": {
        "": "play|play happily|dance|dance about|hop about merrily",
        "cactus": "dance|dance about|play|hop about merrily",
    },
    "wave": {"": "wave|wave a hand|wave hello|wave merrily"},
    "sway": {
        "": "sway|sway in the wind|sway gently|sway in the breeze|sway to and fro",
        "tower": "sway|sway to and fro|sway gently|rock from side to side",
        "kite": "sway|sway in the wind|flutter|flutter in the breeze",
    },
    "fall": {"": "fall down|drop from above|fall and ~bounce|fall from the sky|drop and ~bounce"},
    "roll": {"": "roll|roll along|roll over the ground|roll steadily"},
    "slide": {"": "slide|slide along|glide along|slide over the ground"},
    "swing": {
        "": "swing|swing to and fro|swing back and forth|swing on a rope",
        "lantern": "swing|swing to and fro|swing back and forth|dangle",
    },
    "float": {
        "": "float|float gently|drift|float slowly",
        "people": "float|float in the air|hover|float weightlessly",
        "balloon": "float|float in the air|hover|drift in the air",
        "lantern": "float|float in the air|hover|drift in the air",
        "kite": "float|float in the air|hover|drift in the air",
        "ball": "float|float gently|hover",
        "ring": "float|float gently|hover",
        "fish": "float|float gently|float on the water",
        "boat": "float|drift|bob on the water|float gently",
        "iceberg": "float|drift|drift slowly|float on the water",
    },
    "fly": {
        "": "fly|fly through the air|fly around|fly about",
        "animals": "fly|fly through the air|fly around|fly about",
        "balloon": "fly|fly through the air|sail through the air",
        "rocket": "fly|lift off|take off|blast off",
        "kite": "fly|fly through the air|soar|fly in the wind",
    },
    "toss": {"": "fly in an arc|be tossed into the air|sail through the air in an arc|be thrown into the air"},
    "topple": {"": "topple over|tip over|fall over|keel over"},
    "collide": {
        "": "run into {}|bump into {}|collide with {}|crash into {}|hit {}",
        "objects": "run into {}|bump into {}|collide with {}|hit {}",
        "ball": "run into {}|roll into {}|bump into {}|collide with {}|hit {}",
    },
    "knock_over": {"": "knock over {}|knock {} over|run into {} and ~knock it over|bump into {} and ~knock it over|topple {}"},
    "chase": {"": "chase {}|chase after {}|run after {}|pursue {}", "car": "chase {}|chase after {}|pursue {}|race after {}",
              "lorry": "chase {}|chase after {}|pursue {}|race after {}", "ball": "chase {}|chase after {}|roll after {}|pursue {}"},
    "drink": {"": "drink from {}|sip from {}|take a sip from {}|lift {} and ~drink from it|pick up {} and ~drink"},
    "pour": {"cup": "pour water into {}|tip and ~pour water into {}", "flower": "pour water onto {}|water {}|pour water over {}"},
}  # fmt: skip
# What waves do to a cliff that stands.
WAVES = ("waves crash against {}", "waves break against {}", "waves beat against {}", "waves crash into {}")
WAVES_DOING = (
    "waves crashing against {}",
    "waves breaking against {}",
    "waves beating against {}",
    "waves crashing into {}",
)


@cache
def verbs(action: str, kind: str, target: str | None = None) -> tuple[Verb, ...]:
    """The English verbs of ``action`` when ``kind`` does it; pouring is called by what is poured at, the ``target`` kind."""
    table = VERBS[action]
    key = target if action == "pour" and target is not None else kind
    return tuple(verb(p) for p in (table.get(key) or table.get(KINDS[kind].category) or table[""]).split("|"))


@cache
def common_verbs(action: str, kinds: tuple[str, ...], target: str | None = None) -> tuple[Verb, ...]:
    """The verbs of ``action`` that suit all ``kinds``."""
    first, *others = (verbs(action, kind, target) for kind in kinds)
    return tuple(v for v in first if all(v in other for other in others))
