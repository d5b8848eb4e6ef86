"""Where and when: places, times and weathers in English and Chinese, each word said only where it shows. Canonical words come first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kinema.world.nature import PLACES
from kinema.world.scene import Scene
from kinema.world.words.nouns import Words

# A camera that looks down this far sees no sky.
DRONE_DEG = 18.0
SKYLESS_DEG = 12.0

# place: phrases on its ground, phrases on its water, phrases in its air
_PLACES_EN = {
    "park": ("in the park|in a park|on a lawn|on the lawn of a park", "", "over the park|above the park"),
    "beach": (
        "on the beach|at the beach|on a sandy beach|on a beach by the sea",
        "off the beach|near the beach|in the sea off a beach|at the beach",
        "over the beach|above the beach",
    ),
    "snowfield": (
        "in the snow|on a snowfield|on the snow|in a snowy field",
        "",
        "over the snowfield|above the snowfield",
    ),
    "desert": ("in the desert|in a desert|on desert sand|in a sandy desert", "", "over the desert|above the desert"),
    "coast": (
        "on the coast|at the coast|on a rocky coast|by the coast",
        "off the coast|at the coast|near the coast|off a rocky coast",
        "over the coast|above the coast",
    ),
    "lake": (
        "by the lake|by a lake|beside a lake|on the shore of a lake",
        "on the lake|on a lake|out on the lake|on a wide lake",
        "over the lake|above the lake",
    ),
    "hills": ("in the hills|among the hills|among rolling hills|on a hillside", "", "over the hills|above the hills"),
    "street": ("in the street|on the street|in a city street|on a city street", "", "over the street|above the street"),
    "forest": ("in the forest|in a forest|in the woods|deep in a forest", "", "over the forest|above the forest"),
    "room": ("in the room|in a room|indoors|inside a room", "", "in the room|in a room"),
}
_PLACES_ZH = {
    "park": ("公园里|公园的草坪上|公园的草地上|草坪上", "", "公园上空"),
    "beach": (
        "海滩上|沙滩上|海边的沙滩上|海滩边",
        "海滩边的海面上|沙滩附近的海面上|海滩边|海滩附近",
        "海滩上空|沙滩上空",
    ),
    "snowfield": ("雪地里|雪地上|雪原上|积雪的原野上", "", "雪地上空|雪原上空"),
    "desert": ("沙漠里|沙漠中|沙漠上|大漠中", "", "沙漠上空"),
    "coast": ("海岸边|海岸上|岩石海岸边|海岸旁", "海岸边的海面上|海岸附近的海面上|海岸边|海岸附近", "海岸上空"),
    "lake": ("湖边|湖畔|湖岸上|湖岸边", "湖面上|湖上|宽阔的湖面上", "湖面上空|湖边上空"),
    "hills": ("山丘上|丘陵间|小山坡上|山丘间", "", "山丘上空|丘陵上空"),
    "street": ("街道上|大街上|城市街道上|马路上", "", "街道上空|大街上空"),
    "forest": ("森林里|树林里|林间|森林中", "", "森林上空|树林上空"),
    "room": ("房间里|屋子里|室内|屋里", "", "房间里|屋子里"),
}
# The canonical phrases of a snowfield where snow falls too, lest snow be said twice.
_SNOWED = {
    "en": "in a white winter field|on a white field|in a white winter landscape",
    "zh": "白茫茫的原野上|白茫茫的大地上",
}

# time: always true; only in a clear open sky's light; only where a clear sky is seen
_TIMES_EN = {
    "dawn": ("at dawn|at daybreak|in the early morning|at sunrise", "in the first sunlight", ""),
    "day": ("in the daytime|by day|during the day|in daylight", "on a sunny day|in bright sunshine", ""),
    "sunset": ("at sunset|at dusk|in the evening", "as the sun sets|in the evening glow", ""),
    "night": ("at night|by night|after dark", "in the moonlight", "under the stars|under a starry sky"),
}
_TIMES_ZH = {
    "dawn": ("清晨|黎明|拂晓|日出时", "晨光中", ""),
    "day": ("白天|大白天|日间", "晴天|阳光下", ""),
    "sunset": ("日落时|傍晚|黄昏|日落时分", "夕阳下|晚霞中", ""),
    "night": ("夜晚|晚上|夜里|夜间", "月光下", "星空下"),
}
# weather: always true; only where the sky is seen
_WEATHERS_EN = {
    "clear": ("in clear weather|in fine weather", "under a clear sky"),
    "cloudy": ("in cloudy weather|in overcast weather", "under a cloudy sky|under grey clouds"),
    "rain": ("in the rain|as rain falls|while it is raining|in the falling rain", ""),
    "snow": ("in the falling snow|as snow falls|while it is snowing|in a snowfall", ""),
    "fog": ("in the fog|in the mist|in thick fog|in foggy weather", ""),
}
_WEATHERS_ZH = {
    "clear": ("晴朗的天气里|天气晴朗时", ""),
    "cloudy": ("阴天|多云的天气里|多云时", ""),
    "rain": ("雨中|下雨时|雨天里|细雨中", ""),
    "snow": ("雪中|下雪时|飘雪时|飞雪中", ""),
    "fog": ("雾中|大雾里|雾天里|薄雾中", ""),
}
# Whole clauses, for the end of a sentence.
WEATHER_CLAUSES_EN = {
    "clear": ("the weather is fine",),
    "cloudy": ("the weather is cloudy", "it is overcast"),
    "rain": ("rain is falling", "it is raining"),
    "snow": ("snow is falling", "it is snowing"),
    "fog": ("it is foggy", "fog hangs in the air"),
}
WEATHER_CLAUSES_ZH = {
    "clear": ("天气晴朗",),
    "cloudy": ("天阴沉沉的", "天气多云"),
    "rain": ("天上下着雨", "下着雨"),
    "snow": ("天上飘着雪花", "下着雪"),
    "fog": ("四周雾蒙蒙的", "周围弥漫着雾"),
}
_ADJECTIVES_EN = {
    "clear": "clear|fine",
    "cloudy": "cloudy|overcast",
    "rain": "rainy",
    "snow": "snowy",
    "fog": "foggy|misty",
}
_ADJECTIVES_ZH = {
    "clear": "晴朗的",
    "cloudy": "多云的|阴沉的",
    "rain": "下雨的|下着雨的",
    "snow": "下雪的|飘雪的",
    "fog": "有雾的|雾蒙蒙的",
}
_NAMES_EN = {"dawn": "morning", "day": "day", "sunset": "evening", "night": "night"}
_NAMES_ZH = {"dawn": "清晨|早晨", "day": "白天", "sunset": "傍晚|黄昏", "night": "夜晚|夜里"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What may be said of where and when, canonical first. ``joint`` says time and weather at once; ``above`` is for what flies."""

    place: tuple[str, ...]
    above: tuple[str, ...]
    time: tuple[str, ...]
    weather: tuple[str, ...]
    joint: tuple[str, ...]


def setting(scene: Scene, language: str) -> Setting:
    """The words for where and when of ``scene`` that hold in its weather and that its camera can see."""
    sees_sky = scene.elevation_deg < SKYLESS_DEG
    return _setting(scene.place, scene.time, scene.weather, scene.is_afloat, sees_sky, language)


@cache
def _setting(place: str, time: str, weather: str, afloat: bool, sees_sky: bool, language: str) -> Setting:
    is_english = language == "en"
    ground, water, air = (_PLACES_EN if is_english else _PLACES_ZH)[place]
    where = water if afloat and water else ground
    if (place, weather) == ("snowfield", "snow"):
        where = _SNOWED[language]
        air = ""
    always, in_the_clear, with_sky = (_TIMES_EN if is_english else _TIMES_ZH)[time]
    is_indoors = PLACES[place].is_indoors
    is_open = weather == "clear" and not is_indoors
    times = [always, in_the_clear if is_open else "", with_sky if is_open and sees_sky else ""]
    falls, overhead = (_WEATHERS_EN if is_english else _WEATHERS_ZH)[weather]
    weathers = "" if is_indoors else "|".join(p for p in (falls, overhead if sees_sky else "") if p)
    joint = ()
    if not is_indoors:
        joint = tuple(_joint_en(time, weather) if is_english else _joint_zh(time, weather))
    return Setting(
        place=_split(where),
        above=_split(air),
        time=_split("|".join(t for t in times if t)),
        weather=_split(weathers),
        joint=joint,
    )


def _joint_en(time: str, weather: str) -> list[str]:
    adjectives = _ADJECTIVES_EN[weather].split("|")
    return [f"on {'an' if a[0] in 'aeiou' else 'a'} {a} {_NAMES_EN[time]}" for a in adjectives]


def _joint_zh(time: str, weather: str) -> list[str]:
    return [a + n for n in _NAMES_ZH[time].split("|") for a in _ADJECTIVES_ZH[weather].split("|")]


def _split(phrases: str) -> tuple[str, ...]:
    return tuple(p for p in phrases.split("|") if p)


def _all(*tables: dict[str, tuple[str, ...]]) -> Words:
    english, chinese = (
        {value: tuple(dict.fromkeys(p for row in rows for p in _split(row))) for value, rows in table.items()}
        for table in tables
    )
    return {value: {"en": english[value], "zh": chinese[value]} for value in english}


def _joints(named: str) -> Words:
    """The joint words by the value of ``named``: time or weather."""
    out: Words = {}
    for time in _NAMES_EN:
        for weather in _ADJECTIVES_EN:
            entry = out.setdefault(time if named == "time" else weather, {"en": (), "zh": ()})
            entry["en"] += tuple(_joint_en(time, weather))
            entry["zh"] += tuple(_joint_zh(time, weather))
    return out


def _with(words: Words, more: Words) -> Words:
    return {v: {lang: tuple(dict.fromkeys((*w[lang], *more[v][lang]))) for lang in w} for v, w in words.items()}


# All words of each value, for the vocabulary.
PLACE_WORDS = _all(_PLACES_EN, _PLACES_ZH)
PLACE_WORDS["snowfield"] = {lang: (*PLACE_WORDS["snowfield"][lang], *_split(_SNOWED[lang])) for lang in ("en", "zh")}
TIME_WORDS = _with(_all(_TIMES_EN, _TIMES_ZH), _joints("time"))
WEATHER_WORDS = _with(
    _with(
        _all(_WEATHERS_EN, _WEATHERS_ZH),
        {w: {"en": WEATHER_CLAUSES_EN[w], "zh": WEATHER_CLAUSES_ZH[w]} for w in WEATHER_CLAUSES_EN},
    ),
    _joints("weather"),
)
