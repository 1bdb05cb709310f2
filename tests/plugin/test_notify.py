"""Webhooks: what is sent, how it is signed, and what happens where nobody takes it. Over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from picktune.errors import InvalidSettings
from picktune.notify import SIGNATURE, Notify, body, deliver
from picktune.settings import load_settings

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)


class Receiver(ThreadingHTTPServer):
    """Answers with its ``answers`` one after the other, the last one for ever; keeps what it was sent."""

    daemon_threads = True

    def __init__(self, *answers: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/secret-token"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), content))
        answers = self.server.answers
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receive() -> Iterator[object]:
    servers: list[Receiver] = []

    def start(*answers: int) -> Receiver:
        servers.append(Receiver(*answers))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


MESSAGE = body("nightly.admitted", "a new challenger: v3 “好”", NOW, {"adapter": "v3"})


def test_what_is_sent_and_how_it_is_signed(receive: object) -> None:
    server = receive(204)  # type: ignore[operator]
    assert deliver(Notify(urls=(server.url,), secret="s3cret"), MESSAGE) == []
    ((path, headers, content),) = server.got
    assert path == "/services/secret-token"
    assert headers["Content-Type"] == "application/json"
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"s3cret", content, hashlib.sha256).hexdigest()
    read = json.loads(content)
    assert read.pop("id")
    assert read == {
        "event": "nightly.admitted",
        "text": "a new challenger: v3 “好”",
        "at": "2026-11-24T02:15:00Z",
        "details": {"adapter": "v3"},
    }


def test_without_a_secret_nothing_is_signed(receive: object) -> None:
    server = receive(200)  # type: ignore[operator]
    assert deliver(Notify(urls=(server.url,)), MESSAGE) == []
    assert SIGNATURE not in server.got[0][1]


@pytest.mark.parametrize(
    ("answers", "attempts", "taken"),
    [
        ((503, 429, 200), 3, True),
        ((500,), 3, False),
        ((404,), 1, False),
        ((302,), 1, False),
    ],
)
def test_only_what_may_pass_is_tried_again(
    receive: object, answers: tuple[int, ...], attempts: int, taken: bool
) -> None:
    server = receive(*answers)  # type: ignore[operator]
    waits: list[float] = []
    problems = deliver(Notify(urls=(server.url,)), MESSAGE, sleep=waits.append)
    assert len(server.got) == attempts
    assert waits == [1.0, 4.0][: attempts - 1]
    assert len({content for _, _, content in server.got}) == 1, "a receiver can tell what came twice"
    assert (problems == []) is taken
    for problem in problems:
        assert f"it answered {answers[0]}" in problem
        assert "secret-token" not in problem


def test_one_that_is_down_does_not_keep_it_from_the_others(receive: object) -> None:
    server = receive(200)  # type: ignore[operator]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://user:pass@127.0.0.1:{unused.getsockname()[1]}/token"
    waits: list[float] = []
    (problem,) = deliver(Notify(urls=(nobody, server.url)), MESSAGE, sleep=waits.append)
    assert "ConnectError" in problem
    assert "pass" not in problem
    assert "token" not in problem
    assert len(waits) == 2
    assert len(server.got) == 1


def test_nobody_to_tell() -> None:
    assert deliver(Notify(), MESSAGE) == []


def test_the_settings_hide_the_addresses_and_the_secret() -> None:
    environ = {"PICKTUNE_NOTIFY__URLS": "https://hooks.example/T0KEN", "PICKTUNE_NOTIFY__SECRET": "s3cret"}
    settings = load_settings(environ=environ)
    assert settings.notify == Notify(urls=("https://hooks.example/T0KEN",), secret="s3cret")
    assert "T0KEN" not in repr(settings)
    assert "s3cret" not in repr(settings)
    with pytest.raises(InvalidSettings) as refused:
        load_settings(environ={"PICKTUNE_NOTIFY__URLS": "T0KEN"})
    assert "notify.urls" in str(refused.value)
    assert "T0KEN" not in str(refused.value)
    with pytest.raises(InvalidSettings, match="choose from admitted"):
        load_settings(environ={"PICKTUNE_NOTIFY__ON": "always"})
    assert msgspec.json.decode(MESSAGE)["event"] == "nightly.admitted"
