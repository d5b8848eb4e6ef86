"""How often are the judges right about true renders? The floor that every score of a model is printed beside.

python bench/judges.py [--scenes N] [--workers N]

Scenes of the validation split that neither training nor its validation has seen, at two sizes and three levels; and of the level that
the shipped model knows once more after the round trip through its autoencoder.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from record import record

SIZES_PX = (128, 96)
LEVELS = ("core", "single", "full")
GOAL = 0.97
AFTER_VAE = ("core", 96)
_ROUND_TRIP = "after the autoencoder"


def floor(job: tuple[str, int, bool, int]) -> dict[str, Any]:
    """The floors of ``count`` scenes of a level at a size, straight or after the shipped autoencoder."""
    level, side, is_decoded, count = job
    import torch

    from kinema.core.geometry import VideoShape
    from kinema.evaluation.floors import FIRST_SEED, floors
    from kinema.evaluation.judges import load_judges
    from kinema.world.sampler import sample

    torch.set_num_threads(1)
    scenes = [sample(FIRST_SEED + n, split="validation", difficulty=level) for n in range(count)]
    shape = VideoShape(frames=17, height_px=side, width_px=side, fps=8)
    return floors(load_judges(), scenes, shape, after=_round_trip() if is_decoded else None)


def _round_trip() -> Any:
    import torch

    from kinema.models.autoencoders.video import VideoAutoencoder
    from kinema.weights.build import load_component
    from kinema.weights.folder import open_model

    vae = load_component(open_model("kinema-mini"), "vae", dtype=torch.float32)
    assert isinstance(vae, VideoAutoencoder)

    @torch.inference_mode()
    def after(frames: torch.Tensor) -> torch.Tensor:
        clip = frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        decoded = vae(clip)[0][0].permute(1, 2, 3, 0)
        return ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    return after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    jobs = {f"{level} {side}x{side}": (level, side, False, given.scenes) for level in LEVELS for side in SIZES_PX}
    level, side = AFTER_VAE
    jobs[f"{level} {side}x{side} {_ROUND_TRIP}"] = (level, side, True, given.scenes)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        tables = dict(zip(jobs, pool.map(floor, jobs.values()), strict=True))
    below = {
        name: {k: v["share"] for k, v in table["right"].items() if v["share"] < GOAL} for name, table in tables.items()
    }
    record("judges", {"goal": GOAL, "scenes": given.scenes, "floors": tables, "below_goal": below})


if __name__ == "__main__":
    main()
