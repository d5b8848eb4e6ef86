"""A request becomes a clip: what it depends on, what it doesn't, and that it is the same bits every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput
from kinema.core.progress import Progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.scope import run_scope
from kinema.media.digest import frames_digest
from tests.engine.conftest import run_python


def test_a_clip_has_the_shape_it_was_asked_for(engine: Engine, request_: GenerationRequest) -> None:
    clip = engine.generate(request_.replace(frames=13, size="64x96", fps=12.0))
    assert clip.frames.shape == (13, 96, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert (clip.shape.fps, clip.shape.frames) == (12.0, 13)
    assert clip.frames.std() > 1, "random weights draw something"


def test_one_frame_is_a_picture(engine: Engine, request_: GenerationRequest, tmp_path: Path) -> None:
    clip = engine.generate(request_.replace(frames=1))
    assert clip.frames.shape == (1, 32, 48, 3)
    assert clip.save(tmp_path / "a.png").is_file()


def test_the_recipe_has_every_choice_filled_in(engine: Engine, request_: GenerationRequest) -> None:
    clip = engine.generate(request_)
    request = GenerationRequest.from_dict(clip.recipe["request"])
    assert (request.seed, request.steps, request.guidance) == (7, 3, 2.5)
    assert (request.frames, request.size, request.fps, request.seconds) == (9, "48x32", 8.0, None)
    assert clip.recipe["model"]["hash"] == engine.folder.content_hash()
    assert clip.recipe["frames"] == frames_digest(clip.frames) == clip.digest
    assert set(clip.recipe["versions"]) == {"kinema", "torch", "numpy", "python"}
    cost = clip.recipe["cost"]
    assert set(cost["seconds"]) == {"load", "encode", "denoise", "decode"}
    assert cost["flops"] == engine.estimate(request_).total_flops
    assert cost["joules"] == "unknown" or cost["joules"] >= 0


def test_a_seed_is_drawn_and_told(engine: Engine, request_: GenerationRequest) -> None:
    clips = [engine.generate(request_.replace(seed=None)) for _ in range(2)]
    assert clips[0].seed != clips[1].seed
    again = engine.generate(request_.replace(seed=clips[0].seed))
    assert again.digest == clips[0].digest


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"prompt": "a blue ball rolls"},
        {"prompt": "一个红色的球滚动"},
        {"negative_prompt": "dark"},
        {"camera": "zoom_in"},
        {"motion": 200},
        {"fps": 12.0, "frames": 9},
        {"guidance": 3.0},
        {"steps": 4},
    ],
)
def test_every_condition_reaches_the_frames(engine: Engine, request_: GenerationRequest, change: dict) -> None:
    assert engine.generate(request_.replace(**change)).digest != engine.generate(request_).digest


def test_spelling_does_not_matter(engine: Engine, request_: GenerationRequest) -> None:
    same = request_.replace(prompt=" a  red\tball ｒｏｌｌｓ ")
    assert engine.generate(same).digest == engine.generate(request_).digest


def test_guidance_one_needs_no_second_evaluation(engine: Engine, request_: GenerationRequest) -> None:
    request = request_.replace(guidance=1.0)
    assert engine.plan(request).guidance_mode == "off"
    plain = engine.generate(request)
    assert engine.generate(request.replace(negative_prompt="dark")).digest == plain.digest
    with pytest.raises(InvalidInput, match="guidance_mode: 'off'"):
        engine.generate(request_, plan=replace(engine.plan(request_), guidance_mode="off"))


def test_split_guidance_equals_batched(engine: Engine, request_: GenerationRequest) -> None:
    plan = engine.plan(request_)
    batched = engine.generate(request_, plan=plan)
    split = engine.generate(request_, plan=replace(plan, guidance_mode="split"))
    assert np.abs(batched.frames.astype(int) - split.frames.astype(int)).max() <= 1
    assert split.recipe["plan"]["guidance_mode"] == "split"


def test_two_processes_make_the_same_bits(engine: Engine, tiny: Path, request_: GenerationRequest) -> None:
    code = (
        "from kinema.engine.engine import Engine\nfrom kinema.core.request import GenerationRequest\n"
        f"e = Engine({str(tiny)!r}, dtype='float32', threads=1)\n"
        f"print(e.generate(GenerationRequest.from_dict({request_.to_dict()!r})).digest)"
    )
    assert run_python(code).strip() == engine.generate(request_).digest


def test_a_clip_does_not_wait_for_the_compiler(tiny: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom kinema.engine.engine import Engine\n"
        "from kinema.core.request import GenerationRequest\n"
        f"e = Engine({str(tiny)!r}, threads=1, cache=Path({str(tmp_path)!r}) / 'm.json')\n"
        "e.generate(GenerationRequest(prompt='x', steps=1, camera='zoom_in'))\n"
        "print([m for m in ('torch._dynamo', 'torch._inductor', 'sympy') if m in sys.modules])"
    )
    assert run_python(code).strip() == "[]", "they take longer to import than torch itself"


def test_bfloat16_is_near_float32(tiny: Path, engine: Engine, request_: GenerationRequest) -> None:
    half = Engine(tiny, dtype="bfloat16", threads=1)
    assert half.plan(request_).vae_dtype == "bfloat16"
    difference = half.generate(request_).frames.astype(int) - engine.generate(request_).frames.astype(int)
    assert 0 < np.abs(difference).mean() < 4


def process_settings() -> tuple[int, bool, bool]:
    """What a run sets for its length."""
    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.is_inference_mode_enabled()


def test_settings_of_the_process_hold_for_the_run_alone(engine: Engine, request_: GenerationRequest) -> None:
    before = process_settings()
    with run_scope(before[0] + 2):
        assert process_settings() == (before[0] + 2, True, True)
        with run_scope(1):
            assert process_settings() == (1, True, True)
        assert process_settings()[0] == before[0] + 2
    assert process_settings() == before

    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.generate(request_, observer=fail)
    assert process_settings() == before


def test_settings_of_the_caller_change_no_bit(engine: Engine, request_: GenerationRequest) -> None:
    plain = engine.generate(request_).digest
    matmul: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009 (unknown to torch's stubs)
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.enable_grad():
            assert engine.generate(request_).digest == plain
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = before


def test_a_plan_is_kept_but_for_what_the_machine_is(engine: Engine, request_: GenerationRequest) -> None:
    plan = replace(engine.plan(request_), isa="of another machine", guidance_mode="split", batch=5)
    made = engine.generate(request_, plan=plan).recipe["plan"]
    assert (made["threads"], made["guidance_mode"], made["batch"]) == (1, "split", 1)
    assert made["isa"] == engine.plan(request_).isa


def test_plan_and_estimate_read_no_tensor(tiny_card: ModelCard, tmp_path: Path, request_: GenerationRequest) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "card.json").write_text(tiny_card.to_json(), encoding="utf-8")
    (folder / "model_index.json").write_text("{}", encoding="utf-8")
    engine = Engine(folder, dtype="float32", threads=1)
    assert engine.plan(request_) == engine.plan(request_)
    estimate = engine.estimate(request_)
    assert estimate.total_flops > 0
    assert estimate.peak_bytes > 0


def test_an_estimate_loads_no_torch(tiny: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom kinema.engine.engine import Engine\n"
        "from kinema.core.request import GenerationRequest\n"
        f"print(Engine({str(tiny)!r}, cache=Path({str(tmp_path)!r}) / 'm.json').estimate(GenerationRequest(prompt='x')))\n"
        "assert 'torch' not in sys.modules"
    )
    run_python(code)


@pytest.mark.parametrize(
    "settings, field",
    [({"dtype": "float16"}, "dtype"), ({"device": "tpu"}, "device"), ({"threads": 0}, "threads")],
)
def test_unknown_settings_are_refused(tiny: Path, settings: dict, field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        Engine(tiny, **settings)


def test_a_missing_gpu_is_told(tiny: Path, request_: GenerationRequest) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InvalidInput, match="^device: 'cuda'.*cpu works"):
        Engine(tiny, dtype="float32", device="cuda").generate(request_)
