"""docs/deploy.md: what it names exists, its commands run, its unit and its proxies' files are taken by the programs that they are for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from inspect import signature
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
import typer.main

from kinema.app.server import DRAIN_S
from kinema.cli.main import _app
from kinema.serve.api.metrics import Meters
from kinema.serve.jobs.commands import Command, Step, Succeed
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.reading import list_jobs
from kinema.serve.jobs.store import open_store
from kinema.serve.settings import Settings
from kinema.serve.webhooks.deliverer import Deliverer
from tests.serve.api.conftest import Server, running
from tests.serve.api.test_events import read
from tests.serve.shared import order, submit

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
# the name after a fence's language -> what is in it
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE, re.S | re.M))
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def needed(program: str, package: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {program} in PATH; apt install {package}")
    return found


def commands() -> list[list[str]]:
    """The words after `kinema` of every command of it, in blocks and in the text."""
    unfolded = GUIDE.replace("\\\n", " ")
    found = re.findall(r"(?:/opt/kinema/bin/|`|-- )kinema ((?:serve|keys|models)\b[^`\n]*)", unfolded)
    return [shlex.split(words, comments=True) for words in found]


def test_every_command_and_flag_exists():
    checked = set()
    for words in commands():
        command = typer.main.get_command(_app())
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # pyright: ignore[reportAttributeAccessIssue]
        known = {name for parameter in command.params for name in parameter.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, f"kinema {command.name}: {given - known}"
        checked.add(command.name)
    assert checked == {"serve", "create", "list", "revoke", "get"}
    # and those that stand alone in the text
    flags = set(re.findall(r"`(--[a-z-]+)", GUIDE))
    serve = typer.main.get_command(_app()).commands["serve"]  # pyright: ignore[reportAttributeAccessIssue]
    assert flags <= {name for parameter in serve.params for name in parameter.opts}
    assert len(flags) >= 5


def test_every_metric_and_path_exists(tmp_path: Path):
    with closing(open_store(f"sqlite:///{tmp_path}/jobs.db")) as store:
        submit(store)
        meters = Meters(store.database)
        meters.seconds.labels("GET", "/", "200").observe(1)
        told = meters.text().decode()
    there = set(re.findall(r"^(kinema_\w+)", told, re.M)) | set(re.findall(r"# TYPE (kinema_\w+)", told))
    named = set(re.findall(r"\b(kinema_\w+)", GUIDE))
    assert named <= there
    # the guide leaves none out
    assert {name for name in re.findall(r"# TYPE (kinema_\w+)", told) if not name.endswith("_created")} <= named
    for name, label in re.findall(r"(kinema_\w+)\{(\w+)[=~]", BLOCKS["alerts.yml"]):
        assert re.search(rf"^{name}\{{[^}}]*\b{label}=", told, re.M), (name, label)
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    assert set(re.findall(r"`(/[a-z]+)`", GUIDE)) <= set(paths)


def test_its_numbers_are_the_server_s():
    unit, settings = BLOCKS["kinema.service"], Settings()
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    timeout_s = signature(Deliverer).parameters["timeout_s"].default
    assert int(stop_s) >= DRAIN_S + timeout_s
    assert f"{DRAIN_S:g} s, a webhook under way {timeout_s:g} s" in unit
    (body_mb,) = re.findall(r"client_max_body_size (\d+)m;", BLOCKS["kinema.conf"])
    assert int(body_mb) << 20 > settings.max_body_bytes
    assert f"up to {settings.max_body_bytes >> 20} MB" in GUIDE
    days = (settings.keep_outputs_s / 86400, settings.keep_jobs_s / 86400)
    assert f"Outputs go after {days[0]:g} days and jobs after {days[1]:g}" in GUIDE
    assert f"{settings.host}:{settings.port}" in GUIDE


def test_keys_are_made_as_it_says(tmp_path: Path):
    script = BLOCKS["keys"].replace("runuser -u kinema -- /opt/kinema/bin/kinema", f"{sys.executable} -m kinema")
    script = script.replace("/var/lib/kinema", str(tmp_path / "data"))
    done = subprocess.run(["bash", "-euc", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [("alice" in line, "monitoring" in line, "admin" in line) for line in done.stdout.splitlines()[2:]] == [
        (True, False, False),
        (False, True, True),
    ]


@pytest.mark.system
def test_systemd_takes_the_unit(tmp_path: Path):
    analyze = needed("systemd-analyze", "systemd")
    path = tmp_path / "kinema.service"
    path.write_text(BLOCKS["kinema.service"].replace("/opt/kinema/bin/kinema", sys.executable))
    done = subprocess.run([analyze, "verify", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if path.name in line]) == (0, [])


@contextmanager
def nginx(program: str, port: int, server: Server, folder: Path) -> Iterator[None]:
    """nginx with the guide's file, as far as it is not about certificates."""
    site = re.sub(r"\n *(listen \[::\].*|ssl_certificate.*);", "", BLOCKS["kinema.conf"])
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace("http://127.0.0.1:8000", server.url)
    temporary = "".join(f"{kind}_temp_path {folder};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi", "client_body"))
    path = folder / "nginx.conf"
    # root's server would turn into another user, who may not write here
    user = "user root;" if os.getuid() == 0 else ""
    http = f"http {{ access_log off; {temporary}\n{site} }}"
    path.write_text(f"daemon off; {user} pid {folder}/pid; error_log {folder}/log; events {{}} {http}")
    subprocess.run([program, "-t", "-q", "-p", folder, "-c", path], check=True, timeout=60)
    with started([program, "-q", "-p", str(folder), "-c", str(path)], folder):
        yield


@contextmanager
def caddy(program: str, port: int, server: Server, folder: Path) -> Iterator[None]:
    """Caddy with the guide's file, without a certificate."""
    site = BLOCKS["Caddyfile"].replace("video.example.org {", f"http://:{port} {{")
    path = folder / "Caddyfile"
    path.write_text("{\n\tadmin off\n}\n" + site.replace("127.0.0.1:8000", server.url.removeprefix("http://")))
    with started([program, "run", "--config", str(path), "--adapter", "caddyfile"], folder):
        yield


@contextmanager
def started(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, env={**ENVIRONMENT, "HOME": str(folder)}, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.system
@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_through_the_proxy(tmp_path: Path, name: str):
    program, port, proxy = needed(name, name), free_port(), {"nginx": nginx, "caddy": caddy}[name]
    (folder := tmp_path / "proxy").mkdir()
    with (
        running(tmp_path, public_url="https://video.example.org") as server,
        proxy(program, port, server, folder),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"host": "video.example.org"}, timeout=20) as client,
    ):
        wait_until_it_answers(client, folder)
        made = client.post(
            "/v1/videos", json={"prompt": "a red ball", "steps": 2}, headers={"kinema-dialect": "native"}
        )
        job = made.raise_for_status().json()
        assert job["urls"]["self"] == f"https://video.example.org/v1/videos/{job['id']}"
        with client.stream("GET", f"/v1/videos/{job['id']}/events") as stream:
            events = read(stream)
            # it is here although nothing follows it
            assert next(events)["event"] == "queued"
            started = server.worker.start()
            assert [next(events)["event"] for _ in range(2)] == ["running", "started"]
            server.store.apply(job["id"], *finish(server, started))
            assert [e["event"] for e in events] == ["progress", "succeeded"]
        whole = client.get(f"/v1/videos/{job['id']}/content")
        part = client.get(f"/v1/videos/{job['id']}/content", headers={"range": "bytes=5-9"})
        assert (whole.status_code, part.status_code, part.content) == (200, 206, whole.content[5:10])
        # the server's own answer, not the proxy's
        large = client.post("/v1/videos", content=b" " * (Settings().max_body_bytes + 10**5))
        assert (large.status_code, large.json()["code"]) == (413, "body.too_large")
        assert client.get("/metrics").status_code == 404
        assert client.get("/readyz").json()["status"] == "ok"
        # the name that a client asked for gets through
        assert client.get("/readyz", headers={"host": "other.example"}).status_code == 421
        ours, foreign = (
            client.post(f"/v1/videos/{job['id']}/remix", json={"prompt": "b"}, headers={"origin": f"https://{site}"})
            for site in ("video.example.org", "evil.example")
        )
        assert (ours.status_code, foreign.status_code) == (200, 403)


def finish(server: Server, job: Job) -> list[Command]:
    """What ends ``job``, which is at its first of two steps."""
    path, kind = server.worker.files["video"]
    video = {"blob": server.blobs.put_file(path), "media_type": kind, "bytes": path.stat().st_size, "name": "v.mp4"}
    return [Step(fence=job.fence, step=2), Succeed(fence=job.fence, result={"outputs": {"video": video}})]


def wait_until_it_answers(client: httpx.Client, folder: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            client.get("/healthz").raise_for_status()
            return
        except httpx.HTTPError:
            assert time.monotonic() < end, (folder / "out").read_text()
            time.sleep(0.05)


@pytest.mark.system
def test_what_is_backed_up_comes_back(tmp_path: Path):
    needed("rsync", "rsync")
    data, backup = tmp_path / "data", tmp_path / "backup"
    data.mkdir()

    def run(block: str) -> None:
        script = re.sub(r"^(systemctl|chown) ", r": ", BLOCKS[block], flags=re.M)
        script = script.replace("/var/lib/kinema", str(data)).replace("/var/backups/kinema", str(backup))
        script = script.replace("/opt/kinema/bin/python", sys.executable)
        subprocess.run(["bash", "-euc", script], env=ENVIRONMENT, check=True, timeout=120)

    # a file is there before the database names it, so it is copied after
    assert BLOCKS["backup"].index("sqlite3") < BLOCKS["backup"].index("rsync")
    with running(data) as server, server.client("ann") as client:
        ids = [client.post("/v1/videos", json={"prompt": "a ball", "steps": 2}).json()["id"] for _ in range(3)]
        server.worker.work(until=ids[1])
        # amid its work, and only in the log that is written ahead
        run("backup")
        later = client.post("/v1/videos", json={"prompt": "a ball", "steps": 2}).json()["id"]
        server.worker.work()
    for path in (*(data / "blobs").glob("??/*"), data / "jobs.db"):
        path.unlink()
    with closing(sqlite3.connect(data / "jobs.db")) as other:
        other.execute("CREATE TABLE broken (x)")
    run("restore")
    with running(data) as server, server.client("ann") as client:
        states = [client.get(f"/v1/videos/{job}").json()["status"] for job in ids]
        assert states == ["completed", "completed", "queued"]
        assert client.get(f"/v1/videos/{later}").status_code == 404
        clip = client.get(f"/v1/videos/{ids[0]}/content").content
        assert clip == server.worker.files["video"][0].read_bytes()
        server.worker.work()
        assert client.get(f"/v1/videos/{ids[2]}").json()["status"] == "completed"


@pytest.mark.system
def test_postgresql_is_backed_up_and_comes_back(postgresql: str, tmp_path: Path):
    dump, restore = re.findall(r"`runuser -u postgres -- (pg_[^`]+)`", GUIDE)
    (address,) = re.findall(r"'(postgresql://[^']+)'", GUIDE)
    address = address.replace("/var/run/postgresql", quote(postgresql, safe=""))
    with psycopg.connect(host=postgresql, user="kinema", dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE kinema")

    def run(command: str) -> None:
        script = command.replace("/var/backups/kinema", str(tmp_path))
        environment = {**ENVIRONMENT, "PGHOST": postgresql, "PGUSER": "kinema"}
        subprocess.run(["bash", "-euc", script], env=environment, check=True, timeout=60)

    with closing(open_store(address)) as store:
        first = submit(store)
        run(dump)
        submit(store)
        run(restore)
        assert [job.id for job in list_jobs(store.database)] == [first.id]
        assert store.submit(order()) != first
