"""Published families: from a folder's classes and configs to a model card. Standard library only.

What stands in no folder (sizes and lengths that a model was trained for, default steps and guidance, licence) is frozen here,
as its makers published it. `FAMILIES` is what this version knows, by the class that ``model_index.json`` names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kinema.core.card import ModelCard
from kinema.weights.families import hunyuan_video, ltx, wan

if TYPE_CHECKING:
    from kinema.weights.folder import ModelFolder

FAMILIES: dict[str, Callable[[ModelFolder], ModelCard]] = {
    "HunyuanVideoPipeline": hunyuan_video.card,
    "HunyuanVideoImageToVideoPipeline": hunyuan_video.card,
    "WanPipeline": wan.card,
    "WanImageToVideoPipeline": wan.card,
    "LTXPipeline": ltx.card,
    "LTXImageToVideoPipeline": ltx.card,
}
