"""Dense captions: a paragraph that says who does what where and when, how it looks, what stands behind, the light and the camera."""

from __future__ import annotations

from collections.abc import Sequence

from kinema.world import speech_en, speech_zh
from kinema.world.clauses import Clause, clauses
from kinema.world.nature import PLACES
from kinema.world.phrases import Phrases
from kinema.world.phrases_en import ENGLISH
from kinema.world.phrases_zh import CHINESE
from kinema.world.relations import relations
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.sentences_zh import core
from kinema.world.words.inflect import capital
from kinema.world.words.settings import DRONE_DEG, SKYLESS_DEG

PHRASES: dict[str, Phrases] = {"en": ENGLISH, "zh": CHINESE}
_STYLE_SHARE = {"toy": 0.2, "cartoon": 1.0}
_MAX_RELATIONS = 2
_DRONE = {
    "en": ("It is an aerial view, as if from a drone.", "Everything is seen from above in a drone view."),
    "zh": ("这是从高处俯拍的航拍画面。", "画面是无人机航拍的俯视视角。"),
}
_FROM_ABOVE = {"en": "Everything is seen from above.", "zh": "画面从高处俯拍。"}
_CAMERA_EN = ("The camera {does}.", "Meanwhile the camera {does}.", "The camera {does} during the shot.")
_CAMERA_ZH = ("{camera}。", "与此同时，{camera}。", "拍摄时{camera}。")


def dense(scene: Scene, language: str, random: Random) -> str:
    """A paragraph about ``scene``."""
    phrases = PHRASES[language]
    speech = (speech_en if language == "en" else speech_zh).Speech(scene, random)
    main, *others = speech.parts(clauses(scene))
    is_english = isinstance(speech, speech_en.Speech)
    sentences = _openings_en(speech, main, others) if is_english else _openings_zh(speech, main, others)
    if random.chance(_STYLE_SHARE[scene.style]):
        sentences.append(random.choice(phrases.style_sentence[scene.style]))
    sentences += _about(speech, phrases, main)
    sentences += _relations(speech, phrases)
    sentences.append(background(scene, language, random))
    sentences.append(light(scene, language, random))
    if scene.elevation_deg >= DRONE_DEG:
        is_indoors = PLACES[scene.place].is_indoors
        sentences.append(_FROM_ABOVE[language] if is_indoors else random.choice(_DRONE[language]))
    sentences.append(_camera_en(speech) if is_english else _camera_zh(speech))
    return " ".join(capital(s) for s in sentences) if language == "en" else "".join(sentences)


def background(scene: Scene, language: str, random: Random) -> str:
    """What lies around and behind, as far as the camera and the weather let one see."""
    phrases = PHRASES[language]
    sees_far = scene.elevation_deg < SKYLESS_DEG and scene.weather != "fog"
    if scene.is_afloat:
        around, behind = phrases.afloat[scene.place]
        return (
            random.choice((around, behind))
            if sees_far
            else around
            if scene.weather != "fog"
            else behind_fog(language, scene)
        )
    return random.choice((phrases.far if sees_far else phrases.ground)[scene.place])


def behind_fog(language: str, scene: Scene) -> str:
    """What is seen around a scene afloat in fog: water."""
    if language == "en":
        return f"All around is {'calm lake' if scene.place == 'lake' else 'sea'} water."
    return f"四周是{'平静的湖水' if scene.place == 'lake' else '海水'}。"


def light(scene: Scene, language: str, random: Random) -> str:
    """The light and the weather."""
    phrases, sees_sky = PHRASES[language], scene.elevation_deg < SKYLESS_DEG
    if PLACES[scene.place].is_indoors:
        return random.choice(phrases.window[scene.time])
    if scene.weather == "clear":
        return random.choice((phrases.sky if sees_sky else phrases.light)[scene.time])
    return random.choice((phrases.weather if sees_sky else phrases.weather_below)[scene.weather])


def _openings_en(speech: speech_en.Speech, main: Clause, others: Sequence[Clause]) -> list[str]:
    random, out = speech.random, [""]
    for _ in range(4):
        who, what = speech.clause(main, doing=False, way=True)
        place, when = (
            speech.place(main),
            speech.when(time=True, weather=speech.scene.weather != "clear" and random.chance(0.3)),
        )
        if random.chance(0.4):
            first, *rest = when
            out = [" ".join((f"{first},", who, what, place, *rest)) + "."]
        else:
            out = [" ".join((who, what, place, *when)) + "."]
        if not speech_en.is_doubled(out[0]):
            break
        speech.forget()
    for clause in others:
        out.append(" ".join(speech.clause(clause, doing=False, way=True, is_short=False)) + ".")
    return out


def _openings_zh(speech: speech_zh.Speech, main: Clause, others: Sequence[Clause]) -> list[str]:
    random, out = speech.random, [""]
    for _ in range(4):
        place, when = (
            speech.place(main),
            speech.when(time=True, weather=speech.scene.weather != "clear" and random.chance(0.3)),
        )
        out = [core(speech, main, place, when, way=True) + "。"]
        if not speech_zh.is_doubled(out[0]):
            break
        speech.forget()
    for clause in others:
        out.append(speech.who(clause) + speech.what(clause, way=True, going_on=True) + "。")
    return out


def _about(speech: speech_en.Speech | speech_zh.Speech, phrases: Phrases, main: Clause) -> list[str]:
    """How those look that act first, and how they move."""
    number, random = main.actors[0], speech.random
    is_one, is_kind = len(main.actors) == 1, len({speech.scene.subjects[n].kind for n in main.actors}) == 1
    the = speech.the(number) if is_one else speech.each(number, is_kind=is_kind)
    if the is None:
        return []
    out = []
    if is_kind and (len(speech.scene.subjects) == len(main.actors) or random.chance(0.25)):
        out.append(random.choice(phrases.look[speech.scene.subjects[number].kind]).format(the=the))
    other = None if main.target is None else speech.the(main.target)
    own = [f"{main.action}_{speech.scene.subjects[n].kind}" for n in main.actors]
    action = own[0] if is_kind and own[0] in phrases.motion else main.action
    is_shared = is_kind or not any(name in phrases.motion for name in own)  # a windmill's sails are no volcano's
    if is_shared and (main.target is None or other is not None):
        out.append(random.choice(phrases.motion[action]).format(the=the, other=other))
    return out


def _relations(speech: speech_en.Speech | speech_zh.Speech, phrases: Phrases) -> list[str]:
    """Who stands left of or behind whom: one relation of a pair, at most a few."""
    out: list[str] = []
    found = relations(speech.scene)
    pairs: dict[tuple[int, int, str], list[int]] = {}
    for n, r in enumerate(found):
        about = "size" if r.name.endswith("than") else "depth" if r.name in ("behind", "in_front_of") else "side"
        pairs.setdefault((min(r.subject, r.other), max(r.subject, r.other), about), []).append(n)
    told: set[tuple[int, int]] = set()
    for (i, j, _), numbers in pairs.items():
        relation = found[speech.random.choice(numbers)]
        the, other = speech.the(relation.subject), speech.the(relation.other)
        if the and other and (i, j) not in told and len(out) < _MAX_RELATIONS:
            told.add((i, j))
            out.append(speech.random.choice(phrases.relation[relation.name]).format(the=the, other=other))
    return out


def _camera_en(speech: speech_en.Speech) -> str:
    noun, does, _ = speech.camera()
    the = speech.the(0)
    if speech.scene.camera == "tracking" and the and speech.random.chance(0.5):
        return f"The camera follows {the} along."
    if speech.random.chance(0.2):
        return f"Camera: {noun}."
    return speech.random.choice(_CAMERA_EN).format(does=does)


def _camera_zh(speech: speech_zh.Speech) -> str:
    text = speech.camera()
    return speech.random.choice(_CAMERA_ZH if text.startswith("镜头") else _CAMERA_ZH[:1]).format(camera=text)
