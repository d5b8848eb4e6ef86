"""A model of twice the memory, through the command line, in a process that can't get more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kinema
from kinema.engine.reproduce import reproduce
from kinema.media.recipe import read_recipe
from tests.engine.families.published import wan

LARGE = {"num_attention_heads": 6, "attention_head_dim": 64, "ffn_dim": 1536, "num_layers": 24}
# RLIMIT_AS counts every address that a process has, those of libraries and of mapped files, too
CODE = """
import json, re, resource, sys
from pathlib import Path
from kinema.app import local
from kinema.cli.main import run
from kinema.engine import choose

def make(model, offload, out):
    local._LOADED.clear()
    flags = "--frames 5 --size 48x32 --steps 2 --seed 7".split()
    return run(["generate", "a red car", "--model", model, *flags, "--offload", offload, "--out", out])

small, large, room = sys.argv[1], sys.argv[2], int(sys.argv[3])
float32 = choose.DtypeChoice(dtype="float32", vae_dtype="float32", isa=choose.current_isa("cpu"))
choose.measure_dtypes = lambda *_, **__: float32
# what Python, torch and transformers take: the same work with hardly any weights
codes = [make(small, offload, f"small-{offload}.mp4") for offload in ("disk", "layers")]
peak = int(re.search(r"VmPeak:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (peak + room,) * 2)
print(json.dumps([*codes, *(make(large, offload, f"{offload}.mp4") for offload in ("disk", "auto", "none"))]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limit on memory is Linux's")
def test_a_model_of_twice_the_memory_runs(tmp_path: Path) -> None:
    """Room for half of the weights, above what a tiny model of the family takes: from disk it runs, and auto finds a way by itself."""
    small, large = wan(tmp_path / "small").folder, wan(tmp_path / "large", transformer=LARGE).folder
    weights = sum(file.stat().st_size for file in large.rglob("*.safetensors"))
    assert weights > 220e6
    root, here = Path(kinema.__file__).parents[1], tmp_path / "here"
    here.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(root), "HOME": str(here), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, str(small), str(large), str(weights // 2)]
    done = subprocess.run(command, env=environment, cwd=here, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0, 0, 0, 1], done.stderr
    assert "error: out of memory during load" in done.stderr.splitlines()[-1]
    assert sorted(p.name for p in here.glob("[!.]*")) == ["auto.mp4", "disk.mp4", "small-disk.mp4", "small-layers.mp4"]
    recipe, chosen = (read_recipe(here / f"{name}.mp4") or {} for name in ("disk", "auto"))
    assert chosen["plan"]["offload"] in ("layers", "disk")
    assert chosen["frames"] == recipe["frames"]
    assert reproduce(recipe, model=large, offload="none").is_same, "the bits of resident weights"
