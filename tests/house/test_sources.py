"""What import-linter and ruff can't see in the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "kinema"
PURE = ("models", "flow")
MAX_LINES = 400
FILE_CALLS = {
    "open",
    "write_text",
    "write_bytes",
    "read_text",
    "read_bytes",
    "mkdir",
    "unlink",
    "savetxt",
    "fromfile",
    "tofile",
}
DYNAMIC = {"__import__", "exec", "eval", "compile"}


def sources(*rooms: str) -> list[Path]:
    """The Python files of ``rooms``, or of all."""
    return sorted(p for r in rooms or ("",) for p in (PACKAGE / r).rglob("*.py"))


def problems_in_pure_rooms(tree: ast.AST) -> Iterator[str]:
    """What `models` and `flow` may not hold: imports inside functions, files, `torch.distributed`, `torch.load` and `torch.save`."""
    for function in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))):
        for node in ast.walk(function):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield f"line {node.lineno}: an import inside a function"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            is_method = isinstance(node.func, ast.Attribute)
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in FILE_CALLS or name == "import_module" or (name in DYNAMIC and not is_method):
                yield f"line {node.lineno}: calls {name}"
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [f"{node.module}.{a.name}" for a in node.names] if isinstance(node, ast.ImportFrom) else []
        names += [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
        for name in names:
            if f"{name}.".startswith(("torch.distributed.", "torch.hub.", "torch.load.", "torch.save.")):
                yield f"line {getattr(node, 'lineno', 0)}: {name}"


def reads_environment(tree: ast.AST) -> bool:
    """Whether ``tree`` looks at environment variables."""
    names = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, (ast.Attribute, ast.Name))}
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "os" for a in n.names}
    return bool(names & {"os.environ", "os.getenv", "os.putenv"} or imported & {"environ", "getenv", "putenv"})


@pytest.mark.parametrize("path", sources(*PURE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_models_and_flow_are_pure(path: Path) -> None:
    assert not sorted(set(problems_in_pure_rooms(ast.parse(path.read_text(encoding="utf-8")))))


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    import math",
        "class C:\n    def f(self):\n        from math import pi",
        "open('x')",
        "p.write_text('x')",
        "import torch\ntorch.save({}, 'x')",
        "import torch\ndef f(): return torch.distributed.get_rank()",
        "import torch.distributed as dist",
        "from torch import distributed",
        "from torch.distributed import fsdp",
        "__import__('os')",
    ],
)
def test_an_impure_source_is_caught(text: str) -> None:
    assert list(problems_in_pure_rooms(ast.parse(text)))


def test_library_code_reads_no_environment_variables() -> None:
    readers = [p for p in sources() if reads_environment(ast.parse(p.read_text(encoding="utf-8")))]
    names = [str(p.relative_to(PACKAGE)) for p in readers if p.relative_to(PACKAGE).parts[0] != "cli"]
    # a program's door to a server, as the command line is a person's
    assert names == ["client/place.py"]


@pytest.mark.parametrize(
    "text", ["import os\nos.environ['X']", "from os import getenv", "import os\nx = os.getenv('X')"]
)
def test_an_environment_reader_is_caught(text: str) -> None:
    assert reads_environment(ast.parse(text))


def test_files_stay_readable() -> None:
    long = {
        str(p.relative_to(PACKAGE)): n
        for p in sources()
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long, f"over {MAX_LINES} lines: split them by subject"


def test_every_module_says_what_it_is() -> None:
    assert [str(p) for p in sources() if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))] == []
