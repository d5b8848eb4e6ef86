"""ChatRewriter against a small server on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from kinema.app import rewriter as module
from kinema.app.rewriter import ChatRewriter
from kinema.core.errors import InvalidInput

VOCABULARY = {"kind": {"puppy": ["puppy", "dog", "小狗"]}, "grammar": {"links": ["with"]}}


class Server:
    """Answers every POST with ``status``, ``headers`` and ``body`` after ``delay_s``; keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.delay_s = 200, answer("a puppy"), 0.0
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, dict(self.headers), json.loads(body)))
                time.sleep(outer.delay_s)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda request, client_address: None  # a client that gave up
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


def answer(content: object) -> bytes:
    """A chat completion."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def test_the_question_holds_prompt_model_key_and_vocabulary(server: Server) -> None:
    assert ChatRewriter(url=server.url, model="small", key="secret")("show a doggy", VOCABULARY) == "a puppy"
    ((path, headers, body),) = server.asked
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"], body["stream"]) == ("small", 0, False)
    system, user = body["messages"]
    assert user == {"role": "user", "content": "show a doggy"}
    assert "- kind: puppy, dog" in system["content"]
    assert "小狗" not in system["content"]
    assert "with" not in system["content"].splitlines()[-1]
    ChatRewriter(url=f"{server.url}/chat/completions/")("来一只狗", VOCABULARY)
    path, headers, body = server.asked[1]
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert "Write in Chinese." in body["messages"][0]["content"]
    assert "secret" not in repr(ChatRewriter(url=server.url, key="secret"))


@pytest.mark.parametrize(
    "content,expected",
    [
        ('"A puppy runs."', "A puppy runs."),
        ("Rewritten prompt: a puppy", "a puppy"),
        ("<think>The user wants\na dog.</think>\n\na puppy\nin the park", "a puppy in the park"),
        ("提示词：一只小狗, 在公园里", "一只小狗，在公园里"),
    ],
)
def test_the_prompt_is_found_in_the_answer(server: Server, content: str, expected: str) -> None:
    server.body = answer(content)
    assert ChatRewriter(url=server.url)("x", {}) == expected


@pytest.mark.parametrize(
    "status,body,reason",
    [
        (
            404,
            b'{"error": {"message": "The model `default`\\ndoes not exist"}}',
            "answered 404: The model `default` does not exist",
        ),
        (500, b"<html>oops</html>", "answered 500: <html>oops</html>"),
        (401, b"", "answered 401: Unauthorized"),
        (200, b"not json", "something other than a chat completion"),
        (200, b'{"choices": []}', "something other than a chat completion"),
        (200, answer(None), "answered without text"),
        (200, answer(" \n"), "an empty prompt"),
        (200, answer("a " * 2000), "more than 2000 characters"),
    ],
)
def test_failures_are_one_line_that_names_the_endpoint(server: Server, status: int, body: bytes, reason: str) -> None:
    server.status, server.body = status, body
    with pytest.raises(InvalidInput) as caught:
        ChatRewriter(url=server.url)("x", {})
    assert str(caught.value).startswith(f"rewriter: '{server.url}/chat/completions': ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_never_follows_a_redirect(server: Server) -> None:
    server.status, server.headers = 307, {"Location": f"{server.url}/elsewhere"}
    with pytest.raises(InvalidInput, match="answered 307"):
        ChatRewriter(url=server.url, key="secret")("x", {})
    assert len(server.asked) == 1


def test_slowness_and_length_have_limits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 10)
    with pytest.raises(InvalidInput, match="more than 10 bytes"):
        ChatRewriter(url=server.url)("x", {})
    server.delay_s = 0.5
    with pytest.raises(InvalidInput, match="did not answer within 0.1 s"):
        ChatRewriter(url=server.url, timeout_s=0.1)("x", {})


def test_nobody_there(server: Server) -> None:
    url = "http://127.0.0.1:9/v1"  # the discard port
    with pytest.raises(InvalidInput, match=r"^rewriter: '.*': can't be reached: "):
        ChatRewriter(url=url)("x", {})


@pytest.mark.parametrize("url", ["", "localhost:11434", "file:///etc/passwd", "ftp://host/v1", "http://"])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(InvalidInput, match="must be an http or https URL"):
        ChatRewriter(url=url)
