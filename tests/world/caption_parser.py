"""`parse`: what a caption claims. A reader of its own: it knows words (`caption_tables`), not the grammar that wrote the caption."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.world import caption_tables as tables

Ends = tuple[str | None, str | None]  # a kind and a colour; (None, None) is the first subject


@dataclass(kw_only=True)
class Mention:
    """Subjects that a caption introduces together, and what it says of them."""

    kind: str
    count: int = 1
    colour: str | None = None
    material: str | None = None
    actions: set[str] = field(default_factory=set)
    side: str | None = None
    target: Mention | None = None
    is_target: bool = False
    at: int = 0


@dataclass(kw_only=True)
class Claims:
    """Everything that a caption says; sets are empty where it says nothing."""

    mentions: list[Mention]
    place: set[str]
    time: set[str]
    weather: set[str]
    camera: set[str]
    style: set[str]
    is_aerial: bool
    relations: list[tuple[Ends, str, Ends]]


def parse(text: str, language: str) -> Claims:
    """What ``text`` claims."""
    return _parse_en(text) if language == "en" else _parse_zh(text)


def _values(table: dict[str, str], text: str) -> set[str]:
    return {value for value, pattern in table.items() if re.search(pattern, text)}


def _any(table: dict[str, str]) -> str:
    return "|".join(
        sorted((w for words in table.values() for w in re.split(r"\|(?![^(]*\))", words)), key=len, reverse=True)
    )


def _which(table: dict[str, str], word: str, *, plural: bool = False) -> str:
    return next(v for v, words in table.items() if re.fullmatch(f"(?:{words}){'s?' if plural else ''}", word))


def _actions(rows: tuple[tuple[str, str], ...], text: str) -> set[str]:
    return next((set(actions.split("|")) for pattern, actions in rows if re.search(pattern, text)), set())


# English

_COLOUR_EN = f"(?:(?:bright|pure|jet|chocolate|dark) )?(?:{_any(tables.COLOURS_EN)})"
_ADJECTIVE_EN = f"(?:little|tall|round|rugged|rocky|craggy|toy|carved|{_any(tables.MATERIALS_EN)}|{_COLOUR_EN})"
_NOUN_EN = f"(?:{_any(tables.KINDS_EN)})s?"
_WEAR = f"(?: in (?:an? )?(?P<worn>{_COLOUR_EN})(?: (?:shirt|suit)s?)?(?! winter| field))?"
_MENTION_EN = re.compile(
    rf"\b(?P<number>an?|another|two|three) (?P<look>(?:{_ADJECTIVE_EN} )*)(?P<noun>{_NOUN_EN})\b(?! (?:style|diorama)){_WEAR}"
)
_DEFINITE_EN = rf"the (?P<look>(?:{_ADJECTIVE_EN} )*)(?P<noun>{_NOUN_EN})\b"
_RELATION_EN = re.compile(
    rf"(?P<name>(?:to|on) the (?:left|right) of|behind|in front of|(?:bigger|larger|smaller) than) (?:it\b|{_DEFINITE_EN})"
)
_RELATION_NAMES_EN = {
    "left": "left_of",
    "right": "right_of",
    "behind": "behind",
    "front": "in_front_of",
    "smaller": "smaller_than",
    "er ": "bigger_than",
}
_SCENERY_EN = re.compile(
    r"(?:behind (?:the|stand|lie|lies|rise|are|stands)|in the background|all around|the ground|white foam|again and again the water)\b"
)
_NUMBERS = {"two": 2, "three": 3, "两": 2, "三": 3}


def _parse_en(text: str) -> Claims:
    text = text.lower().replace("-", " ")
    sentences = re.split(r"(?<=\.) ", text)
    told = [s for s in sentences if not _SCENERY_EN.match(s)]
    rest, camera = _camera_en(" ".join(told))
    style, is_aerial = _values(tables.STYLES_EN, rest), bool(re.search(tables.AERIAL_EN, rest))
    rest = re.sub(r"an? (?:animated )?cartoon(?: of)?|an? video of|an? (?:toy|miniature) diorama(?: of)?", " ", rest)
    mentions, relations = [], []
    for sentence in re.split(r"(?<=\.) ", rest):
        relations += _relations_en(sentence)
        mentions += _mentions_en(_RELATION_EN.sub(" ", sentence))
    return Claims(
        mentions=mentions, place=_values(tables.PLACES_EN, rest), time=_values(tables.TIMES_EN, rest),
        weather=_values(tables.WEATHERS_EN, rest), camera=camera, style=style, is_aerial=is_aerial, relations=relations,
    )  # fmt: skip


def _camera_en(text: str) -> tuple[str, set[str]]:
    """The text without what is said of the camera, and the classes that are meant."""
    found: set[str] = set()
    for name, (nouns, actions) in tables.CAMERAS_EN.items():
        for pattern in (rf"camera (?:slowly |quickly )?(?:{actions})\b", rf"(?:^|, |camera: )(?:{nouns})(?=[:.,]|$)"):
            if re.search(pattern, text):
                found.add(name)
            text = re.sub(pattern, " ", text)
    return re.sub(r"\b(?:as|meanwhile) the\s+(?=\s|$)|, the\s*(?=\s|\.|$)", " ", text), found


def _mentions_en(sentence: str) -> list[Mention]:
    found = list(_MENTION_EN.finditer(sentence))
    mentions = [_mention_en(m) for m in found]
    for n, (match, mention) in enumerate(zip(found, mentions, strict=True)):
        until = found[n + 1].start() if n + 1 < len(found) else len(sentence)
        after = sentence[match.end() : until]
        before = sentence[found[n - 1].end() if n else 0 : match.start()]
        if mention.is_target:
            continue
        if mention.kind == "cliff" and re.search(r"waves \w+ \w+ $", before):
            mention.actions = {"stand"}
            continue
        if mention.kind == "cliff" and n and mentions[n - 1].kind == "cliff" and re.fullmatch(" and |, ", before):
            mention.actions = {"stand"}
            continue
        shares = re.fullmatch(r" and |, ", after) and n + 1 < len(found)
        if shares:
            tail = sentence[found[n + 1].end() :]
            last = next((k for k in range(n + 1, len(found)) if not _is_link(sentence, found, k)), len(found) - 1)
            stop = found[last + 1].start() if last + 1 < len(found) else len(sentence)
            tail = sentence[found[last].end() : stop]
            mention.actions, mention.side = _actions(tables.ACTIONS_EN, _verb_part(tail)), _side_en(tail)
            _aim(mention, mentions, last, tail)
        else:
            mention.actions, mention.side = _actions(tables.ACTIONS_EN, _verb_part(after)), _side_en(after)
            _aim(mention, mentions, n, after)
    for mention in mentions:
        if mention.is_target:
            mention.actions, mention.side = set(), None
    return mentions


def _is_link(sentence: str, found: list[re.Match[str]], k: int) -> bool:
    return k + 1 < len(found) and re.fullmatch(r" and |, ", sentence[found[k].end() : found[k + 1].start()]) is not None


_PAIRS = {"collide", "knock_over", "chase", "drink", "pour"}


def _aim(mention: Mention, mentions: list[Mention], n: int, after: str) -> None:
    """Links ``mention`` with whom it does something to: the next one, where the words between end like that."""
    ends = re.search(
        r"(?:into|with|hit|hits|hitting|over|knock\w*|toppl(?:e|es|ing)|chas\w+|after|pursu\w+|from|lift\w*|up|onto|water(?:s|ing)?) $",
        after,
    )
    if mention.actions <= _PAIRS and mention.actions and ends and n + 1 < len(mentions):
        mention.target = mentions[n + 1]
        mentions[n + 1].is_target = True


def _verb_part(after: str) -> str:
    """``after`` up to the next clause."""
    after = after.replace("among rolling hills", "").replace("snowfall", "")
    return re.split(r" and waves | while (?!it is)| with (?!$)", after)[0] if not re.match(r" with ", after) else ""


def _side_en(after: str) -> str | None:
    match = re.search(r"to the (left|right)\b|(left|right)wards", after)
    return match and (match[1] or match[2])


def _mention_en(match: re.Match[str]) -> Mention:
    return Mention(
        kind=_which(tables.KINDS_EN, match["noun"], plural=True),
        count=_NUMBERS.get(match["number"], 1),
        colour=_colour_en(match["worn"] or match["look"]),
        material=next(iter(_values(tables.MATERIALS_EN, match["look"])), None),
    )


def _colour_en(look: str) -> str | None:
    words = re.search(rf"\b({_any(tables.COLOURS_EN)})\b", look)
    return _which(tables.COLOURS_EN, words[1]) if words else None


def _relations_en(sentence: str) -> list[tuple[Ends, str, Ends]]:
    out = []
    for match in _RELATION_EN.finditer(sentence):
        name = next(v for k, v in _RELATION_NAMES_EN.items() if k in match["name"] + " ")
        other = (
            (None, None)
            if match["noun"] is None
            else (_which(tables.KINDS_EN, match["noun"], plural=True), _colour_en(match["look"]))
        )
        before = sentence[: match.start()]
        starts = re.match(_DEFINITE_EN, sentence)
        if starts:
            one = (_which(tables.KINDS_EN, starts["noun"], plural=True), _colour_en(starts["look"]))
        else:
            last = list(_MENTION_EN.finditer(before))[-1]
            one = (_which(tables.KINDS_EN, last["noun"], plural=True), _colour_en(last["worn"] or last["look"]))
        out.append((one, name, other))
    return out


# Chinese

_COLOUR_ZH = f"(?:{_any(tables.COLOURS_ZH)})"
_LOOK_ZH = f"(?:(?:身穿|穿)?(?P<colour>{_COLOUR_ZH})(?:衣服|宇航服)?的?)?"
_STUFF_ZH = f"(?:{_any(tables.MATERIALS_ZH)})"
_NOUN_ZH = f"(?P<noun>{_any(tables.KINDS_ZH)})"
_MENTION_ZH = re.compile(
    rf"另?(?P<number>一|两|三)[个只名匹条棵朵丛座辆列艘架枚盏](?:崎岖的|陡峭的|高高的)?(?P<gloss>{_STUFF_ZH}的)?{_LOOK_ZH}(?P<stuff>{_STUFF_ZH})?{_NOUN_ZH}"
)
_CLIFF_ZH = re.compile(
    rf"(?:海浪|浪花)\w{{2,4}}?(?P<number>)(?:崎岖的|陡峭的)?(?P<gloss>{_STUFF_ZH}的)?{_LOOK_ZH}(?P<stuff>{_STUFF_ZH})?(?P<noun>{tables.KINDS_ZH['cliff']})"
)
_WAVES_ZH = re.compile(r"(?:海浪|浪花)(?:拍打着?|冲击着|撞击着)$")
_SCENERY_ZH = re.compile("背景|后面(?:是|有|立|密|的)|四周是|地面|远处(?!的景物)|水")
_THE_ZH = rf"(?:它|(?:(?P<colour>{_COLOUR_ZH})的)?{_NOUN_ZH})"
_RELATION_ZH = (
    re.compile(rf"(?:^|，){_THE_ZH}的?(?P<name>[左右][边侧面]|[前后][面方])有"),
    re.compile(
        rf"^(?P<one>(?:(?:{_COLOUR_ZH})的)?(?:{_any(tables.KINDS_ZH)}))(?:在|位于|比|明显比){_THE_ZH}的?(?P<name>[左右][边侧]|[前后][面方]|大|小)"
    ),
)
_RELATION_NAMES_ZH = {
    "左": "left_of",
    "右": "right_of",
    "前": "in_front_of",
    "后": "behind",
    "大": "bigger_than",
    "小": "smaller_than",
}


def _parse_zh(text: str) -> Claims:
    sentences = [s for s in re.split("(?<=。)", text) if s]
    told = "".join(s for s in sentences if not _SCENERY_ZH.match(s))
    camera = _values(tables.CAMERAS_ZH, told)
    rest = re.sub("|".join(tables.CAMERAS_ZH.values()), "", told)
    settings = {
        "place": _values(tables.PLACES_ZH, rest),
        "time": _values(tables.TIMES_ZH, rest),
        "weather": _values(tables.WEATHERS_ZH, rest),
    }
    mentions, relations = [], []
    for sentence in re.split("(?<=。)", rest):
        relations += _relations_zh(sentence)
        mentions += _mentions_zh(sentence)
    return Claims(
        mentions=mentions, **settings, camera=camera, style=_values(tables.STYLES_ZH, rest),
        is_aerial=bool(re.search(tables.AERIAL_ZH, rest)), relations=relations,
    )  # fmt: skip


def _mentions_zh(sentence: str) -> list[Mention]:
    found = list(_MENTION_ZH.finditer(sentence))
    found += [m for m in _CLIFF_ZH.finditer(sentence) if not any(f.end() == m.end() for f in found)]
    found.sort(key=lambda m: m.end())
    mentions = [_mention_zh(m) for m in found]
    for n, (match, mention) in enumerate(zip(found, mentions, strict=True)):
        if mention.is_target:
            continue
        if mention.kind == "cliff" and (match.re is _CLIFF_ZH or _WAVES_ZH.search(sentence[: match.start()])):
            mention.actions = {"stand"}
            continue
        if (
            mention.kind == "cliff"
            and n
            and mentions[n - 1].kind == "cliff"
            and sentence[found[n - 1].end() : match.start()] in ("和", "、")
        ):
            mention.actions = {"stand"}
            continue
        last = n
        while last + 1 < len(found) and sentence[found[last].end() : found[last + 1].start()] in ("和", "、"):
            last += 1
        end = found[last].end()
        until = found[last + 1].start() if last + 1 < len(found) else len(sentence)
        after = sentence[end:until]
        if last + 1 < len(found) and _PAIR_ZH.search(after):
            tail = re.split("[，。]", sentence[found[last + 1].end() :])[0]
            mention.actions = _actions(tables.ACTIONS_ZH, after + tail) & _PAIRS
            mention.target = mentions[last + 1]
            mentions[last + 1].is_target = True
            continue
        clause = re.split("[，。]", after)
        mention.actions = _actions(tables.ACTIONS_ZH, _without_place(clause[0]))
        side = re.search("[向往朝]([左右])", clause[0])
        mention.side = side and {"左": "left", "右": "right"}[side[1]]
    return mentions


_PAIR_ZH = re.compile(
    "(?:追赶|追逐|追着|追|撞上|撞到|撞向|碰撞|撞倒|碰倒|把|将|用|端起|拿着|捧着|给|往|向|把水倒进|把水浇在)$"
)


_PLACE_ZH = re.compile(
    "日落(?:时分|时)?|积雪的原野上|白茫茫的(?:原野|大地)上|湖面上空|[^在，]*?上空|(?:公园的)?(?:草坪|草地)上|公园里|沙漠[里中上]|大漠中|[森树]林[里中间]|林间|"
    "房间里|屋子?里|室内|(?:海边的)?沙滩上|海滩上|雪[地原][里上]|(?:小山坡|山丘|丘陵)[上间]|(?:城市)?街道上|大街上|马路上|海岸[上边旁]|湖岸?[边畔上]"
)


def _without_place(text: str) -> str:
    return _PLACE_ZH.sub("", text)


def _mention_zh(match: re.Match[str]) -> Mention:
    material = (match["gloss"] or "").rstrip("的") or match["stuff"]
    return Mention(
        kind=_which(tables.KINDS_ZH, match["noun"]),
        count=_NUMBERS.get(match["number"], 1),
        colour=match["colour"] and _which(tables.COLOURS_ZH, match["colour"]),
        material=material and _which(tables.MATERIALS_ZH, material),
    )


def _ends_zh(colour: str | None, noun: str | None) -> Ends:
    return (noun and _which(tables.KINDS_ZH, noun), colour and _which(tables.COLOURS_ZH, colour))


def _relations_zh(sentence: str) -> list[tuple[Ends, str, Ends]]:
    out = []
    for match in _RELATION_ZH[0].finditer(sentence):
        who = _MENTION_ZH.match(sentence, match.end())
        if who:
            one = _ends_zh(who["colour"], who["noun"])
            out.append((one, _RELATION_NAMES_ZH[match["name"][0]], _ends_zh(match["colour"], match["noun"])))
    match = _RELATION_ZH[1].match(sentence)
    if match:
        head = re.fullmatch(_THE_ZH, match["one"])
        assert head is not None
        out.append(
            (
                _ends_zh(head["colour"], head["noun"]),
                _RELATION_NAMES_ZH[match["name"][0]],
                _ends_zh(match["colour"], match["noun"]),
            )
        )
    return out
