"""Scores to a Langfuse server: a small one over real HTTP, which checks what its documentation says."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from picktune.cli import main
from picktune.interchange.langfuse import Score
from picktune.interchange.langfuse_push import LangfusePush, PushFailed
from picktune.log import SQLiteLog
from picktune.records import DecidedSlate, Pick, Reaction, new_id, utc_now

Decide = Callable[..., DecidedSlate]
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-2"}
FIELDS = {"id", "traceId", "observationId", "name", "value", "dataType", "comment", "metadata", "timestamp"}


class Langfuse(ThreadingHTTPServer):
    """Takes scores as the documented schema says; ``fails`` are answers that come first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scores: dict[str, dict[str, Any]] = {}
        self.events = set[str]()
        self.fails: list[tuple[int, dict[str, str]]] = []
        self.old = False
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Langfuse

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(self.path)
        if self.server.fails:
            status, headers = self.server.fails.pop(0)
            return self.answer(status, {"message": "not now"}, headers)
        wanted = base64.b64encode(":".join(KEYS.values()).encode()).decode()
        if self.headers["Authorization"] != f"Basic {wanted}":
            return self.answer(401, {"message": "Invalid credentials"})
        if len(body) > 1_048_576:
            return self.answer(413, {"message": "Body exceeded 1mb limit"})
        said = json.loads(body)
        if self.path == "/api/public/scores" and not self.server.old:
            errors = [problem for one in said if (problem := self.keep(one))]
            if not errors:
                return self.answer(202, {"message": "Accepted"})
            answer = {"accepted": len(said) - len(errors), "rejected": len(errors)}
            return self.answer(207, answer | {"errors": [{"message": one} for one in errors]})
        if self.path == "/api/public/scores":
            return self.answer(400, {"message": "Invalid request data"})
        if self.path == "/api/public/ingestion":
            failed = []
            for event in said["batch"]:
                assert event["type"] == "score-create"
                assert str(UUID(event["id"])) == event["id"]
                assert event["timestamp"].endswith("+00:00")
                self.server.events.add(event["id"])
                if problem := self.keep(event["body"]):
                    failed.append({"id": event["id"], "status": 400, "message": problem})
            done = [{"id": event["id"], "status": 201} for event in said["batch"]]
            return self.answer(207, {"successes": done[len(failed) :], "errors": failed})
        return self.answer(404, {"message": "no such route"})

    def keep(self, score: dict[str, Any]) -> str | None:
        assert set(score) <= FIELDS
        assert score["traceId"]
        assert str(UUID(score["id"])) == score["id"]
        value = score["value"]
        if score["dataType"] == "BOOLEAN":
            assert value in (0, 1)
            assert not isinstance(value, bool)
        else:
            assert score["dataType"] == "CATEGORICAL"
            assert isinstance(value, str)
        if score.get("comment") == "refuse me":
            return "comment is not allowed"
        self.server.scores[score["id"]] = score
        return None

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Langfuse]:
    langfuse = Langfuse()
    thread = threading.Thread(target=langfuse.serve_forever, args=(0.02,))
    thread.start()
    yield langfuse
    langfuse.shutdown()
    thread.join()
    langfuse.server_close()


def run(home: Path, *arguments: str, code: int = 0, keys: dict[str, str] | None = None) -> Result:
    environment = {"PICKTUNE_HOME": str(home), **(KEYS if keys is None else keys)}
    result = CliRunner(env=environment).invoke(main, ["export", "langfuse", *arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def keep(home: Path, *decisions: DecidedSlate, more: Callable[[SQLiteLog], Any] | None = None) -> None:
    async def write() -> None:
        async with SQLiteLog.open(home / "picktune.db") as log:
            for one in decisions:
                await log.add_decided(one)
            if more is not None:
                await more(log)

    asyncio.run(write())


@pytest.mark.parametrize("old", [False, True], ids=["scores", "ingestion"])
def test_pushed_twice_they_are_there_once(
    server: Langfuse, tmp_path: Path, decide: Decide, old: bool
) -> None:
    server.old = old
    made = [decide("chosen", 1, at=at, comment="好\n=1") for at in range(30)]
    made.append(decide("none_good", at=40, edited_text="By hand."))
    thumb = Reaction(
        key="k",
        candidate_id=made[0].slate.candidates[0].id,
        value="up",
        annotator="ada",
        reacted_at=utc_now(),
    )
    keep(tmp_path, *made, more=lambda log: log.react(thumb))
    for _ in range(2):
        said = run(tmp_path, "--push", server.url + "/").output
        assert said == f"{server.url}/: 152 scores taken, 0 refused\n"
        assert len(server.scores) == 30 * 5 + 1 + 1
    assert not old or len(server.events) == 152
    by_name = [score["name"] for score in server.scores.values()]
    assert (by_name.count("verdict"), by_name.count("picked"), by_name.count("thumb")) == (31, 120, 1)
    assert sum(score["value"] == 1 for score in server.scores.values() if score["name"] == "picked") == 30

    # A change of mind changes the scores, and adds none.
    one = made[0]

    async def change(log: SQLiteLog) -> None:
        undo = Pick(
            key=new_id(), slate_id=one.slate.id, verdict="undone", annotator="mei", decided_at=utc_now()
        )
        await log.record(undo)
        await log.record(
            Pick(key=new_id(), slate_id=one.slate.id, verdict="tie", annotator="mei", decided_at=utc_now())
        )

    before = dict(server.scores)
    keep(tmp_path, more=change)
    run(tmp_path, "--push", server.url)
    assert len(server.scores) == 152
    changed = [score for id, score in server.scores.items() if score != before[id]]
    assert [(score["value"], score["traceId"]) for score in changed] == [("tie", one.slate.id)]
    assert changed[0]["timestamp"] == before[changed[0]["id"]]["timestamp"]


def test_what_fails_for_a_while_is_sent_again(server: Langfuse) -> None:
    server.fails = [(503, {}), (429, {"Retry-After": "7"}), (500, {})]
    waited: list[float] = []
    score = Score(
        id="0198c0de-0000-7000-8000-000000000000", trace_id="t", name="verdict", value="tie",
        data_type="CATEGORICAL",
    )  # fmt: skip
    pushed = LangfusePush(server.url, KEYS, sleep=waited.append).push([score])
    assert (pushed.accepted, pushed.rejected, waited) == (1, 0, [1.0, 7.0, 4.0])
    server.fails = [(503, {})] * 6
    with pytest.raises(
        PushFailed, match=r"in 6 attempts \(it answered 503\); 0 were taken before\. Push again"
    ):
        LangfusePush(server.url, KEYS, sleep=waited.append).push([score])
    server.server_close()
    with pytest.raises(PushFailed, match="6 attempts"):
        LangfusePush("http://127.0.0.1:9", KEYS, sleep=waited.append).push([score])


def test_what_is_refused_is_said(server: Langfuse, tmp_path: Path, decide: Decide) -> None:
    keep(
        tmp_path,
        decide("tie", at=0, comment="refuse me"),
        decide("tie", at=1, comment="x" * 1_000_000),
        decide("tie", at=2, comment="y" * 800_000),
        decide("tie", at=3, comment="z" * 800_000),
    )
    for old in (False, True):
        server.old = old
        done = run(tmp_path, "--push", server.url, code=1)
        assert "refused: comment is not allowed" in done.stderr
        assert "bytes; at most 900,000 can be sent" in done.stderr
        assert done.stdout == f"{server.url}: 2 scores taken, 2 refused\n"
    wrong = run(tmp_path, "--push", server.url, code=1, keys=KEYS | {"LANGFUSE_SECRET_KEY": "no"})
    assert "401: check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY" in wrong.stderr
    assert "set LANGFUSE_PUBLIC_KEY" in run(tmp_path, "--push", server.url, code=1, keys={}).stderr
    assert "must be like" in run(tmp_path, "--push", "ftp://x", code=1).stderr
    assert "without a password" in run(tmp_path, "--push", "https://a:b@x", code=1).stderr
    assert "is it the address" in run(tmp_path, "--push", f"{server.url}/elsewhere", code=1).stderr
    run(tmp_path, "--push", server.url, "--out", "x", code=2)
    server.fails = [(307, {"Location": "http://127.0.0.1:9/"})]
    assert "answered 307" in run(tmp_path, "--push", server.url, code=1).stderr
