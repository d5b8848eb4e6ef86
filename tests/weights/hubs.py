"""A hub on this machine: the client's functions that reach out are replaced, its cache is the real one, elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class CardData:
    license: str | None = "apache-2.0"
    license_name: str | None = None


@dataclass
class Sibling:
    rfilename: str
    size: int


@dataclass
class Info:
    sha: str
    siblings: list[Sibling]
    card_data: CardData | None


@dataclass
class FakeHub:
    """``models``: id -> the folder that the hub serves; ``errors``: what a file, or "info", raises instead; ``head``: the commit
    that names of revisions lead to."""

    cache: Path
    models: dict[str, Path] = field(default_factory=dict)
    card_data: CardData | None = field(default_factory=CardData)
    errors: dict[str, BaseException] = field(default_factory=dict)
    downloaded: list[str] = field(default_factory=list)
    head: str = SHA

    def model_info(self, repo_id: str, *, revision: str | None = None, files_metadata: bool = False) -> Info:
        assert files_metadata
        if "info" in self.errors:
            raise self.errors["info"]
        root = self.models[repo_id]
        files = [p for p in sorted(root.rglob("*")) if p.is_file()]
        siblings = [Sibling(p.relative_to(root).as_posix(), p.stat().st_size) for p in files]
        return Info(SHA, siblings, self.card_data)

    def hf_hub_download(self, repo_id: str, filename: str, *, revision: str | None = None) -> str:
        """Puts the file where the real client would: bytes by their hash, a link in the snapshot, the revision's name."""
        if filename in self.errors:
            raise self.errors[filename]
        source = self.models[repo_id] / filename
        home = self.cache / f"models--{repo_id.replace('/', '--')}"
        commit = SHA if revision == SHA else self.head
        link = home / "snapshots" / commit / filename
        if not link.exists():
            self.downloaded.append(filename)
            blob = home / "blobs" / hashlib.sha256(source.read_bytes()).hexdigest()
            for folder in (blob.parent, link.parent, home / "refs"):
                folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, blob)
            link.symlink_to(os.path.relpath(blob, link.parent))
        if revision is not None and revision != SHA:
            (home / "refs" / revision).write_text(commit, encoding="utf-8")
        return str(link)


def install(monkeypatch: pytest.MonkeyPatch, cache: Path) -> FakeHub:
    """A hub without models, and an empty cache at ``cache``."""
    hub = FakeHub(cache)

    class Api:
        def model_info(self, *arguments: Any, **options: Any) -> Info:
            return hub.model_info(*arguments, **options)

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.hf_hub_download)
    return hub
