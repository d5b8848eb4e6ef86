"""The shard format: a folder of samples that training reads by random access and that an interrupted writer continues.

    index.json                what the set is; written last, so a folder with it is complete
    shard-00000.safetensors   one stacked tensor per field, samples on axis 0; all samples of a shard have one bucket
    shard-00000.jsonl         one JSON object per sample, in the same order: captions, scene, source...

`index.json` has ``format`` (a version), ``fingerprint`` (of everything that changes a byte; a set with another fingerprint is
another set), ``fields`` (name -> dtype and shape per sample; a string in a shape names an axis that depends on the bucket)
and ``shards`` (in order: name, bucket, count, and bytes and SHA-256 of both files).

While a set is being written, each finished shard has a ``shard-00000.json`` with its entry of the index. Shards may be written
in any order and by several processes; whatever has no entry is written again. Every file is written to a temporary name,
synced and renamed, so a name that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kinema.core.errors import InvalidInput, choices, storage_errors
from kinema.core.geometry import Bucket

FORMAT = 1
DTYPES = {
    "uint8": torch.uint8,
    "int32": torch.int32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
_REMEDY = "remove the folder and write the set again"


@dataclass(frozen=True, kw_only=True)
class Field:
    """A tensor that every sample has: its dtype and shape. A string in ``shape`` names an axis that depends on the bucket."""

    dtype: str
    shape: tuple[int | str, ...]

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InvalidInput("dtype", self.dtype, f"must be {choices(DTYPES)}")

    def check(self, name: str, stacked: Tensor, count: int) -> None:
        """Raises: InvalidInput unless ``stacked`` holds ``count`` samples of this field."""
        want = (count, *self.shape)
        fits = stacked.ndim == len(want) and all(
            isinstance(w, str) or w == g for w, g in zip(want, stacked.shape, strict=True)
        )
        if stacked.dtype != DTYPES[self.dtype] or not fits:
            got = f"{stacked.dtype} {tuple(stacked.shape)}"
            raise InvalidInput(name, got, f"must be {self.dtype} {want}")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """An entry of the index. ``files`` maps a file's ending to its bytes and SHA-256."""

    name: str
    bucket: Bucket
    count: int
    files: Mapping[str, tuple[int, str]]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        bucket = [self.bucket.frames, self.bucket.height_px, self.bucket.width_px]
        files = {ending: list(facts) for ending, facts in self.files.items()}
        return {"name": self.name, "bucket": bucket, "count": self.count, "files": files}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shard:
        """The entry that `to_dict` described."""
        frames, height, width = data["bucket"]
        files = {ending: (int(size), str(digest)) for ending, (size, digest) in data["files"].items()}
        bucket = Bucket(frames=frames, height_px=height, width_px=width)
        return cls(name=data["name"], bucket=bucket, count=data["count"], files=files)


class ShardWriter:
    """Writes a shard set. Made again on a half-written folder, it knows what is there already (`has`).

    Raises: InvalidInput if the folder holds a set with another fingerprint or other fields.
    """

    def __init__(self, path: Path, *, fingerprint: str, fields: Mapping[str, Field]) -> None:
        self.path, self.fingerprint, self.fields = Path(path), fingerprint, dict(fields)
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        header = {"format": FORMAT, "fingerprint": fingerprint, "fields": _fields_to_dict(self.fields)}
        self._header = header
        begun = self.path / "writing.json"
        for known in (self.path / "index.json", begun):
            if known.exists():
                found = _read_json(known)
                for key, value in header.items():
                    if found.get(key) != value:
                        raise InvalidInput(
                            str(known),
                            found.get(key),
                            f"is another set's {key} (this one's is {value}); choose another folder",
                        )
        if not (self.path / "index.json").exists():
            write_atomically(begun, json.dumps(header).encode())

    @property
    def is_finished(self) -> bool:
        """Whether `finish` was called on this folder before."""
        return (self.path / "index.json").exists()

    def has(self, number: int) -> bool:
        """Whether shard ``number`` is written."""
        if self.is_finished:
            return any(s["name"] == _name(number) for s in _read_json(self.path / "index.json")["shards"])
        return (self.path / f"{_name(number)}.json").exists()

    def write(
        self, number: int, bucket: Bucket, *, tensors: Mapping[str, Tensor], metadata: Sequence[Mapping[str, Any]]
    ) -> None:
        """Writes shard ``number``: ``tensors`` has one stack per field, ``metadata`` one JSON-ready dict per sample."""
        if set(tensors) != set(self.fields):
            raise InvalidInput(
                "tensors", sorted(tensors), f"must be the set's fields: {', '.join(sorted(self.fields))}"
            )
        if not metadata:
            raise InvalidInput("metadata", len(metadata), "a shard has at least one sample")
        for name, spec in self.fields.items():
            spec.check(name, tensors[name], len(metadata))
        name = _name(number)
        lines = "".join(json.dumps(m, ensure_ascii=False, separators=(",", ":")) + "\n" for m in metadata)
        contents = {
            "safetensors": save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}),
            "jsonl": lines.encode(),
        }
        for ending, data in contents.items():
            write_atomically(self.path / f"{name}.{ending}", data)
        files = {ending: (len(data), hashlib.sha256(data).hexdigest()) for ending, data in contents.items()}
        shard = Shard(name=name, bucket=bucket, count=len(metadata), files=files)
        write_atomically(self.path / f"{name}.json", json.dumps(shard.to_dict()).encode())

    def finish(self, num_shards: int) -> ShardSet:
        """The finished set, once shards 0 to ``num_shards`` - 1 are written. Raises: InvalidInput naming the first that is not."""
        if not self.is_finished:
            entries = []
            for number in range(num_shards):
                if not self.has(number):
                    raise InvalidInput("shard", _name(number), f"is not written yet in {self.path}")
                entries.append(_read_json(self.path / f"{_name(number)}.json"))
            index = json.dumps(self._header | {"shards": entries}, indent=1)
            write_atomically(self.path / "index.json", index.encode())
            for leftover in [self.path / f"{_name(number)}.json" for number in range(num_shards)]:
                leftover.unlink(missing_ok=True)
            (self.path / "writing.json").unlink(missing_ok=True)
        return ShardSet.open(self.path)


class ShardSet:
    """A finished set. Samples are numbered from 0 within their bucket; tensors are memory-mapped until they are read."""

    def __init__(self, path: Path, *, fingerprint: str, fields: Mapping[str, Field], shards: Sequence[Shard]) -> None:
        self.path, self.fingerprint, self.fields, self.shards = path, fingerprint, dict(fields), list(shards)
        self._by_bucket: dict[Bucket, list[Shard]] = {}
        for shard in self.shards:
            self._by_bucket.setdefault(shard.bucket, []).append(shard)
        self._ends = {b: list(accumulate(s.count for s in group)) for b, group in self._by_bucket.items()}
        self._mapped: dict[str, tuple[dict[str, Tensor], list[bytes]]] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, verify: bool = False) -> ShardSet:
        """The set in the folder ``path``; with ``verify`` every file's SHA-256 is checked, else its size.

        Raises: InvalidInput naming the file that is missing, truncated or damaged.
        """
        path = Path(path)
        index = path / "index.json"
        if not index.exists():
            state = "is still being written" if (path / "writing.json").exists() else "has no index.json"
            raise InvalidInput(str(path), "shards", f"{state}; a finished set has one")
        data = _read_json(index)
        if data.get("format") != FORMAT:
            raise InvalidInput(str(index), data.get("format"), f"is not a format this version reads ({FORMAT})")
        try:
            fields = {k: Field(dtype=v["dtype"], shape=tuple(v["shape"])) for k, v in data["fields"].items()}
            shards = [Shard.from_dict(s) for s in data["shards"]]
        except (KeyError, TypeError, ValueError) as e:
            raise InvalidInput(str(index), "index", f"is not an index of shards: {e!r}") from e
        for shard in shards:
            for ending, (size, digest) in shard.files.items():
                _check_file(path / f"{shard.name}.{ending}", size, digest if verify else None)
        return cls(path, fingerprint=data["fingerprint"], fields=fields, shards=shards)

    @property
    def buckets(self) -> dict[Bucket, int]:
        """How many samples each bucket has, in a fixed order."""
        return {b: self._ends[b][-1] for b in sorted(self._ends)}

    def __len__(self) -> int:
        return sum(s.count for s in self.shards)

    def read(self, bucket: Bucket, numbers: Sequence[int]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Stacked tensors and metadata of samples ``numbers`` of ``bucket``, in the order given."""
        if bucket not in self._ends:
            raise InvalidInput("bucket", bucket, f"must be {choices(self.buckets)}")
        places = [self._place(bucket, n) for n in numbers]
        tensors = {name: torch.stack([self._map(shard)[0][name][row] for shard, row in places]) for name in self.fields}
        return tensors, [json.loads(self._map(shard)[1][row]) for shard, row in places]

    def _place(self, bucket: Bucket, number: int) -> tuple[Shard, int]:
        ends = self._ends[bucket]
        if not 0 <= number < ends[-1]:
            raise InvalidInput("number", number, f"bucket {bucket} has {ends[-1]} samples")
        which = bisect_right(ends, number)
        return self._by_bucket[bucket][which], number - (ends[which - 1] if which else 0)

    def _map(self, shard: Shard) -> tuple[dict[str, Tensor], list[bytes]]:
        with self._lock:
            if shard.name not in self._mapped:
                self._mapped[shard.name] = self._open_shard(shard)
            return self._mapped[shard.name]

    def _open_shard(self, shard: Shard) -> tuple[dict[str, Tensor], list[bytes]]:
        file = self.path / f"{shard.name}.safetensors"
        try:
            with safe_open(file, framework="pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in self.fields}
        except (OSError, SafetensorError) as e:
            raise InvalidInput(str(file), "shard", f"can't be read ({e}); {_REMEDY}") from e
        for name, spec in self.fields.items():
            spec.check(f"{file}: {name}", tensors[name], shard.count)
        lines = (self.path / f"{shard.name}.jsonl").read_bytes().splitlines()
        if len(lines) != shard.count:
            raise InvalidInput(str(self.path / f"{shard.name}.jsonl"), len(lines), f"lines; {shard.count} were written")
        return tensors, lines


def join(sets: Sequence[ShardSet]) -> ShardSet:
    """All samples of ``sets``, which must have the same fields: say, clips and pictures. Raises: InvalidInput."""
    for other in sets[1:]:
        if other.fields != sets[0].fields:
            raise InvalidInput(str(other.path), sorted(other.fields), f"has other fields than {sets[0].path}")
    # an absolute name stays what it is when it is put after a folder's
    shards = [replace(s, name=str(one.path.absolute() / s.name)) for one in sets for s in one.shards]
    digest = hashlib.sha256("\n".join(one.fingerprint for one in sets).encode()).hexdigest()
    return (
        sets[0] if len(sets) == 1 else ShardSet(sets[0].path, fingerprint=digest, fields=sets[0].fields, shards=shards)
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Writes ``data`` so that ``path`` either holds all of it, synced, or is as it was. Raises: StorageError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        try:
            with open(temporary, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"shard-{number:05d}"


def _fields_to_dict(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {k: {"dtype": v.dtype, "shape": list(v.shape)} for k, v in sorted(fields.items())}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InvalidInput(str(path), "JSON", f"can't be read: {e}") from e


def _check_file(path: Path, size: int, digest: str | None) -> None:
    if not path.exists():
        raise InvalidInput(str(path), "shard", f"is missing; {_REMEDY}")
    if path.stat().st_size != size:
        raise InvalidInput(str(path), f"{path.stat().st_size} bytes", f"{size} bytes were written; {_REMEDY}")
    if digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise InvalidInput(str(path), "shard", f"is damaged (its SHA-256 differs); {_REMEDY}")
