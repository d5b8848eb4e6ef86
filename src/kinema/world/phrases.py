"""Whole sentences for dense and structured captions, in English and Chinese. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """One language's sentences by what they are about; a list holds paraphrases."""

    opening: str
    look: dict[str, str]
    motion: dict[str, str]
    background: dict[str, list[str]]
    lighting: dict[str, list[str]]
    atmosphere: dict[str, str]
    camera: dict[str, str]
    shot_type: dict[str, str]
    style: list[str]


_ENGLISH = Phrases(
    opening="{noun} {verb}{way} {place} {time}.",
    look={
        "puppy": "It has floppy ears, a round head, four short legs and a wagging tail.",
        "person": "The toy figure has a round head with brown hair, dark trousers and short arms.",
        "car": "It has light blue windows, two lamps and four dark wheels.",
        "bird": "It has a small orange beak, two wings and thin legs.",
        "ball": "A broad stripe runs around it.",
        "cube": "A broad stripe runs over its sides and its top.",
    },
    motion={
        "stand": "It stays in one spot and hardly moves.",
        "walk": "It moves steadily from one side of the picture to the other.",
        "jump": "It crouches, springs off the ground, lands and springs up again.",
        "spin": "It turns about its upright axis and shows all its sides.",
        "play": "It hops merrily from side to side and leans into every hop.",
        "fall": "It drops from above, hits the ground, bounces a few times and comes to rest.",
    },
    background={
        "park": [
            "Round trees stand on the green grass in front of low hills.",
            "Behind lies a green lawn with a few round trees and a line of hills.",
        ],
        "beach": [
            "Behind the pale sand lies the blue sea with a white sailing boat and a palm tree.",
            "Small waves roll onto the sand; a palm tree stands by and a sailing boat floats far off.",
        ],
        "snowfield": [
            "Dark pines with white tops stand on the snow in front of pale mountains.",
            "The ground is covered with snow, with a few pine trees and mountains behind.",
        ],
        "desert": [
            "Cacti and brown rocks stand on orange sand, with dunes on the horizon.",
            "Behind lie sand dunes with a few green cacti and rocks.",
        ],
    },
    lighting={
        "day": [
            "The sun shines brightly from a blue sky with white clouds.",
            "Clear daylight falls on the scene, and white clouds stand in the blue sky.",
        ],
        "sunset": [
            "The low sun glows in an orange sky and throws long shadows.",
            "Warm evening light comes from a low sun in an orange and purple sky.",
        ],
        "night": [
            "The moon and stars shine in a dark blue sky.",
            "It is dark; a bright moon and many stars stand in the sky.",
        ],
    },
    atmosphere={"day": "cheerful and bright", "sunset": "warm and calm", "night": "quiet and dreamy"},
    camera={
        "static": "The camera stands still.",
        "zoom_in": "The camera slowly zooms in on it.",
        "zoom_out": "The camera slowly zooms out from it.",
        "pan_left": "The camera moves to the left.",
        "pan_right": "The camera moves to the right.",
        "around_left": "The camera circles around it to the left.",
        "around_right": "The camera circles around it to the right.",
    },
    shot_type={
        "static": "medium shot, eye level",
        "zoom_in": "wide to medium shot, eye level",
        "zoom_out": "medium to wide shot, eye level",
        "pan_left": "medium tracking shot, eye level",
        "pan_right": "medium tracking shot, eye level",
        "around_left": "medium orbiting shot, eye level",
        "around_right": "medium orbiting shot, eye level",
    },
    style=["toy diorama, soft 3D shading", "stylised 3D animation with simple, bold shapes"],
)

_CHINESE = Phrases(
    opening="{time}，{noun}在{place}{way}{verb}。",
    look={
        "puppy": "它有下垂的耳朵、圆圆的脑袋、四条短腿和摇摆的尾巴。",
        "person": "这个玩具小人有圆圆的脑袋、棕色的头发、深色的裤子和短短的手臂。",
        "car": "它有浅蓝色的车窗、两盏车灯和四个深色的轮子。",
        "bird": "它有橙色的小嘴、两只翅膀和细细的腿。",
        "ball": "它身上有一圈宽宽的条纹。",
        "cube": "它的侧面和顶面有一道宽宽的条纹。",
    },
    motion={
        "stand": "它待在原地，几乎不动。",
        "walk": "它平稳地从画面的一边移动到另一边。",
        "jump": "它先蹲下，再从地面跃起，落地后又再次跃起。",
        "spin": "它绕着竖直的轴转动，露出每一面。",
        "play": "它欢快地左右蹦跳，每跳一下都歪一歪身子。",
        "fall": "它从上方落下，碰到地面，弹跳几次后停住。",
    },
    background={
        "park": ["绿色的草地上立着圆圆的树，远处是低矮的山丘。", "背景是一片绿草坪，有几棵圆圆的树和连绵的小山。"],
        "beach": [
            "浅色的沙滩后面是蓝色的大海，海上有白色的帆船，旁边有一棵棕榈树。",
            "小浪涌上沙滩，旁边立着棕榈树，远处漂着一只帆船。",
        ],
        "snowfield": ["雪地上立着白顶的深色松树，远处是淡淡的雪山。", "地面覆盖着白雪，后面有几棵松树和群山。"],
        "desert": ["橙色的沙地上有仙人掌和棕色的石头，天边是沙丘。", "背景是起伏的沙丘，还有几株绿色的仙人掌和石头。"],
    },
    lighting={
        "day": ["蓝天上飘着白云，阳光明亮。", "日光清澈，蓝色的天空中有白色的云。"],
        "sunset": ["低垂的太阳在橙色的天空中发光，投下长长的影子。", "温暖的晚霞照着画面，天空是橙色和紫色的。"],
        "night": ["深蓝色的夜空中挂着月亮和星星。", "天色很暗，明月和许多星星挂在天上。"],
    },
    atmosphere={"day": "欢快明亮", "sunset": "温暖宁静", "night": "安静梦幻"},
    camera={
        "static": "镜头静止不动。",
        "zoom_in": "镜头慢慢向它拉近。",
        "zoom_out": "镜头慢慢从它拉远。",
        "pan_left": "镜头向左平移。",
        "pan_right": "镜头向右平移。",
        "around_left": "镜头向左环绕着它。",
        "around_right": "镜头向右环绕着它。",
    },
    shot_type={
        "static": "中景，平视",
        "zoom_in": "从远景到中景，平视",
        "zoom_out": "从中景到远景，平视",
        "pan_left": "中景移动镜头，平视",
        "pan_right": "中景移动镜头，平视",
        "around_left": "中景环绕镜头，平视",
        "around_right": "中景环绕镜头，平视",
    },
    style=["玩具立体模型风格，柔和的三维光影", "造型简单鲜明的三维动画"],
)

PHRASES = {"en": _ENGLISH, "zh": _CHINESE}
