"""The import contracts of pyproject.toml hold, and each of them catches a violation planted in a copy of the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
TORCH_FREE = {"serve", "client", "media", "prompt", "wire", "core"}

# contract -> (planted file, its text), several where a contract has several ways to be broken
PLANTED = [
    ("layers", "core/planted.py", "import kinema.media.write"),
    ("layers", "models/planted.py", "from kinema.flow import paths"),
    ("layers", "flow/planted.py", "def f():\n    import kinema.models.layers\n"),
    ("layers", "engine/planted.py", "import kinema.app.local"),
    ("layers", "engine/planted.py", "import kinema.training.loop"),
    ("layers", "newroom/__init__.py", '"""A room that nobody placed."""'),
    ("no-package-root", "engine/planted.py", "from kinema import generate"),
    ("no-package-root", "world/planted.py", "def f():\n    from kinema import Engine\n"),
    ("torch-free", "media/planted.py", "import torch"),
    ("torch-free", "prompt/planted.py", "def f():\n    import torch.nn.functional\n"),
    ("core-alone", "core/planted.py", "import numpy"),
    ("models-flow-no-rooms", "models/planted.py", "def f():\n    from kinema.media import read\n"),
    ("models-flow-no-rooms", "flow/planted.py", "import safetensors.torch"),
    ("models-flow-no-files", "models/planted.py", "from pathlib import Path"),
    ("models-flow-no-files", "flow/planted.py", "import urllib.request"),
    ("training-no-media", "training/planted.py", "from kinema.media import read"),
    ("training-no-media", "data/load/planted.py", "import PIL.Image"),
    ("media-alone-decodes", "engine/planted.py", "import av"),
    ("media-alone-decodes", "cli/planted.py", "from PIL import Image"),
    ("no-reference", "weights/planted.py", "def f():\n    import diffusers\n"),
    ("words-in-cli", "app/planted.py", "import rich.progress"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's sources and the configuration."""
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=lambda _, names: [n for n in names if Path(n).suffix not in ("", ".py")]
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the package in ``folder``."""
    code = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    # wide, so that no contract's name is broken over two lines
    environment = {"COLUMNS": "400", "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def broken(output: str) -> set[str]:
    """The ids of the contracts that ``output`` calls broken."""
    return {c["id"] for c in CONTRACTS if f"{c['name']} BROKEN" in output}


def test_the_package_keeps_every_contract(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("KEPT") == len(CONTRACTS)


@pytest.mark.parametrize(
    "contract,file,text", PLANTED, ids=[f"{c}-{f.split('/')[0]}-{i}" for i, (c, f, _) in enumerate(PLANTED)]
)
def test_a_planted_violation_is_caught(copy: Path, contract: str, file: str, text: str) -> None:
    target = copy / "src" / "kinema" / file
    target.parent.mkdir(exist_ok=True)
    target.write_text(text + "\n", encoding="utf-8")
    result = lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert contract in broken(result.stdout), result.stdout


def test_torch_is_found_behind_another_room(copy: Path) -> None:
    package = copy / "src" / "kinema"
    (package / "prompt" / "planted.py").write_text("from kinema.core import planted\n", encoding="utf-8")
    (package / "core" / "planted.py").write_text("def f():\n    import torch\n", encoding="utf-8")
    result = lint(copy)
    assert "kinema.prompt is not allowed to import torch" in result.stdout, result.stdout


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for contract, _, _ in PLANTED} == {c["id"] for c in CONTRACTS}


def test_every_torch_free_room_is_named() -> None:
    rooms = {p.name for p in (ROOT / "src" / "kinema").iterdir() if (p / "__init__.py").is_file()}
    named = next(c["source_modules"] for c in CONTRACTS if c["id"] == "torch-free")
    assert {m.removeprefix("kinema.") for m in named} == rooms & TORCH_FREE
