"""The shard format: round trips, interrupted writers, damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.core.geometry import Bucket
from kinema.data.load.shards import Field, ShardSet, ShardWriter, join

SMALL = Bucket(frames=5, height_px=3, width_px=7)
LARGE = Bucket(frames=5, height_px=11, width_px=13)
FIELDS = {"x": Field(dtype="int32", shape=("h", "w")), "y": Field(dtype="float32", shape=(2,))}


def write_shard(writer: ShardWriter, number: int, bucket: Bucket, count: int) -> None:
    values = torch.arange(count, dtype=torch.int32)[:, None, None] + 100 * number
    x = values.expand(count, bucket.height_px, bucket.width_px)
    y = torch.full((count, 2), float(number))
    metadata = [{"id": f"{number}/{i}", "caption": "红色的球\nred"} for i in range(count)]
    writer.write(number, bucket, tensors={"x": x, "y": y}, metadata=metadata)


def make(path: Path) -> ShardSet:
    writer = ShardWriter(path, fingerprint="abc", fields=FIELDS)
    for number, bucket, count in ((0, SMALL, 3), (1, LARGE, 2), (2, SMALL, 5)):
        write_shard(writer, number, bucket, count)
    return writer.finish(3)


def test_round_trip_across_shards(tmp_path: Path) -> None:
    made = make(tmp_path)
    shards = ShardSet.open(tmp_path, verify=True)
    assert shards.buckets == made.buckets == {SMALL: 8, LARGE: 2}
    assert len(shards) == 10
    assert shards.fingerprint == "abc"
    tensors, metadata = shards.read(SMALL, [7, 0, 3])
    assert tensors["x"].shape == (3, 3, 7)
    assert tensors["x"].dtype == torch.int32
    assert tensors["x"][:, 0, 0].tolist() == [204, 0, 200]
    assert tensors["y"][:, 0].tolist() == [2.0, 0.0, 2.0]
    assert [m["id"] for m in metadata] == ["2/4", "0/0", "2/0"]
    assert metadata[0]["caption"] == "红色的球\nred"


def test_interrupted_writer_goes_on(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, fingerprint="abc", fields=FIELDS)
    write_shard(writer, 1, SMALL, 2)
    (tmp_path / "shard-00000.safetensors").write_bytes(b"half a file")
    again = ShardWriter(tmp_path, fingerprint="abc", fields=FIELDS)
    assert [again.has(n) for n in range(3)] == [False, True, False]
    with pytest.raises(InvalidInput, match="shard-00000.*not written"):
        again.finish(2)
    with pytest.raises(InvalidInput, match="still being written"):
        ShardSet.open(tmp_path)
    write_shard(again, 0, SMALL, 3)
    assert len(again.finish(2)) == 5
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".jsonl", ".jsonl", ".safetensors", ".safetensors"]
    finished = ShardWriter(tmp_path, fingerprint="abc", fields=FIELDS)
    assert [finished.has(n) for n in range(3)] == [True, True, False]


def test_another_set_is_not_mixed_in(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InvalidInput, match="fingerprint.*choose another folder"):
        ShardWriter(tmp_path, fingerprint="other", fields=FIELDS)
    with pytest.raises(InvalidInput, match="fields"):
        ShardWriter(tmp_path, fingerprint="abc", fields={"x": FIELDS["x"]})


def test_damage_names_the_file(tmp_path: Path) -> None:
    make(tmp_path)
    file = tmp_path / "shard-00001.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(InvalidInput, match="shard-00001.safetensors.*bytes"):
        ShardSet.open(tmp_path)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    ShardSet.open(tmp_path)
    with pytest.raises(InvalidInput, match="shard-00001.safetensors.*SHA-256"):
        ShardSet.open(tmp_path, verify=True)
    file.write_bytes(b"\xff" * len(whole))
    with pytest.raises(InvalidInput, match="shard-00001.safetensors.*can't be read"):
        ShardSet.open(tmp_path).read(LARGE, [0])
    file.unlink()
    with pytest.raises(InvalidInput, match="shard-00001.safetensors.*missing"):
        ShardSet.open(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": 99}', '{"format": 1}', '{"format": 1, "fields": {}, "shards": [{}]}']
)
def test_bad_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"index\.json"):
        ShardSet.open(tmp_path)


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no index\.json"):
        ShardSet.open(tmp_path)


def test_wrong_tensors_are_refused(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, fingerprint="abc", fields=FIELDS)
    x, y = torch.zeros(2, 3, 7, dtype=torch.int32), torch.zeros(2, 2)
    cases = [
        ({"x": x}, 2, "fields"),
        ({"x": x.float(), "y": y}, 2, "int32"),
        ({"x": x, "y": torch.zeros(2, 3)}, 2, "y"),
        ({"x": x, "y": y}, 3, "x"),
        ({"x": x, "y": y}, 0, "at least one"),
    ]
    for tensors, count, words in cases:
        with pytest.raises(InvalidInput, match=words):
            writer.write(0, SMALL, tensors=tensors, metadata=[{}] * count)
    assert not list(tmp_path.glob("shard-*"))


def test_index_is_plain_json(tmp_path: Path) -> None:
    make(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["fields"]["x"] == {"dtype": "int32", "shape": ["h", "w"]}
    assert [s["count"] for s in index["shards"]] == [3, 2, 5]
    with pytest.raises(InvalidInput, match="bucket"):
        ShardSet.open(tmp_path).read(Bucket(frames=1, height_px=1, width_px=1), [0])
    with pytest.raises(InvalidInput, match="2 samples"):
        ShardSet.open(tmp_path).read(LARGE, [2])


def test_joined_sets(tmp_path: Path) -> None:
    one = make(tmp_path / "one")
    writer = ShardWriter(tmp_path / "two", fingerprint="def", fields=FIELDS)
    write_shard(writer, 0, SMALL, 4)
    two = writer.finish(1)
    both = join([one, two])
    assert both.buckets == {SMALL: 12, LARGE: 2}
    assert both.read(SMALL, [7, 8, 11])[0]["x"][:, 0, 0].tolist() == [204, 0, 3]
    assert both.fingerprint not in (one.fingerprint, two.fingerprint, join([two, one]).fingerprint)
    assert join([one]) is one
    other = ShardWriter(tmp_path / "three", fingerprint="ghi", fields={"x": FIELDS["x"]})
    other.write(0, SMALL, tensors={"x": torch.zeros(1, 3, 7, dtype=torch.int32)}, metadata=[{}])
    with pytest.raises(InvalidInput, match="three.*other fields"):
        join([one, other.finish(1)])
