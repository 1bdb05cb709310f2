"""The example applications run for real, with the embedded engine on a tiny model."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from picktune.log import SQLiteLogReader
from starlette.applications import Starlette
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
