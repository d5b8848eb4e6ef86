"""One Chinese caption's choice of words: nouns with their colours and measure words, verbs, where and when."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinema.world.clauses import WAVES, Clause, is_aloft, side, split
from kinema.world.rng import Random, T
from kinema.world.scene import Scene
from kinema.world.words import DIRECTION_WORDS, cameras
from kinema.world.words.nouns import CLOTHES, COLOUR_WORDS, IS_STUFF, KIND_WORDS, MATERIAL_WORDS, MEASURE_WORDS
from kinema.world.words.settings import Setting, setting
from kinema.world.words.verbs_zh import WAVES as WAVES_DO
from kinema.world.words.verbs_zh import common_verbs, directed

_NUMBERS = {1: "一", 2: "两", 3: "三"}
_OUTDOORS = ("风",)
_CANONICAL_SHARE = 0.45
_WATCHED = re.compile(
    "雪|雾|雨|草|玩具|模型|卡通|静静|静止|不动|空|大漠|镜头|夜|俯|航拍|水面|滑行|林|夕阳|云|慢慢|缓缓|海面|固定|立|画面"
)


def is_doubled(text: str) -> bool:
    """Whether ``text`` says a word twice that shouldn't be."""
    found = _WATCHED.findall(text)
    return len(found) != len(set(found))


def listed(parts: Sequence[str]) -> str:
    """Parts as a list in a sentence: "甲、乙和丙" of three."""
    return parts[0] if len(parts) == 1 else "、".join(parts[:-1]) + "和" + parts[-1]


class Speech:
    """The words of one caption: each thing keeps the word that was chosen for it first."""

    def __init__(self, scene: Scene, random: Random, *, with_colour: bool = True, with_material: bool = True) -> None:
        self.scene, self.random = scene, random
        self.with_colour, self.with_material = with_colour, with_material
        self.setting: Setting = setting(scene, "zh")
        self._chosen: dict[tuple[str, str], str] = {}
        self._introduced: list[str] = []
        self._known: set[int] = set()
        self._nouns: dict[str, str] = {}
        self._clothed: int = random.choice((0, 1, 2))
        self._drops_particle = random.chance(0.2)

    def forget(self) -> None:
        """Starts the caption over: nobody has been met and no word is chosen."""
        self._chosen.clear()
        self._introduced.clear()
        self._known.clear()
        self._nouns.clear()

    def pick(self, options: Sequence[T]) -> T:
        """The canonical one of ``options``, or any."""
        return options[0] if self.random.chance(_CANONICAL_SHARE) else self.random.choice(options)

    def word(self, table: dict[str, dict[str, tuple[str, ...]]], name: str, value: str) -> str:
        """This caption's word for ``value``."""
        key = (name, value)
        if key not in self._chosen:
            self._chosen[key] = self.pick(table[value]["zh"])
        return self._chosen[key]

    def noun(self, number: int) -> str:
        """The bare noun of a subject."""
        kind = self.scene.subjects[number].kind
        if kind not in self._nouns:
            made = {s.material for s in self.scene.subjects if s.kind == kind} if self.with_material else set()
            options = KIND_WORDS[kind]["zh"]
            if made & {m for m, is_stuff in IS_STUFF.items() if is_stuff}:  # no leather balls of metal, no 木制树
                options = [w for w in options if len(w) > 1 and w != "皮球"]
            self._nouns[kind] = self.pick(options)
        return self._nouns[kind]

    def colour(self, number: int) -> str:
        """The colour word of a subject."""
        return self.word(COLOUR_WORDS, "colour", self.scene.subjects[number].colour)

    def look(self, number: int) -> str:
        """Colour, material and noun of a subject: "亮闪闪的红色皮球"."""
        subject, noun = self.scene.subjects[number], self.noun(number)
        before = stuff = ""
        if self.with_material and subject.material != "matte":
            material = self.word(MATERIAL_WORDS, "material", subject.material)
            before, stuff = ("", material) if IS_STUFF[subject.material] else (material + "的", "")
        colour = self.colour(number) if self.with_colour else ""
        if "的" in noun and (colour or stuff):  # 崎岖的绿色悬崖, not 绿色的崎岖的悬崖
            manner, _, noun = noun.partition("的")
            before = manner + "的" + before
        if colour and subject.kind in CLOTHES and self._clothed:
            return f"{before}{'身穿' if self._clothed == 2 else '穿'}{colour}{CLOTHES[subject.kind][1]}的{stuff}{noun}"
        if colour:
            colour += "" if (self._drops_particle or before) and len(stuff + noun) > 1 and "的" not in noun else "的"
        return before + colour + stuff + noun

    def several(self, numbers: Sequence[int]) -> str:
        """The noun phrase of subjects when first met: "两个红色的球和一个蓝色的方块"."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        for number in numbers:
            s = self.scene.subjects[number]
            key = (s.kind, s.colour if self.with_colour else "", s.material if self.with_material else "")
            groups.setdefault(key, []).append(number)
        return listed([self._some(group) for group in groups.values()])

    def _some(self, group: Sequence[int]) -> str:
        look, measure = self.look(group[0]), MEASURE_WORDS[self.scene.subjects[group[0]].kind]
        another = "另" if look in self._introduced else ""
        self._introduced.append(look)
        return f"{another}{_NUMBERS[len(group)]}{measure}{look}"

    def the(self, number: int) -> str | None:
        """A subject met before: "小球", or "红色的球" if there are others; None if no word tells it apart."""
        subject = self.scene.subjects[number]
        alike = [s for s in self.scene.subjects if s.kind == subject.kind]
        if len(alike) == 1:
            return self.noun(number)
        if self.with_colour and sum(s.colour == subject.colour for s in alike) == 1:
            return f"{self.colour(number)}的{self.noun(number)}"
        return None

    def each(self, number: int, *, is_kind: bool) -> str:
        """Each of several, said by the noun of one of them if all are of its kind."""
        measure = MEASURE_WORDS[self.scene.subjects[number].kind]
        return f"每{measure}{self.noun(number)}" if is_kind else "它们"

    def who(self, clause: Clause) -> str:
        """Those that act in ``clause``; nobody where the waves do."""
        return "" if clause.action == WAVES else self.several(clause.actors)

    def what(self, clause: Clause, *, way: bool = False, going_on: bool = False) -> str:
        """What they do; said as going on (在...) where nothing else stands before the verb."""
        if clause.action == WAVES:
            cliff = self.several(clause.actors)
            if len(clause.actors) == 1 and self.random.chance(0.4):
                cliff = cliff[2:] if not cliff.startswith("另") else cliff
            return self.pick(WAVES_DO).format(cliff)
        kinds = tuple(dict.fromkeys(self.scene.subjects[n].kind for n in clause.actors))
        to = side(self.scene, clause) if way else None
        ahead = directed(clause.action, kinds) if to else ()
        if to and ahead:
            return self.pick(DIRECTION_WORDS[to]["zh"]) + self.pick(ahead)
        target = None if clause.target is None else self.scene.subjects[clause.target].kind
        options = common_verbs(clause.action, kinds, target)
        if self.setting.joint == ():  # indoors
            options = [v for v in options if not any(w in v.text for w in _OUTDOORS)]
        chosen = self.pick(options)
        text = chosen.text
        if clause.target is not None:
            text = text.format(self._met(clause.target))
        if going_on and chosen.is_lasting and not text.endswith("着"):
            text = self.random.choice(("在", "正在")) + text
        return text

    def _met(self, number: int) -> str:
        """Who something is done to: new here, or met in another clause."""
        the = self.the(number) if number in self._known else None
        self._known.add(number)
        return the or self._some([number])

    def parts(self, made: Sequence[Clause]) -> list[Clause]:
        """``made`` with those split whose actors have no verb in common."""
        out: list[Clause] = []
        for clause in made:
            kinds = tuple(dict.fromkeys(self.scene.subjects[n].kind for n in clause.actors))
            target = None if clause.target is None else self.scene.subjects[clause.target].kind
            fits = clause.action == WAVES or common_verbs(clause.action, kinds, target)
            out += [clause] if fits else split(clause)
        return out

    def place(self, clause: Clause) -> str:
        """Where, without its preposition."""
        above = self.setting.above
        if above and is_aloft(self.scene, clause) and self.random.chance(0.5):
            return self.pick(above)
        return self.pick(self.setting.place)

    def when(self, *, time: bool, weather: bool) -> list[str]:
        """Time and weather, at once or one after the other."""
        weather = weather and bool(self.setting.weather)
        if time and weather and self.random.chance(0.7):
            return [self.pick(self.setting.joint)]
        words = [self.pick(self.setting.time)] if time else []
        if not weather:
            return words
        doubles = bool(words) and words[0].endswith("时")
        return [*words, self.pick([w for w in self.setting.weather if not (doubles and w.endswith("时"))])]

    def camera(self) -> str:
        """What the camera does."""
        name, speed = self.scene.camera, self.scene.camera_speed
        text = self.pick(cameras.split(cameras.CAMERAS_ZH[name]))
        moves = name not in cameras.STILL and text.startswith("镜头") and not cameras.SLOW < speed < cameras.QUICK
        if moves and self.random.chance(0.7):
            text = "镜头" + cameras.PACES["slow" if speed <= cameras.SLOW else "quick"][1] + text[2:]
        return text
