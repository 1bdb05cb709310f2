"""The example applications run for real, with the embedded engine on a tiny model."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import uvicorn
from picktune.auth import Auth
from picktune.log import SQLiteLogReader
from picktune.records import utc_now
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PICKTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PICKTUNE_MODEL", str(tiny_model))
    monkeypatch.setenv("PICKTUNE_SAMPLING__MAX_TOKENS", "12")
    return tmp_path / "home"


def application(name: str) -> Starlette:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: Starlette = module.app
    return app


def until_ready(client: TestClient) -> TestClient:
    for _ in range(600):
        if client.get("/picktune/readyz").json()["ready"]:
            return client
        time.sleep(0.05)  # the first in a process loads torch meanwhile
    raise AssertionError(client.get("/picktune/readyz").text)


@pytest.fixture
def chat() -> Iterator[TestClient]:
    with TestClient(application("starlette_chat")) as client:
        yield until_ready(client)


@pytest.fixture
def desk() -> Iterator[TestClient]:
    with TestClient(application("fastapi_support_desk")) as client:
        yield until_ready(client)


@pytest.mark.parametrize("name", ["starlette_chat", "fastapi_support_desk"])
def test_they_stay_small(name: str) -> None:
    assert len((EXAMPLES / name / "app.py").read_text("utf-8").splitlines()) <= 60


def test_a_chat_goes_on_with_the_picked_reply(chat: TestClient, home: Path) -> None:
    assert "<input name=text" in chat.get("/").text
    page = chat.post("/say", data={"text": "Where is my <order>?"}).text
    assert "Where is my &lt;order&gt;?" in page
    replies = re.findall(r"<button name=reply value=(\w+)>(.*?)</button>", page, re.DOTALL)
    assert len(replies) == 2
    page = chat.post("/pick", data={"reply": replies[1][0]}).text
    assert f"<b>assistant</b> {replies[1][1]}" in page
    assert "<input name=text" in page
    assert chat.post("/say", data={"text": " "}).status_code == 422
    with SQLiteLogReader(home / "picktune.db") as reader:
        (choice,) = reader.choice_sets()
    assert (choice.role, choice.replies[choice.chosen]) == ("user", unescape(replies[1][1]))


def test_an_agent_answers_a_ticket(desk: TestClient, home: Path) -> None:
    assert desk.post("/tickets", params={"text": "Where is my order?"}).json() == {"ticket": 1}
    mei = {"X-Agent": "mei"}
    drawn = desk.get("/tickets/1/replies", headers=mei).json()
    assert 2 <= len(drawn["replies"]) <= 4
    reply = next(iter(drawn["replies"]))
    sent = {"slate_id": drawn["slate_id"], "reply_id": reply, "text": "Dear customer, it is on its way."}
    assert desk.post("/tickets/1/answer", json=sent, headers=mei).status_code == 200
    again = desk.post("/tickets/1/answer", json=sent, headers=mei)
    assert (again.status_code, again.json()["code"]) == (409, "already_decided")
    other = desk.post("/tickets/1/answer", json=sent, headers={"X-Agent": "tom"})
    assert (other.status_code, other.json()["code"]) == (409, "not_shown")
    missing = desk.get("/tickets/7/replies", headers=mei)
    assert (missing.status_code, missing.json()["code"]) == (422, "invalid_input")

    drawn = desk.get("/tickets/1/replies", headers=mei).json()
    own = {"slate_id": drawn["slate_id"], "text": "I have looked it up for you."}
    assert desk.post("/tickets/1/answer", json=own, headers=mei).status_code == 200
    with SQLiteLogReader(home / "picktune.db") as reader:
        assert [one.verdict for one in reader.decisions()] == ["chosen", "none_good"]
        assert len(list(reader.demonstrations())) == 2


def test_end_users_vote_and_give_thumbs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOTES", "1")
    app = application("end_user_vote")
    with TestClient(app) as client:
        until_ready(client)
        client.get("/")
        page = client.post("/say", data={"text": "Where is my <order>?"}).text
        assert "Where is my &lt;order&gt;?" in page
        replies = re.findall(r"<b>[AB]</b> (.*?) <button name=vote value=(\w+)>", page, re.DOTALL)
        assert len(replies) == 2
        page = client.post("/vote", data={"vote": replies[1][1]}).text
        assert f"<b>assistant</b> {replies[1][0]}" in page
        client.post("/say", data={"text": "And when?"})
        assert "Send" in client.post("/vote", data={"vote": "none_good"}).text
        client.post("/thumb", data={"up": replies[1][1]})
        client.post("/thumb", data={"up": replies[1][1]})
    with SQLiteLogReader(home / "picktune.db") as reader:
        decided = list(reader.decisions())
        assert [one.verdict for one in decided] == ["chosen", "none_good"]
        (reaction,) = reader.reactions(decided[0].slate_id)
        assert (reaction.value, reaction.role) == ("up", "user")


def test_the_page_with_the_widget_gives_its_visitor_a_token(home: Path) -> None:
    with TestClient(application("embedded_widget")) as client:
        until_ready(client)
        assert "<picktune-slate" not in client.get("/").text
        page = client.get("/", params={"question": "Where is it?", "lang": "zh"}).text
        slate, token = re.findall(r'<picktune-slate slate="(\S+)" token="(pv_\S+)">', page)[0]
        assert '<html lang="zh">' in page
        script = client.get("/picktune/static/widget.js")
        assert script.headers["content-type"].startswith("text/javascript")
        seen = client.get(f"/picktune/v1/slates/{slate}", headers={"Authorization": f"Bearer {token}"})
        assert len(seen.json()["candidates"]) == 2


class HelpDesk:
    """What the bot uses of a help desk's API, over a real socket: one conversation's messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = [
            {"content": "Hello", "message_type": 1, "private": False},
            {"content": "Where is my order?", "message_type": 0, "private": False},
            {"content": "Be quick", "message_type": 1, "private": True},
        ]

    async def answer(self, request: Request) -> JSONResponse:
        assert request.headers["api_access_token"] == "secret"
        if request.method == "POST":
            body = await request.json()
            self.messages.append({**body, "message_type": 1})
        return JSONResponse({"payload": self.messages})


def test_a_webhook_brings_a_customer_and_the_agents_choice_goes_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATWOOT_TOKEN", "secret")
    monkeypatch.setenv("WEBHOOK_SECRET", "s3")
    monkeypatch.setenv("UNDO_SECONDS", "2")
    help_desk = HelpDesk()
    address = "/api/v1/accounts/1/conversations/7/messages"
    there = Starlette(routes=[Route(address, help_desk.answer, methods=["GET", "POST"])])
    with serving(there) as url:
        monkeypatch.setenv("CHATWOOT_URL", url)
        with TestClient(application("webhook_agent_bot")) as client:
            until_ready(client)
            event = {
                "event": "message_created",
                "message_type": "incoming",
                "id": 42,
                "conversation": {"id": 7},
                "sender": {"id": 3, "name": "Ann"},
            }
            assert client.post("/webhook/wrong", json=event).status_code == 403
            assert client.post("/webhook/s3", json={"event": "conversation_updated"}).json() == {
                "ignored": "conversation_updated"
            }
            for _ in range(2):  # help desks send an event again when they had no answer in time
                assert client.post("/webhook/s3", json=event).json() == {"conversation": "7-42"}
            notes = [one for one in help_desk.messages if "workbench/7-42" in str(one["content"])]
            assert [one["private"] for one in notes] == [True]
            key, _ = Auth(home).keys.create("desk", ["slate", "pick", "read"], now=utc_now())
            client.headers["Authorization"] = f"Bearer {key}"
            said = client.get("/picktune/v1/conversations/7-42").json()["messages"]
            assert [one["content"] for one in said] == ["Hello", "Where is my order?"]
            slate = client.post("/picktune/v1/conversations/7-42/slate", json={"viewer": "mei"}).json()
            pick = {
                "slate_id": slate["id"],
                "verdict": "chosen",
                "candidate_id": slate["candidates"][0]["id"],
                "annotator": "mei",
            }
            undo = {"slate_id": slate["id"], "annotator": "mei", "key": "k2"}
            assert client.post("/picktune/v1/picks", json={**pick, "key": "k1"}).status_code == 200
            assert client.post("/picktune/v1/undo", json=undo).status_code == 200
            better = {**pick, "key": "k3", "edited_text": "It is on its way."}
            assert client.post("/picktune/v1/picks", json=better).status_code == 200
            end = time.monotonic() + 30
            while help_desk.messages[-1]["content"] != "It is on its way.":
                assert time.monotonic() < end, help_desk.messages
                time.sleep(0.05)
    sent = [one["content"] for one in help_desk.messages[3:] if not one["private"]]
    assert sent == ["It is on its way."]


@contextlib.contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """The application on a port of its own, while the block runs."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
