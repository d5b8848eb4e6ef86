"""`say`: a sketch as an English sentence in the manner of training captions. Standard library only."""

from __future__ import annotations

from kinema.prompt.inflect import article, does, doing, plural, singular, stem
from kinema.prompt.lexicon import Lexicon
from kinema.prompt.parse import Sketch, Subject

_NUMBERS = {2: "two", 3: "three"}
_VERBS = {
    "stand": "stand", "walk": "walk", "run": "run", "jump": "jump", "spin": "spin", "play": "play", "wave": "wave", "sway": "sway",
    "fall": "fall down", "roll": "roll", "slide": "slide", "swing": "swing", "float": "float", "fly": "fly", "toss": "fly in an arc",
    "topple": "topple over", "collide": "run into", "knock_over": "knock over", "chase": "chase", "drink": "drink from",
    "pour": "pour water into",
}  # fmt: skip
# (action, kind) -> what it is called when that kind does it
_VERBS_OF = {
    ("walk", "fish"): "swim", ("walk", "car"): "drive", ("walk", "lorry"): "drive", ("walk", "train"): "travel along",
    ("walk", "boat"): "sail", ("walk", "aeroplane"): "taxi along", ("run", "horse"): "gallop", ("run", "fish"): "swim fast",
    ("run", "car"): "speed along", ("run", "lorry"): "speed along", ("run", "train"): "speed along", ("run", "boat"): "speed along",
    ("run", "ball"): "roll fast", ("fly", "rocket"): "lift off", ("stand", "balloon"): "hang in the air", ("stand", "lantern"):
        "hang still",
    ("stand", "ball"): "lie still", ("stand", "iceberg"): "lie still", ("stand", "car"): "be parked", ("stand", "lorry"): "be parked",
    ("spin", "windmill"): "turn its sails",
}  # fmt: skip
_GOES = ("walk", "run", "roll", "slide")
_AFLOAT, _ALOFT = ("boat", "iceberg", "fish"), ("balloon", "kite")
_OUTFITS = {"person": "shirt", "astronaut": "suit"}
_VIEW_HEADS = ("drone view", "aerial view")


def say(sketch: Sketch, lexicon: Lexicon) -> str:
    """The sentence: who does what where, when and in what weather, what the others do, then style and camera."""
    main, *others = speakers(sketch)
    view = (
        next((w for w in _VIEW_HEADS if w in lexicon.known("view", "aerial")), None)
        if "view" in sketch.settings
        else None
    )
    is_doing = view is not None
    parts = [f"{view} of"] if view else []
    parts += [_clause(main, lexicon, is_doing=is_doing), _place(sketch, main, lexicon)]
    parts += [_setting(sketch, "time", lexicon), _setting(sketch, "weather", lexicon)]
    for number, other in enumerate(others):
        is_first_doer = not any(o.action for o in others[:number])
        link = "and" if is_doing or not is_first_doer else "while"
        parts.append(_aside(sketch, other, lexicon, is_first=number == 0, link=link, is_doing=is_doing))
    text = " ".join(p for p in dict.fromkeys(parts) if p)  # "on a foggy morning" is time and weather
    tags = (_setting(sketch, "style", lexicon), _setting(sketch, "camera", lexicon))
    return ", ".join([text, *(t for t in tags if t)])


def speakers(sketch: Sketch) -> list[Subject]:
    """The subjects that get a clause: the one that does something to another first, its target within its clause."""
    targets = [id(s.target) for s in sketch.subjects if s.target is not None]
    doers = [s for s in sketch.subjects if id(s) not in targets or s.target is not None]
    return sorted(doers, key=lambda s: s.target is None)


def _clause(subject: Subject, lexicon: Lexicon, *, is_doing: bool) -> str:
    if subject.action == "waves":
        return f"waves {'crashing' if is_doing else 'crash'} against {_who(subject, lexicon)}"
    words = [_who(subject, lexicon), _verb(subject, lexicon, is_doing=is_doing)]
    if subject.target is not None:
        words.append(_who(subject.target, lexicon))
    if subject.direction and subject.action in _GOES:
        words.append(next(iter(lexicon.known("direction", subject.direction)), ""))
    return " ".join(w for w in words if w)


def _aside(sketch: Sketch, other: Subject, lexicon: Lexicon, *, is_first: bool, link: str, is_doing: bool) -> str:
    if sketch.relation and is_first and len(sketch.subjects) == 2:
        known = lexicon.known("relation", sketch.relation)
        if known and sketch.subjects[1] is other:
            return f"{known[0]} {_who(other, lexicon)}"
    if other.action is None:
        return ("with " if is_first else "and ") + _who(other, lexicon)
    return f"{link} {_clause(other, lexicon, is_doing=is_doing)}"


def _who(subject: Subject, lexicon: Lexicon) -> str:
    noun = subject.word or next(iter(lexicon.known("kind", subject.kind)), subject.kind)
    noun = noun.casefold()
    colour = next(iter(lexicon.known("colour", subject.colour)), "") if subject.colour else ""
    material = next(iter(lexicon.known("material", subject.material)), "") if subject.material else ""
    outfit = _OUTFITS.get(subject.kind)
    is_dressed = (
        colour and outfit and outfit in [w for ws in lexicon.vocabulary.get("clothes", {}).values() for w in ws]
    )
    looks = (
        (material, "" if is_dressed else colour)
        if material in ("shiny", "matte")
        else ("" if is_dressed else colour, material)
    )
    noun = plural(singular(noun)) if subject.count > 1 else singular(noun)
    text = " ".join(w for w in (*looks, noun) if w)
    text = f"{_NUMBERS[min(subject.count, 3)]} {text}" if subject.count > 1 else article(text)
    return f"{text} in a {colour} {outfit}" if is_dressed else text


def _verb(subject: Subject, lexicon: Lexicon, *, is_doing: bool) -> str:
    """The user's own verb in the form that the sentence needs if the model knows it, else the usual one of that kind."""
    if subject.action is None:
        return ""
    is_many = subject.count > 1
    known = lexicon.known("action", subject.action)
    if subject.verb and subject.target is None:
        alike = [w for w in known if _same(w, subject.verb)]
        if chosen := _form(alike, is_doing=is_doing, is_many=is_many):
            return chosen
    bare = _VERBS_OF.get((subject.action, subject.kind), _VERBS.get(subject.action, subject.action))
    if subject.action == "pour" and subject.target is not None and subject.target.kind == "flower":
        bare = "pour water onto"
    options = [bare, _VERBS.get(subject.action, bare)]
    for option in options:
        wanted = doing(option) if is_doing else option if is_many else does(option)
        if option.startswith("be "):
            wanted = option[3:] if is_doing else ("are " if is_many else "is ") + option[3:]
        if wanted in known or any(_same(w, option) for w in known):
            return wanted
    return _form(known, is_doing=is_doing, is_many=is_many)


def _same(phrase: str, other: str) -> bool:
    return [stem(w) for w in phrase.casefold().split()] == [stem(w) for w in other.casefold().split()]


def _form(phrases: tuple[str, ...] | list[str], *, is_doing: bool, is_many: bool) -> str:
    """The first of ``phrases`` in the form that is wanted, or "" ."""
    for phrase in phrases:
        first = phrase.split(" ")[0]
        is_going_on = first.endswith("ing") and len(first) > 4
        is_one = not is_going_on and first.endswith("s") and not first.endswith("ss")
        if is_going_on == is_doing and (is_doing or is_one != is_many):
            return phrase
    return ""


def _place(sketch: Sketch, main: Subject, lexicon: Lexicon) -> str:
    if "place" not in sketch.settings:
        return ""
    value, words = sketch.settings["place"]
    known = lexicon.known("place", value)
    if words and words.casefold() in known:
        return words.casefold()
    if sketch.settings.get("weather", ("",))[0] == "snow":  # lest snow be said twice
        known = tuple(w for w in known if "snow" not in w) or known
    is_aloft = main.kind in _ALOFT or (main.action == "fly" and main.kind != "rocket")
    if is_aloft:
        return next((w for w in known if w.startswith("over ")), known[0])
    if main.kind in _AFLOAT:
        return next((w for w in known if w.startswith(("on the lake", "off "))), known[0])
    return known[0]


def _setting(sketch: Sketch, attribute: str, lexicon: Lexicon) -> str:
    if attribute not in sketch.settings:
        return ""
    value, words = sketch.settings[attribute]
    known = lexicon.known(attribute, value)
    if words and attribute in ("time", "weather"):
        return words.casefold()
    return known[0]
