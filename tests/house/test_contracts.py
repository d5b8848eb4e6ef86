"""The import contracts of pyproject.toml hold, and each of them catches violations planted in a copy of the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TORCH_FREE = {"serve", "client", "media", "prompt", "wire", "core"}

# (contract, room of the planted module, its text); several where a contract has several ways to be broken
PLANTED = [
    ("layers", "core", "import kinema.media.write"),
    ("layers", "models", "from kinema.flow import paths"),
    ("layers", "flow", "def f():\n    import kinema.models.layers"),
    ("layers", "engine", "import kinema.app.local"),
    ("layers", "engine", "import kinema.training.loop"),
    ("layers", "training", "from kinema.engine import clip"),
    ("no-package-root", "engine", "from kinema import generate"),
    ("no-package-root", "world", "def f():\n    from kinema import Engine"),
    ("torch-free", "media", "import torch"),
    ("torch-free", "prompt", "def f():\n    import torch.nn.functional"),
    ("torch-free", "serve", "def f():\n    from kinema.engine import engine"),
    ("torch-free", "client", "import torch"),
    ("layers", "client", "from kinema.serve import settings"),
    ("core-alone", "core", "import numpy"),
    ("models-flow-no-rooms", "models", "def f():\n    from kinema.media import read"),
    ("models-flow-no-rooms", "flow", "import safetensors.torch"),
    ("models-flow-no-files", "models", "from pathlib import Path"),
    ("models-flow-no-files", "flow", "import urllib.request"),
    ("training-no-media", "training", "from kinema.media import read"),
    ("training-no-media", "data.load", "import PIL.Image"),
    ("media-alone-decodes", "engine", "import av"),
    ("media-alone-decodes", "cli", "from PIL import Image"),
    ("no-reference", "weights", "def f():\n    import diffusers"),
    ("words-in-cli", "app", "import rich.progress"),
]
IDS = [f"{contract}-{room}-{i}" for i, (contract, room, _) in enumerate(PLANTED)]


def copy_package(root: Path, target: Path) -> Path:
    """``target``, with the package's sources and the configuration in it."""

    def is_other(_: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(name).suffix not in ("", ".py")]

    shutil.copytree(root / "src", target / "src", ignore=is_other)
    shutil.copy(root / "pyproject.toml", target)
    return target


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the package in ``folder``."""
    code = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    # wide, so that no contract's name is broken over two lines
    environment = {"COLUMNS": "400", "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def plant(folder: Path, room: str, name: str, text: str) -> None:
    """Adds a module to a room of the copied package."""
    target = folder / "src" / "kinema" / Path(*room.split("."))
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}.py").write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def contracts(configuration: dict[str, Any]) -> dict[str, str]:
    """Contract -> its name."""
    return {c["id"]: c["name"] for c in configuration["tool"]["importlinter"]["contracts"]}


@pytest.fixture(scope="module")
def verdicts(root: Path, contracts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Contract -> what import-linter says of it, with every violation planted at once."""
    folder = copy_package(root, tmp_path_factory.mktemp("planted"))
    for i, (_, room, text) in enumerate(PLANTED):
        plant(folder, room, f"planted_{i}", text)
    output = lint(folder).stdout
    details = output.partition("Broken contracts\n")[2]
    starts = {key: details.find(f"{name}\n---") for key, name in contracts.items()}
    ends = sorted([*starts.values(), len(details)])
    return {key: details[at : next(e for e in ends if e > at)] if at >= 0 else "" for key, at in starts.items()}


def test_the_package_keeps_every_contract(root: Path, contracts: dict[str, str], tmp_path: Path) -> None:
    result = lint(copy_package(root, tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("KEPT") == len(contracts)


@pytest.mark.parametrize("number", range(len(PLANTED)), ids=IDS)
def test_a_planted_violation_is_caught(verdicts: dict[str, str], number: int) -> None:
    contract, room, _ = PLANTED[number]
    assert f"kinema.{room}.planted_{number} -> " in verdicts[contract]


def test_torch_is_found_behind_another_room(root: Path, tmp_path: Path) -> None:
    folder = copy_package(root, tmp_path)
    plant(folder, "prompt", "planted", "from kinema.core import planted")
    plant(folder, "core", "planted", "def f():\n    import torch")
    plant(folder, "newroom", "__init__", '"""A room that nobody placed."""')
    result = lint(folder)
    assert result.returncode == 1
    assert "kinema.prompt is not allowed to import torch" in result.stdout, result.stdout
    assert "not listed as layers:\n\n- kinema.newroom" in result.stdout, "a new room must be placed"


def test_every_contract_has_a_planted_violation(contracts: dict[str, str]) -> None:
    assert {contract for contract, _, _ in PLANTED} == set(contracts)


def test_every_torch_free_room_is_named(root: Path, configuration: dict[str, Any]) -> None:
    rooms = {p.name for p in (root / "src" / "kinema").iterdir() if (p / "__init__.py").is_file()}
    contracts = configuration["tool"]["importlinter"]["contracts"]
    named = next(c["source_modules"] for c in contracts if c["id"] == "torch-free")
    assert {m.removeprefix("kinema.") for m in named} == rooms & TORCH_FREE
