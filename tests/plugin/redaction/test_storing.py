"""What a redacting service stores, what the model reads, and what people see."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from picktune.comparisons import Comparison, Judgement, Side
from picktune.errors import RedactionFailed
from picktune.log.verify import verify
from picktune.records import Conversation, Message, Pick, Reaction
from picktune.redaction.redaction import WITHHELD, vault_path
from picktune.redaction.vault import Vault
from picktune.service import Service

pytestmark = pytest.mark.anyio

SECRET = ("Wilhelmina", "555 123 4567", "4111 1111 1111 1111")
SAID = "my name is Wilhelmina, phone 555 123 4567, card 4111 1111 1111 1111"


def stored(service: Service) -> str:
    """Everything in the log's file, as text."""
    connection = sqlite3.connect(service.settings.log_path)
    dump = "\n".join(connection.iterdump())
    connection.close()
    return dump


def pick(service: Service, slate_id: str, **fields: Any) -> Pick:
    values = {"key": "k", "slate_id": slate_id, "verdict": "chosen", "annotator": "mei"}
    return Pick(**values | fields, decided_at=service.now())


HOSTILE = [
    "my name is Wilhelmina [NAME_1], i live at 12 main street [NAME_1] springfield",
    "call 555 123 [PHONE_1] 4567 or tel5551234567x or 555\u2013123\u20134567",
    "my password is straße77",
    "straße77 was it, [[SECRET_1]], wilhelmina",
]


async def test_nothing_that_was_found_is_in_any_column(private: Service) -> None:
    messages = [Message(role="user", content=one) for one in HOSTILE]
    for conversation in ("c", "d"):
        slate = await private.draw(messages, conversation_id=conversation)
        assert [one.content for one in slate.turn.messages] == HOSTILE
        await private.expose(slate.id, "mei")
        await private.pick(
            pick(
                private,
                slate.id,
                key=conversation,
                verdict="none_good",
                comment=HOSTILE[3],
                reasons=(HOSTILE[1],),
            )
        )
    dump = stored(private).casefold()
    vault = Vault(vault_path(private.settings.folder))
    values = [
        one.value
        for conversation in ("c", "d")
        for one in vault.entries(conversation).values()
        if one.kind != "literal"
    ]
    vault.close()
    assert len(values) >= 10
    assert not [one for one in values if len(one) >= 4 and one.casefold() in dump]


async def test_no_original_is_in_any_column_and_people_see_all_of_them(
    private: Service, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    generate = engine.generate

    async def listening(messages: Any, **more: Any) -> Any:
        heard.extend(one.content for one in messages)
        found = await generate(messages, **more)
        return [
            one.__class__(
                text=f"Dear [NAME_1], {one.text} call 555 123 4567",
                tokens=1,
                latency=0.1,
                finish_reason="stop",
            )
            for one in found
        ]

    monkeypatch.setattr(engine, "generate", listening)
    slate = await private.draw([Message(role="user", content=SAID)], conversation_id="c", user_ref="u1")
    assert all(one not in text for one in SECRET for text in heard)
    assert "my name is [NAME_1], phone [PHONE_1], card [CARD_1]" in heard
    assert slate.turn.messages[0].content == SAID
    assert all("Dear Wilhelmina" in one.text and "555 123 4567" in one.text for one in slate.candidates)
    assert await private.slate(slate.id) == slate

    await private.expose(slate.id, "mei")
    kept = await private.pick(
        pick(
            private,
            slate.id,
            candidate_id=slate.candidates[0].id,
            edited_text="Hello Wilhelmina, I called 555 123 4567",
            comment="wilhelmina is upset, try 555 999 8888",
            reasons=("asks for Wilhelmina",),
        )
    )
    assert kept.edited_text == "Hello Wilhelmina, I called 555 123 4567"
    await private.react(
        Reaction(
            key="r",
            candidate_id=slate.candidates[0].id,
            value="up",
            comment="Wilhelmina liked it",
            annotator="mei",
            reacted_at=private.now(),
        )
    )
    again = await private.pick(structs_replace(kept))
    assert again == kept
    dump = stored(private)
    assert not [one for one in (*SECRET, "wilhelmina", "555 999") if one in dump]
    (demonstration,) = private.log.reader.demonstrations()
    assert demonstration.completion == "Hello [NAME_1], I called [PHONE_1]"
    assert verify(private.settings.log_path).sound


def structs_replace(kept: Pick) -> Pick:
    """The same decision as the client sends it again."""
    from msgspec import structs

    return structs.replace(kept, version=1)


async def test_a_conversation_goes_on_with_originals_for_the_agent(
    private: Service, conversation: Callable[..., Conversation]
) -> None:
    await private.add_conversations([conversation("t1", SAID, pending=("still Wilhelmina, 555 123 4567",))])
    for turn in range(2):
        slate = await private.slate_for("t1", "mei")
        await private.expose(slate.id, "mei")
        await private.pick(
            pick(private, slate.id, key=f"k{turn}", candidate_id=slate.candidates[0].id,
                 edited_text=f"Dear Wilhelmina {turn}")
        )  # fmt: skip
    shown = await private.conversation("t1")
    assert shown.status == "closed"
    assert [one.content for one in shown.messages[1:]] == [
        SAID, "Dear Wilhelmina 0", "still Wilhelmina, 555 123 4567", "Dear Wilhelmina 1"
    ]  # fmt: skip
    assert (await private.conversations(status=None))[0] == shown
    assert not [one for one in SECRET if one in stored(private)]


async def test_a_reply_by_hand_and_another_draw_keep_to_the_placeholders(
    private: Service, conversation: Callable[..., Conversation]
) -> None:
    await private.add_conversations([conversation("t1", SAID)])
    slate = await private.slate_for("t1", "mei")
    await private.expose(slate.id, "mei")
    other = await private.regenerate(slate.id, annotator="mei", role="agent", key="again")
    assert other.id != slate.id
    assert other.turn.messages == slate.turn.messages
    # A client that draws for the same conversation on its own sends what it was shown.
    own = await private.draw(slate.turn.messages, conversation_id="t1")
    assert (await private.stored_slate(own.id)).turn.messages == (
        await private.stored_conversation("t1")
    ).messages
    assert not [one for one in SECRET if one in stored(private)]


async def test_whole_conversations_and_scores_are_redacted_too(private: Service) -> None:
    slate = await private.draw([Message(role="user", content=SAID)], conversation_id="c")
    await private.expose(slate.id, "mei")
    scale = private.scales()[0].name
    score = await private.score(
        slate.candidates[0].id, 4, scale=scale, annotator="mei", key="s", comment="Wilhelmina is glad"
    )
    assert score.comment == "Wilhelmina is glad"
    sides = tuple(
        Side(
            id=f"s{n}",
            messages=(Message(role="user", content=SAID), Message(role="assistant", content=f"Reply {n}")),
        )
        for n in range(2)
    )
    await private.log.add_comparison(Comparison(id="w", sides=sides, seed=1, created_at=private.now()))
    await private.log.expose_comparison("w", "mei", ("s0", "s1"), private.now())
    judged = await private.judge(
        Judgement(
            key="j", comparison_id="w", verdict="tie", comment="call 555 123 4567", annotator="mei",
            decided_at=private.now(),
        )
    )  # fmt: skip
    assert judged.comment == "call 555 123 4567"
    assert not [one for one in SECRET if one in stored(private)]


async def test_where_redaction_fails_the_chat_goes_on_and_nothing_is_stored(
    private: Service, conversation: Callable[..., Conversation]
) -> None:
    vault = private._privacy.redaction
    assert vault is not None
    vault.vault.close()
    path = vault_path(private.settings.folder)
    for file in path.parent.glob("vault.db*"):
        file.unlink()
    path.mkdir()
    slate = await private.draw([Message(role="user", content=SAID)], conversation_id="c")
    assert slate.candidates[0].text.startswith("Reply ")
    await private.expose(slate.id, "mei")
    await private.pick(
        pick(private, slate.id, candidate_id=slate.candidates[0].id, edited_text="Dear Wilhelmina")
    )
    kept = await private.slate(slate.id)
    assert {one.text for one in kept.candidates} == {WITHHELD}
    assert kept.turn.consent == "log"
    assert not [one for one in SECRET if one in stored(private)]
    assert not list(private.log.reader.choice_sets())
    assert not list(private.log.reader.demonstrations())
    with pytest.raises(RedactionFailed):
        await private.add_conversations([conversation("t9", SAID)])
    assert "t9" not in stored(private)
