"""What loading takes at its peak, measured from outside: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import kinema

WIDTH, BLOCKS, SHARDS = 1150, 28, 4

CODE = f"""
import json, re, sys
from pathlib import Path
import torch
from torch import nn
from kinema.weights.files import tensor_files
from kinema.weights.load import load_module

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({{k: nn.Linear({WIDTH}, {WIDTH}) for k in "qkvo"}}) for _ in range({BLOCKS}))

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

files = tensor_files(Path(sys.argv[1]))
torch.randn(64, 64) @ torch.randn(64, 64)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
net = load_module(Net, files, dtype=getattr(torch, sys.argv[2]))
weights = sum(p.nbytes for p in net.parameters())
print(json.dumps({{"weights": weights, "peak": status("VmHWM") - before}}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 MB of bf16 in four shards."""
    root = tmp_path_factory.mktemp("large") / "transformer"
    root.mkdir()
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        name = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        tensors = {}
        for block in range(shard, BLOCKS, SHARDS):
            for part in "qkvo":
                tensors[f"blocks.{block}.{part}.weight"] = torch.full((WIDTH, WIDTH), 0.5, dtype=torch.bfloat16)
                tensors[f"blocks.{block}.{part}.bias"] = torch.zeros(WIDTH, dtype=torch.bfloat16)
        save_file(tensors, root / name)
        weight_map |= dict.fromkeys(tensors, name)
    (root / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    return root


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("dtype, most", [("float32", 1.2), ("float16", 1.2), ("bfloat16", 0.2)])
def test_the_peak_is_little_above_the_weights(folder: Path, dtype: str, most: float) -> None:
    """Converted weights and a buffer; weights that need no conversion stay in the file until they are used."""
    environment = {**os.environ, "PYTHONPATH": str(Path(kinema.__file__).parents[1])}
    command = [sys.executable, "-c", CODE, str(folder), dtype]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=250)
    measured = json.loads(result.stdout)
    assert measured["weights"] > (580e6 if dtype == "float32" else 290e6)
    assert measured["peak"] < most * measured["weights"]
