"""What every test runs under: shape annotations checked, GPU tests skipped loudly, the same hypothesis examples each time."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("kinema", deadline=None, derandomize=True, database=None)
settings.load_profile("kinema")

_JAXTYPING = re.compile(r"\b(Float|BFloat|Int|UInt|Bool|Shaped|Num|Integer|Inexact|Real|Complex)\d*\[")


def _states_shape(function: FunctionType) -> bool:
    """Whether an annotation names axes, itself or through an alias of its module."""
    text = " ".join(map(str, function.__annotations__.values()))
    aliases = [function.__globals__[word] for word in re.findall(r"\w+", text) if word in function.__globals__]
    return any(_JAXTYPING.search(str(stated)) for stated in (text, *aliases))


def _check(function: FunctionType) -> FunctionType:
    """``function`` with its arguments' and result's shapes and types checked, if it states any shape.

    jaxtyping's own import hook checks every function and dataclass, so that a wrong type never reaches the checks under test, and
    torch.compile can't trace what it inserts. This one takes only what bears shapes, and steps aside while torch compiles.
    """
    if not _states_shape(function):
        return function
    import torch
    from beartype import BeartypeConf, beartype
    from jaxtyping import jaxtyped

    checked = jaxtyped(function, typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True)))

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        return (function if torch.compiler.is_compiling() else checked)(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]


def _check_all(namespace: type | ModuleType, module: str) -> None:
    for name, value in list(vars(namespace).items()):
        if inspect.isfunction(value) and value.__module__ == module:
            setattr(namespace, name, _check(value))
        elif isinstance(value, (staticmethod, classmethod)) and inspect.isfunction(value.__func__):
            setattr(namespace, name, type(value)(_check(value.__func__)))
        elif inspect.isclass(value) and value.__module__ == module and value is not namespace:
            _check_all(value, module)


class _CheckedLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _check_all(module, module.__name__)


class _CheckedFinder(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith("kinema."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)  # pyright: ignore[reportArgumentType]
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _CheckedLoader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _CheckedFinder())

# below the hook, which sees only what is imported after it
from kinema.core.card import CostFormula, ModelCard  # noqa: E402
from kinema.core.geometry import Compression, VideoShape  # noqa: E402
from kinema.core.plan import Estimate, RunPlan, estimate  # noqa: E402
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress  # noqa: E402
from kinema.core.request import GenerationRequest  # noqa: E402
from kinema.media.digest import frames_digest  # noqa: E402
from kinema.weights.folder import ModelFolder, open_model  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked ``gpu`` where there is no CUDA device."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says aloud what did not run, and for want of what."""
    reports = terminalreporter.stats.get("skipped", ())
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"tests did NOT run: {count} ({reason})", yellow=True)


@dataclass(frozen=True, kw_only=True)
class FakeClip:
    """Frames that depend on the seed alone."""

    frames: np.ndarray
    shape: VideoShape
    recipe: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The hash of the frames."""
        return self.recipe["frames"]


@dataclass
class FakeEngine:
    """An engine without tensors: three denoising steps that take no time. ``on_step`` is called before each.

    ``offset`` stands for what another machine would change.
    """

    folder: ModelFolder
    requests: list[GenerationRequest] = field(default_factory=list)
    on_step: Callable[[], None] = lambda: None
    offset: int = 0

    def plan(self, request: GenerationRequest) -> RunPlan:
        """The same for all."""
        return RunPlan(threads=7)

    def estimate(self, request: GenerationRequest, *, plan: RunPlan | None = None) -> Estimate:
        """By the card's formulas."""
        shape = self.folder.card.check(request)
        return estimate(self.folder.card, shape, steps=3, is_guided=True, plan=plan or self.plan(request))

    def read_inputs(self, request: GenerationRequest) -> dict[str, str]:
        """No picture is read."""
        return {}

    def generate(
        self, request: GenerationRequest, *, observer: Observer = ignore_progress, cancel: CancelToken | None = None
    ) -> FakeClip:
        """Noise of the request's seed, and a recipe that names it."""
        self.requests.append(request)
        shape = self.folder.card.check(request)
        observer(Progress(phase="load", step=1, steps=1))
        for step in range(3):
            self.on_step()
            if cancel is not None:
                cancel.check("denoise")
            observer(Progress(phase="denoise", step=step + 1, steps=3, eta_s=float(2 - step)))
        random = np.random.default_rng((request.seed or 0) + self.offset)
        frames = random.integers(0, 256, (shape.frames, shape.height_px, shape.width_px, 3), np.uint8)
        recipe = {
            "format": 1,
            "request": request.to_dict(),
            "plan": self.plan(request).to_dict(),
            "model": {"name": self.folder.name, "hash": self.folder.content_hash()},
            "versions": {"kinema": f"0.{self.offset}"},
            "frames": frames_digest(frames),
        }
        return FakeClip(frames=frames, shape=shape, recipe=recipe)

    def generate_batch(
        self, requests: Sequence[GenerationRequest], *, plan: RunPlan, observer: Observer, cancel: CancelToken | None
    ) -> list[FakeClip]:
        """Each by itself."""
        return [self.generate(request, observer=observer, cancel=cancel) for request in requests]


@pytest.fixture
def toy_card() -> ModelCard:
    """A card of a model that makes small clips of up to 17 frames, and knows puppies in parks."""
    rates = {f.name: 1.0 for f in fields(CostFormula)}
    return ModelCard(
        name="toy",
        version="1",
        family="toy",
        license="Apache-2.0",
        parameters={"transformer": 7, "vae": 11},
        weights_bytes=36,
        sizes=((32, 32), (48, 32)),
        compression=Compression(time=4, space=8, channels=5),
        patch=(1, 2, 2),
        text_tokens=7,
        fps=(8.0,),
        default_seconds=1.0,
        max_frames=17,
        default_steps=3,
        default_guidance=2.0,
        conditions=("keyframes", "camera", "motion"),
        cameras=("static", "zoom_in"),
        languages=("en", "zh"),
        cost=CostFormula(**rates),
        vocabulary={
            "kind": {"puppy": ["puppy", "小狗"]},
            "action": {"play": ["plays"]},
            "place": {"park": ["in the park"]},
        },
    )


@pytest.fixture
def toy_model(tmp_path: Path, toy_card: ModelCard) -> str:
    """A model folder that has a card and no tensors."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "card.json").write_text(toy_card.to_json(), encoding="utf-8")
    (folder / "model_index.json").write_text('{"_class_name": "Toy"}', encoding="utf-8")
    return str(folder)


@pytest.fixture
def fake_engine(toy_model: str, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine that `kinema.app.local` finds for `toy_model`."""
    from kinema.app import local

    engine = FakeEngine(open_model(toy_model))
    monkeypatch.setattr(local, "_LOADED", {(toy_model, local.PLAIN): engine})
    return engine
