"""The package's front door, its requirements, and the commands that a stranger types."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kinema
from kinema.core.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
TARGETS = ("help", "demo", "test", "test-all", "check", "bench", "train-mini")


def test_importing_kinema_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, kinema, kinema.cli.main; print([m for m in ('torch', 'numpy', 'av', 'rich') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_found() -> None:
    for name in kinema.__all__:
        assert getattr(kinema, name) is not None, name
    assert set(kinema.__all__) <= set(dir(kinema))
    assert kinema.__version__ == VERSION


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="generate"):
        kinema.gnerate  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_the_extras_are_those_of_the_architecture(configuration: dict[str, Any]) -> None:
    project = configuration["project"]
    assert set(project["optional-dependencies"]) == {
        "text",
        "hub",
        "quantise",
        "curate",
        "serve",
        "client",
        "postgres",
        "cluster",
        "dev",
    }
    assert project["requires-python"] == ">=3.10"


def test_torch_is_pinned_by_name_and_no_pin_is_of_this_machine() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "torch==2.13.0" in text.splitlines()
    pins = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert not re.search(r"\+|/|@|://", pins)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_every_requirement_has_exactly_one_pin_that_satisfies_it(configuration: dict[str, Any], python: str) -> None:
    project = configuration["project"]
    where = {"python_version": python, "python_full_version": f"{python}.9"}
    pinned: dict[str, str] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(where):
            name = canonicalize_name(pin.name)
            assert name not in pinned, f"{name} is pinned twice for Python {python}"
            (pinned[name],) = [s.version for s in pin.specifier if s.operator == "=="]
    wanted = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate(where):
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"{name} has no pin for Python {python}"
            assert requirement.specifier.contains(pinned[name]), f"{requirement} against {pinned[name]}"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_the_target(target: str) -> None:
    result = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_passes_on_the_cpu_index() -> None:
    command = ["make", "--dry-run", "--always-make", "demo", "TORCH_INDEX=cpu"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in result.stdout


def test_continuous_integration_finds_the_readme_s_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (program,) = re.findall(r"awk '(.+)' README.md", script)
    command = subprocess.run(["awk", program, str(ROOT / "README.md")], capture_output=True, text=True, check=True)
    assert command.stdout.strip() == "make test"
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def environment() -> dict[str, str]:
    """An environment in which only this source tree's kinema is found."""
    return {"PYTHONPATH": str(ROOT / "src"), "PATH": "", "OMP_NUM_THREADS": "1"}
