"""Files by their content."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kinema.core.errors import InvalidInput, StorageError
from kinema.serve.blobs import BlobStore

HEX = hashlib.sha256(b"seven").hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def names(blobs: BlobStore) -> list[str]:
    """Every file and folder below the root, but for the lock."""
    return sorted(str(p.relative_to(blobs.root)) for p in blobs.root.rglob("*") if p.name != ".lock")


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_blob_is_named_by_its_bytes_and_is_one_file_however_often_it_comes(blobs: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"seven")
    assert blobs.put(b"seven") == blobs.put_file(file) == f"sha256:{HEX}"
    assert blobs.path(f"sha256:{HEX}").read_bytes() == b"seven"
    assert names(blobs) == [HEX[:2], f"{HEX[:2]}/{HEX}"]
    assert file.exists(), "a copy was taken"
    other = blobs.put(b"")
    assert {ref for ref, _ in blobs.refs()} == {f"sha256:{HEX}", other}


def test_a_large_file_is_copied_in_pieces(blobs: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 10_007)
    ref = blobs.put_file(file)
    assert ref == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert blobs.path(ref).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "sha256:",
        HEX,
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX}/../x",
        f"sha256:../{HEX[3:]}",
        f"sha256:{HEX}\n",
        None,
    ],
)
def test_what_is_no_name_of_a_blob_is_refused(blobs: BlobStore, ref: str) -> None:
    for call in (blobs.path, blobs.exists, blobs.delete):
        with pytest.raises(InvalidInput, match="64 hex digits"):
            call(ref)


def test_what_is_not_there_is_said(blobs: BlobStore) -> None:
    assert not blobs.exists(f"sha256:{HEX}")
    assert not blobs.delete(f"sha256:{HEX}")
    with pytest.raises(StorageError, match="no such file"):
        blobs.path(f"sha256:{HEX}")


def test_a_blob_that_was_put_again_is_young_again_and_stays(blobs: BlobStore) -> None:
    ref = blobs.put(b"seven")
    age(blobs.path(ref), 7200)
    assert dict(blobs.refs())[ref] == pytest.approx(7200, abs=60)
    blobs.put(b"seven")
    assert dict(blobs.refs())[ref] < 60
    assert not blobs.delete(ref, min_age_s=3600)
    age(blobs.path(ref), 7200)
    assert blobs.delete(ref, min_age_s=3600)
    assert not blobs.exists(ref)


def test_nothing_half_written_is_ever_seen_and_what_the_dead_left_is_swept(blobs: BlobStore) -> None:
    kept = blobs.put(b"seven")
    code = """if True:
        import os, sys
        from pathlib import Path
        from kinema.serve.blobs import BlobStore
        blobs = BlobStore(Path(sys.argv[1]))
        with blobs.scratch() as folder:
            (folder / "part").write_bytes(b"half")
            blobs._keep = lambda *_: os.kill(os.getpid(), 9)
            blobs.put(b"never")
    """
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(blobs.root)], env=environment, check=False)
    assert [ref for ref, _ in blobs.refs()] == [kept]
    left = [p for p in blobs.root.iterdir() if p.name.endswith(".part")]
    assert len(left) == 2, "a file and a scratch folder"
    assert blobs.delete_parts(min_age_s=3600) == 0
    for path in left:
        age(path, 7200)
    assert blobs.delete_parts(min_age_s=3600) == 2
    assert names(blobs) == [HEX[:2], f"{HEX[:2]}/{HEX}"]


def test_a_scratch_folder_is_gone_afterwards_whatever_happens(blobs: BlobStore) -> None:
    def fail() -> None:
        with blobs.scratch() as folder:
            (folder / "file").write_bytes(b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(blobs) == []


def test_a_sweep_that_saw_an_old_copy_does_not_take_away_the_new_one(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, threads = blobs.put(b"seven"), list[threading.Thread]()

    def old(path: Path) -> float:
        """As it looked; and then somebody puts it again."""
        threads.append(threading.Thread(target=blobs.put, args=(b"seven",)))
        threads[0].start()
        threads[0].join(0.5)
        return 7200.0

    monkeypatch.setattr("kinema.serve.blobs._age_s", old)
    assert blobs.delete(ref, min_age_s=3600)
    threads[0].join(60)
    assert blobs.exists(ref), "what was put is there"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cant_be_written_is_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="not writable"):
        BlobStore(tmp_path / "blobs")


def test_a_root_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        BlobStore(tmp_path / "file")
