"""Rooms that never reach torch don't: each module is imported in a Python of its own and what it dragged along is looked at."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import kinema

SOURCE = Path(kinema.__file__).parent
TORCH = {"torch", "torchvision", "torchaudio", "safetensors", "transformers", "diffusers"}
TORCH_FREE = [
    r for r in ("serve", "client", "media", "prompt", "wire", "core") if (SOURCE / r / "__init__.py").is_file()
]

CODE = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({m.partition(".")[0] for m in set(sys.modules) - before})))
"""


def loaded_by(*modules: str) -> set[str]:
    """The top-level modules that importing ``modules`` loads."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, "-c", CODE, *modules]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return set(json.loads(result.stdout))


def modules_of(room: str) -> list[str]:
    package = SOURCE / room
    found = pkgutil.walk_packages([str(package)], prefix=f"kinema.{room}.")
    return [f"kinema.{room}", *(m.name for m in found)]


@pytest.mark.parametrize("room", TORCH_FREE)
def test_a_room_without_torch_loads_none(room: str) -> None:
    modules = modules_of(room)
    assert len(modules) > 1
    assert not loaded_by(*modules) & TORCH


def test_core_needs_the_standard_library_only() -> None:
    loaded = loaded_by(*modules_of("core"))
    assert {m for m in loaded if m not in sys.stdlib_module_names} == {"kinema"}


def test_the_check_sees_torch_where_there_is_some() -> None:
    assert "torch" in loaded_by("kinema.flow.paths")
