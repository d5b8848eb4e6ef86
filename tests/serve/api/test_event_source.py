"""A browser's own EventSource follows a job over cut connections and from replica to replica: every event once, in order."""

from __future__ import annotations

import json
import queue
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from tests.serve.api.conftest import Server, running
from tests.serve.browser import MISSING, find_browser, opened
from tests.serve.listeners import Listener

pytestmark = pytest.mark.system
KINDS = ["queued", "running", "started", "progress", "succeeded"]
PAGE = """<!doctype html><title>events</title><script>
const seen = []
const source = new EventSource("/v1/videos/JOB/events")
for (const kind of KINDS)
  source.addEventListener(kind, e => seen.push({id: e.lastEventId, event: e.type, data: JSON.parse(e.data)}))
source.onerror = () => {
  // an EventSource comes back by itself, until it is told that there is no more
  if (source.readyState === EventSource.CLOSED)
    fetch("/seen", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(seen)})
}
</script>"""


class Proxy:
    """Forwards each request to one replica after another; cuts each of the first event streams amid the event of a number."""

    def __init__(self, ports: list[int], cuts: list[int]) -> None:
        self.ports, self.cuts = ports, cuts
        self.resumed_after: list[str | None] = []

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        cut, port = None, self.ports[0]
        if b"/events" in request.partition(b"\r\n")[0]:
            found = re.search(rb"(?mi)^last-event-id: (\d+)\r$", request)
            port = self.ports[len(self.resumed_after) % len(self.ports)]
            self.resumed_after.append(found and found[1].decode())
            cut = self.cuts.pop(0) if self.cuts else None
        # the end of the connection is the end of the answer
        request = re.sub(rb"(?i)\r\nconnection: keep-alive", b"\r\nConnection: close", request, count=1)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as server:
            server.sendall(request)
            sent = b""
            while more := server.recv(65536):
                at = -1 if cut is None else (sent + more).find(b"id: %d\n" % cut)
                if at >= 0:
                    # the number and the kind of the event arrive, and its data doesn't
                    connection.sendall((sent + more)[len(sent) : at + 25])
                    return
                connection.sendall(more)
                sent += more


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def test_a_browser_gets_every_event_once(tmp_path: Path):
    browser = find_browser()
    if browser is None:
        pytest.skip(MISSING)
    seen: queue.Queue[list[dict[str, Any]]] = queue.Queue()
    pages = APIRouter()

    @pages.get("/page/{job}")
    def page(job: str) -> Response:
        return HTMLResponse(PAGE.replace("JOB", job).replace("KINDS", json.dumps(KINDS)))

    @pages.post("/seen")
    async def tell(request: Request) -> Response:
        seen.put(await request.json())
        return Response(status_code=204)

    with running(tmp_path, routers=[pages]) as one, running(tmp_path) as other, one.client() as client:
        # a page has no key to send: it is of the server's own user
        del client.headers["authorization"]
        job = client.post("/v1/videos", json={"prompt": "a red ball", "steps": 2}).raise_for_status().json()["id"]
        proxy = Proxy([port_of(one), port_of(other)], cuts=[2, 4])
        with (
            Listener(proxy) as listener,
            opened(browser, f"http://127.0.0.1:{listener.port}/page/{job}", tmp_path / "profile"),
        ):
            wait_until_followed(one)
            one.worker.work(until=job)
            found = seen.get(timeout=60)
        log = client.get(f"/v1/videos/{job}/log").json()["data"]
    assert [e["event"] for e in found] == KINDS
    assert [e["id"] for e in found] == ["1", "2", "3", "4", "5"]
    assert [e["data"] for e in found] == log
    # what was cut off is asked for again, and after the end once more to hear that it is over
    assert proxy.resumed_after == [None, "1", "3", "5"]


def wait_until_followed(server: Server) -> None:
    """Until somebody reads events, so that they come live."""
    end = time.monotonic() + 60
    while not server.app.state.hub._count:
        assert time.monotonic() < end, "the browser does not come"
        time.sleep(0.05)
