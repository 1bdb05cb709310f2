"""Consent: what is kept, and what is learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from msgspec import structs
from picktune.errors import Conflict, InvalidInput, NotKept
from picktune.log import SQLiteLogReader
from picktune.records import Consent, Conversation, Message, Pick, Reaction, Selection
from picktune.service import Service

pytestmark = pytest.mark.anyio

HELLO = [Message(role="user", content="Where is my order?")]


async def decided(service: Service, consent: Consent | None = None, **more: Any) -> str:
    """A slate that was drawn so, edited and liked."""
    slate = await service.draw(HELLO, consent=consent, **more)
    await service.expose(slate.id, "mei")
    candidate = slate.candidates[0].id
    now = service.now()
    await service.pick(
        Pick(
            key="k", slate_id=slate.id, verdict="chosen", candidate_id=candidate, edited_text="It is here",
            annotator="mei", decided_at=now,
        )
    )  # fmt: skip
    await service.react(
        Reaction(key="r", candidate_id=candidate, value="up", annotator="mei", reacted_at=now)
    )
    return slate.id


def learned(service: Service) -> set[str]:
    """The slates that a training, or an export for one, would see; each way of asking says the same."""
    reader = service.log.reader
    ways = [
        {one.slate_id for one in reader.choice_sets()},
        {one.slate_id for one in reader.preferences()},
        {one.slate_id for one in reader.demonstrations()},
        {one.slate_id for one in reader.edit_preferences()},
        {one.slate.id for one in reader.decided_slates(Selection())},
        {one.slate.id for one in reader.reacted_replies(Selection())},
    ]
    assert all(way == ways[0] for way in ways), ways
    assert reader.count_selected(Selection()) == (len(ways[0]), len(ways[0]))
    return ways[0]


async def test_log_counts_and_is_never_learned_from(service: Service) -> None:
    yes = await decided(service)
    no = await decided(service, "log")
    assert learned(service) == {yes}
    assert {one.slate_id for one in service.log.reader.decisions()} == {yes, no}
    assert (await service.slate(no)).turn.consent == "log"


async def test_none_leaves_no_trace(service: Service) -> None:
    slate = await service.draw(HELLO, consent="none", user_ref="u1")
    assert slate.candidates
    assert not service.is_kept(slate.id)
    assert (await service.expose(slate.id, "mei")).order
    with pytest.raises(NotKept, match="without consent"):
        await service.pick(
            Pick(key="k", slate_id=slate.id, verdict="skip", annotator="mei", decided_at=service.now())
        )
    with pytest.raises(NotKept):
        await service.react(
            Reaction(
                key="r",
                candidate_id=slate.candidates[0].id,
                value="up",
                annotator="mei",
                reacted_at=service.now(),
            )
        )
    kept = service.log.reader.counts()
    assert not [table for table in ("turns", "slates", "exposures", "picks", "reactions") if kept[table]]


@pytest.mark.parametrize("scope", ["user", "conversation"])
async def test_consent_can_be_withdrawn_and_what_was_withdrawn_stays_so(service: Service, scope: Any) -> None:
    other = await decided(service, user_ref="other", conversation_id="c0")
    early = await decided(service, user_ref="u1", conversation_id="c1")
    assert learned(service) == {other, early}
    ref = "u1" if scope == "user" else "c1"
    assert await service.set_consent(scope, ref, "log") == 1
    late = await decided(service, "train", user_ref="u1", conversation_id="c1")
    assert learned(service) == {other}
    assert late
    assert await service.set_consent(scope, ref, "none") == 0
    slate = await service.draw(HELLO, consent="train", user_ref="u1", conversation_id="c1")
    assert not service.is_kept(slate.id)
    await service.set_consent(scope, ref, "train")
    assert learned(service) == {other}
    again = await decided(service, user_ref="u1", conversation_id="c1")
    assert learned(service) == {other, again}


async def test_a_conversation_hands_its_consent_to_what_is_drawn_in_it(
    service: Service, conversation: Callable[..., Conversation]
) -> None:
    mine = structs.replace(conversation("t1", "Hello?"), user_ref="u1", consent="log")
    await service.add_conversations([mine])
    assert await service.conversation("t1") == mine
    slate = await service.slate_for("t1", "mei")
    assert (slate.turn.user_ref, slate.turn.consent) == ("u1", "log")
    with pytest.raises(InvalidInput, match="cannot be kept"):
        await service.add_conversations([structs.replace(mine, id="t2", consent="none")])
    await service.add_conversations([structs.replace(conversation("t3", "Hello?"), user_ref="u3")])
    await service.set_consent("user", "u3", "none")
    with pytest.raises(Conflict, match="agrees to nothing"):
        await service.slate_for("t3", "mei")


async def test_consent_over_http(api: Any) -> None:
    body = {"messages": [{"role": "user", "content": "Hi?"}], "viewer": "mei", "user_ref": "u1"}
    shown = (await api.post("/v1/slates", {**body, "consent": "none"})).json()
    assert shown["kept"] is False
    refused = await api.post(
        "/v1/picks", {"key": "k", "slate_id": shown["id"], "verdict": "skip", "annotator": "mei"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_kept")
    kept = (await api.post("/v1/slates", body)).json()
    answer = await api.post("/v1/consents", {"user_ref": "u1", "consent": "log"})
    assert (answer.status_code, answer.json()) == (200, {"consent": "log", "turns": 1})
    assert api.service.log.reader.slate(kept["id"]).turn.consent == "log"
    both = await api.post("/v1/consents", {"user_ref": "u1", "conversation_id": "c", "consent": "log"})
    assert (both.status_code, both.json()["error"]["field"]) == (422, "user_ref")
    browser = await api.send(
        "POST",
        "/v1/consents",
        {"user_ref": "u1", "consent": "train"},
        key=None,
        headers=await api.signed_in(),
    )
    assert browser.status_code == 403


async def test_the_gateway_takes_consent(api: Any) -> None:
    asked = {"model": "picktune", "messages": [{"role": "user", "content": "Hi?"}]}
    answer = await api.post("/v1/chat/completions", {**asked, "picktune": {"consent": "log"}})
    slate_id = answer.json()["picktune"]["slate_id"]
    await api.service.flush()
    assert api.service.log.reader.slate(slate_id).turn.consent == "log"
    answer = await api.post("/v1/chat/completions", {**asked, "picktune": {"consent": "none"}})
    assert answer.json()["picktune"]["kept"] is False


async def test_the_default_is_a_setting(service: Service) -> None:
    service.apply({"consent_default": "log"})
    await decided(service)
    assert learned(service) == set()


def test_an_import_says_whose_a_ticket_is(run: Callable[..., Result], home: Path, tmp_path: Path) -> None:
    file = tmp_path / "tickets.jsonl"
    file.write_text('{"id": "t1", "message": "Where is it?", "user_ref": "u1", "consent": "log"}\n')
    run("import", str(file))
    run("consent", "--user", "u1", "none")
    with SQLiteLogReader(home / "picktune.db") as reader:
        found = reader.conversation("t1")
        assert (found.user_ref, found.consent) == ("u1", "log")
        assert reader.standing_consent("u1", None) == "none"
    assert '"consent_changed"' in (home / "audit.jsonl").read_text()
    assert "u1" not in (home / "audit.jsonl").read_text()
