"""`kinema serve`: real processes on loopback, and what can't be served."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kinema.app import server
from kinema.app.server import address, listen, sweep, worker_settings
from kinema.core.errors import AccessError, InvalidInput, KinemaError, StorageError
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.job import Job, Queued
from kinema.serve.jobs.store import open_store
from kinema.serve.settings import Settings
from tests.app.worker.conftest import FAKE, is_alive
from tests.app.worker.fake import order
from tests.engine.conftest import TINY_CARD, save_tiny

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "tiny", TINY_CARD))


@contextmanager
def serving(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """A `kinema serve` that listens, and a client of it."""
    command = [sys.executable, "-m", "kinema", "serve", "--data", str(data), "--port", "0", *options]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:"), line
            with httpx.Client(base_url=line.split()[2].rstrip(";"), timeout=30) as client:
                yield process, client
        finally:
            process.kill()


def until(found: Callable[[], object], timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_outlives_the_server_and_is_finished_by_the_next(tiny: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    # enough steps that it can't be done before it is stopped
    asked = {"prompt": "a cube", "frames": 9, "size": "48x32", "steps": 150, "seed": 7, "model": tiny}
    with serving(data, "--models", tiny) as (process, client):
        made = client.post("/v1/videos", json=asked, headers={"Kinema-Dialect": "native"})
        assert made.status_code in (200, 201, 202), made.text
        job = f"/v1/videos/{made.json()['id']}"
        native = {"Kinema-Dialect": "native"}
        until(lambda: client.get(job, headers=native).json()["step"] >= 3)
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        assert "libtorch" not in maps, "the server itself has no torch"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    store = open_store(f"sqlite:///{data}/jobs.db")
    found = store.get(made.json()["id"])
    assert found is not None
    assert found.state == Queued()
    assert found.checkpoint_step == found.done_steps >= 3
    assert found.deaths == 0
    store.close()
    with serving(data, "--models", tiny) as (process, client):
        until(lambda: client.get(job, headers=native).json()["status"] not in ("queued", "running"))
        answer = client.get(job, headers=native).json()
        assert answer["status"] == "succeeded", answer
        assert answer["attempts"] == 2
        content = client.get(f"{job}/content").content
        assert content[4:8] == b"ftyp"
        assert (data.stat().st_mode & 0o777) == 0o700
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def modes(folder: Path) -> dict[str, int]:
    """What there is, and who may use it."""
    paths = [folder, *folder.rglob("*")]
    return {str(p.relative_to(folder)): p.stat().st_mode & 0o777 for p in paths}


def test_readers_of_events_do_not_hold_up_the_end(tmp_path: Path) -> None:
    data = tmp_path / "data"
    # somebody made it in the usual way
    data.mkdir()
    data.chmod(0o755)
    with serving(data, "--no-worker") as (process, client):
        job = client.post("/v1/videos", json={"prompt": "a cube"}).json()["id"]
        # what a server keeps is nobody else's to read
        found = modes(data)
        assert {".", "blobs", "jobs.db", "jobs.db-wal"} <= set(found)
        assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
        with client.stream("GET", f"/v1/videos/{job}/events") as stream:
            chunks = stream.iter_raw()
            next(chunks)
            process.send_signal(signal.SIGTERM)
            # it comes to a proper end, where one that is cut off would raise
            for _ in chunks:
                pass
        assert process.wait(60) == 0


SERVE_FAKE = """if True:
    import sys
    from dataclasses import replace
    from functools import partial
    from pathlib import Path
    from kinema.app import server
    from kinema.serve.settings import Settings
    settings_of = server.worker_settings
    server.Supervisor = partial(server.Supervisor, command=sys.argv[2:])
    server.worker_settings = lambda s: [replace(w, models=("fake",)) for w in settings_of(s)]
    settings = Settings(data=Path(sys.argv[1]), port=0)
    server.serve(settings, log=lambda _: None, on_listening=lambda url: print(url, flush=True))
"""


def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    job = store.submit(order(steps=3, hang_at=2))
    assert isinstance(job, Job)
    command = [sys.executable, "-c", SERVE_FAKE, str(tmp_path), *FAKE]
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            until(lambda: (found := store.get(job.id)) is not None and found.done_steps == 2)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert len(children) == 1
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()
    until(lambda: not is_alive(int(children[0])))
    store.close()


def test_where_nothing_can_listen_one_line_says_why(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        for host, number, field, rule in (
            ("127.0.0.1", port, "port", "is in use on 127.0.0.1"),
            ("192.0.2.1", 0, "host", "no address of this machine"),
            ("no.such.host.invalid", 0, "host", "no address of this machine"),
        ):
            with pytest.raises(InvalidInput, match=rule) as caught:
                listen(host, number)
            assert caught.value.field == field
        command = [sys.executable, "-m", "kinema", "serve", "--data", str(tmp_path / "d"), "--port", str(port)]
        answer = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == f"error: port: {port}: is in use on 127.0.0.1; name another, or 0 for any that is free\n"


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        served, _ = listener.accept()
        with served:
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_ASKING", 3)
    settings = Settings(data=tmp_path, max_streams=2)
    with closing(open_store(settings.database_url)) as store, listen("127.0.0.1", 0) as listener:
        http = server._Http(server.api(settings, store, BlobStore(settings.blobs)))  # pyright: ignore[reportPrivateUsage]
        thread = threading.Thread(target=http.run, args=([listener],))
        thread.start()

        def status() -> int:
            return httpx.get(f"{address(listener)}/healthz").status_code

        try:
            until(lambda: http.started)
            with ExitStack() as idle:
                for _ in range(4):
                    assert status() == 200
                    idle.enter_context(socket.create_connection(listener.getsockname()[:2]))
                until(lambda: len(http.server_state.connections) == 4)
                assert status() == 503
            until(lambda: status() == 200)
        finally:
            http.should_exit = True
            thread.join()


def test_a_sweeper_outlives_what_nobody_thought_of(tmp_path: Path) -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")

    def broken() -> list[Job]:
        raise RuntimeError("never seen before")

    store.reap = broken
    sweeper = server._Sweeper(store, BlobStore(tmp_path), Settings(data=tmp_path, lease_s=0.02), told.put)  # pyright: ignore[reportPrivateUsage]
    sweeper.start()
    for _ in range(2):
        assert "RuntimeError: never seen before" in told.get(timeout=60)
    sweeper.stop()
    store.close()


def test_a_port_that_was_just_left_can_be_taken_again() -> None:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        served, _ = listener.accept()
        # whoever closes first keeps the address in TIME_WAIT
        served.close()
        listener.close()
        assert client.recv(1) == b""
    with listen("127.0.0.1", port) as again:
        assert address(again) == f"http://127.0.0.1:{port}"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_is_written_as_in_a_url() -> None:
    try:
        with listen("::1", 0) as listener:
            assert address(listener) == f"http://[::1]:{listener.getsockname()[1]}"
    except InvalidInput:
        pytest.skip("this machine has no ::1")


def refused(settings: Settings, **options: object) -> KinemaError:
    with pytest.raises(KinemaError) as caught:
        server.serve(settings, log=lambda _: None, on_listening=lambda _: pytest.fail("it listened"), **options)  # pyright: ignore[reportArgumentType]
    return caught.value


def test_what_cant_be_served_is_refused_before_anything_listens(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(data=tmp_path / "data", port=0)
    public = refused(replace(settings, host="0.0.0.0"))
    assert isinstance(public, InvalidInput)
    assert (public.field, public.value) == ("host", "0.0.0.0")
    assert "API key" in public.rule
    # a proxy on this machine lets everybody in
    for field, changes, value in (
        ("public_url", {"public_url": "https://api.example/x"}, "api.example"),
        ("hosts", {"hosts": ("localhost", "api.example")}, "api.example"),
    ):
        proxied = replace(settings, **changes)
        error = refused(proxied)
        assert isinstance(error, InvalidInput)
        assert (error.field, error.value) == (field, value)
        with closing(open_store(proxied.database_url)) as store:
            app = server.api(proxied, store, BlobStore(proxied.blobs))
            with pytest.raises(AccessError):
                app.state.service.authenticate(None)
    assert Settings(host="::1", hosts=("LOCALHOST", "[::1]"), public_url="http://127.0.0.2:80").opened_by is None
    assert isinstance(refused(replace(settings, data=tmp_path / "file")), StorageError)
    assert isinstance(refused(replace(settings, data=tmp_path / "file" / "below")), StorageError)
    (tmp_path / "shared" / "photos").mkdir(parents=True)
    (tmp_path / "shared").chmod(0o755)
    assert "has other things in it" in str(refused(replace(settings, data=tmp_path / "shared")))
    assert modes(tmp_path / "shared")["."] == 0o755
    for field, changes in (
        ("model", {"models": ("nothing",)}),
        ("device", {"device": "tpu"}),
        ("workers", {"device": "cuda:1", "workers": 2}),
        ("database", {"database": "mysql://x"}),
    ):
        error = refused(replace(settings, **changes))  # pyright: ignore[reportArgumentType]
        assert isinstance(error, InvalidInput)
        assert error.field == field


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_folder_that_cant_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "not writable" in str(refused(Settings(data=tmp_path, port=0)))


def test_each_worker_has_its_device_and_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "num_cores", lambda: 7)
    settings = Settings(lease_s=3.0, keep_outputs_s=5.0, models=("a", "b"), batch=4)
    (one,) = worker_settings(settings)
    assert one.batch == 4
    assert (one.device, one.threads, one.models, one.lease_s, one.keep_s) == ("cpu", 7, ("a", "b"), 3.0, 5.0)
    three = worker_settings(replace(settings, workers=3))
    assert [(w.device, w.threads) for w in three] == [("cpu", 2)] * 3
    assert len({w.name for w in three}) == 3
    gpus = worker_settings(replace(settings, workers=2, device="cuda"))
    assert [(w.device, w.threads) for w in gpus] == [("cuda:0", None), ("cuda:1", None)]
    assert [w.device for w in worker_settings(replace(settings, device="cuda:1"))] == ["cuda:1"]


def test_the_sweep_takes_what_no_job_needs_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    store, blobs = open_store(settings.database_url), BlobStore(settings.blobs)
    needed, output, old, young = (blobs.put(name) for name in (b"input", b"output", b"old", b"young"))
    job = store.submit(order(), inputs=[needed])
    (job,) = store.claim("w", lease_s=60)
    store.apply(
        job.id, c.Start(fence=1, from_step=0, checkpoint_every=5), c.Succeed(fence=1, result={}, outputs=(output,))
    )
    many = [blobs.put(b"%d" % i) for i in range(600)]
    then = time.time() - 7200
    for ref in (needed, output, old, *many):
        os.utime(blobs.path(ref), (then, then))
    assert sweep(store, blobs, settings) == 601
    assert {ref for ref, _ in blobs.refs()} == {needed, output, young}
    store.close()


def test_the_server_is_put_together_without_torch(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from kinema.app.server import api
        from kinema.serve.blobs import BlobStore
        from kinema.serve.jobs.store import open_store
        from kinema.serve.settings import Settings
        settings = Settings(data=Path(sys.argv[1]))
        api(settings, open_store(settings.database_url), BlobStore(settings.blobs)).openapi()
        print([m for m in ("torch", "safetensors", "transformers") if m in sys.modules])
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    answer = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
