"""Whatever several annotators do, in whatever order: the log keeps its promises."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs
from picktune.errors import AlreadyDecided, Conflict, KeyReused, NotShown
from picktune.log import SQLiteLog
from picktune.log.verify import verify
from picktune.records import (
    Candidate,
    Conversation,
    Exposure,
    Message,
    Pick,
    Slate,
    Turn,
    new_id,
    utc_now,
)

ANNOTATORS = st.sampled_from(["ann", "bob", "cai"])
PLACES = st.integers(0, 2)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WRITTEN = st.none() | TEXT.filter(str.strip)


class Desk(RuleBasedStateMachine):
    """Annotators draw, see, decide, undo and send again, on two conversations; a model says what is right."""

    slates = Bundle("slates")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.path = Path(self.folder.name) / "picktune.db"
        self.log = SQLiteLog.open(self.path)
        self.recorded: dict[tuple[str, str], list[Pick]] = defaultdict(list)
        self.seen: dict[tuple[str, str], tuple[str, ...]] = {}
        # Of each conversation: (slate, annotator) and text of every reply that was sent and not taken back.
        self.sent: dict[str, list[tuple[tuple[str, str], str]]] = defaultdict(list)

    @initialize(openings=st.tuples(TEXT, TEXT), pending=st.lists(TEXT, max_size=3))
    def begin(self, openings: tuple[str, str], pending: list[str]) -> None:
        self.conversations = [
            Conversation(
                id=f"conversation {number}",
                title="",
                messages=(Message(role="user", content=opening),),
                pending=tuple(pending),
                created_at=utc_now(),
                updated_at=utc_now(),
            )
            for number, opening in enumerate(openings)
        ]
        assert self.runner.run(self.log.add_conversations(self.conversations)) == 2

    def as_it_stands(self, conversation: Conversation) -> Conversation:
        messages, pending = list(conversation.messages), list(conversation.pending)
        status = conversation.status
        for _, text in self.sent[conversation.id]:
            messages.append(Message(role="assistant", content=text))
            status = "open" if pending else "closed"
            messages += [Message(role="user", content=then) for then in pending[:1]]
            pending = pending[1:]
        return structs.replace(conversation, messages=tuple(messages), pending=tuple(pending), status=status)

    def standing(self, of: tuple[str, str]) -> Pick | None:
        last = self.recorded[of][-1:]
        return last[0] if last and last[0].verdict != "undone" else None

    @rule(target=slates, number=st.integers(0, 1), texts=st.tuples(TEXT, TEXT, TEXT), complete=st.booleans())
    def draw(self, number: int, texts: tuple[str, str, str], complete: bool) -> Slate:
        conversation = self.as_it_stands(self.conversations[number])
        slate = Slate(
            id=new_id(),
            turn=Turn(
                id=new_id(),
                conversation_id=conversation.id,
                messages=conversation.messages,
                created_at=utc_now(),
            ),
            candidates=tuple(
                Candidate(
                    id=new_id(),
                    arm="base",
                    kind="base",
                    model=None,
                    text=text or "-",
                    position=place,
                    propensity=1,
                    tokens=1,
                    latency=0,
                )
                for place, text in enumerate(texts)
            ),
            policy="base",
            seed=0,
            complete=complete,
            created_at=utc_now(),
        )
        self.runner.run(self.log.add_slate(slate))
        return slate

    @rule(slate=slates, viewer=ANNOTATORS, order=st.permutations(range(3)))
    def see(self, slate: Slate, viewer: str, order: list[int]) -> None:
        ids = tuple(slate.candidates[place].id for place in order)
        stood = self.seen.setdefault((slate.id, viewer), ids)
        exposure = Exposure(slate_id=slate.id, viewer=viewer, order=ids, shown_at=utc_now())
        assert self.runner.run(self.log.add_exposure(exposure)).order == stood

    @rule(
        slate=slates,
        annotator=ANNOTATORS,
        verdict=st.sampled_from(["chosen", "chosen", "tie", "none_good", "skip", "undone", "undone"]),
        place=PLACES,
        written=WRITTEN,
    )
    def decide(self, slate: Slate, annotator: str, verdict: Any, place: int, written: str | None) -> None:
        of = (slate.id, annotator)
        names = verdict in ("chosen", "tie")
        pick = Pick(
            key=new_id(),
            slate_id=slate.id,
            verdict=verdict,
            candidate_id=slate.candidates[place].id if names else None,
            edited_text=written if names or verdict == "none_good" else None,
            annotator=annotator,
            decided_at=utc_now(),
        )
        conversation = next(one for one in self.conversations if one.id == slate.turn.conversation_id)
        sent = self.sent[conversation.id]
        expected: type[Exception] | None = None
        if of not in self.seen:
            expected = NotShown
        elif (self.standing(of) is not None) != (verdict == "undone"):
            expected = Conflict if verdict == "undone" else AlreadyDecided
        elif verdict == "undone" and any(who == of for who, _ in sent[:-1]):
            expected = Conflict
        if expected is not None:
            with pytest.raises(expected) as caught:
                self.runner.run(self.log.record(pick))
            assert caught.type is expected
            return
        stored = self.runner.run(self.log.record(pick))
        assert stored == structs.replace(pick, version=len(self.recorded[of]) + 1)
        if verdict == "undone":
            self.sent[conversation.id] = [one for one in sent if one[0] != of]
        elif self.as_it_stands(conversation).messages == slate.turn.messages and (names or pick.edited_text):
            sent.append((of, pick.edited_text or slate.candidates[place].text))
        self.recorded[of].append(stored)

    @precondition(lambda self: any(self.recorded.values()))
    @rule(data=st.data(), different=st.booleans())
    def send_again(self, data: st.DataObject, different: bool) -> None:
        pick = data.draw(st.sampled_from([pick for picks in self.recorded.values() for pick in picks]))
        if not different:
            again = structs.replace(pick, decided_at=utc_now(), version=1)
            assert self.runner.run(self.log.record(again)) == pick
            return
        with pytest.raises(KeyReused):
            self.runner.run(self.log.record(structs.replace(pick, comment="something else")))

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        reader = self.log.reader
        standing = {}
        for (slate_id, annotator), picks in self.recorded.items():
            assert reader.picks(slate_id, annotator) == picks
            assert [pick.version for pick in picks] == list(range(1, len(picks) + 1))
            if (last := self.standing((slate_id, annotator))) is not None:
                standing[slate_id, annotator] = last
        decisions = list(reader.decisions())
        assert {(one.slate_id, one.annotator): one.verdict for one in decisions} == {
            of: pick.verdict for of, pick in standing.items()
        }
        assert len(decisions) == len(standing)
        chosen = {of: pick for of, pick in standing.items() if pick.verdict == "chosen"}
        assert {(one.slate_id, one.annotator): one.chosen for one in reader.choice_sets()} == {
            of: self.seen[of].index(pick.candidate_id or "") for of, pick in chosen.items()
        }
        assert len(list(reader.preferences())) == 2 * len(chosen)
        for conversation in getattr(self, "conversations", []):
            now = reader.conversation(conversation.id)
            should = self.as_it_stands(conversation)
            assert structs.replace(now, updated_at=should.updated_at) == should
            self.only_an_undecided_slate_of_this_state_waits(should, {slate_id for slate_id, _ in standing})

    def only_an_undecided_slate_of_this_state_waits(self, now: Conversation, decided: set[str]) -> None:
        for viewer in (None, "ann"):
            waiting = self.log.reader.waiting_slate(now.id, viewer=viewer)
            if waiting is None:
                continue
            assert waiting.turn.messages == now.messages
            assert waiting.id not in decided
            viewers = {who for slate_id, who in self.seen if slate_id == waiting.id}
            assert viewer is None or not viewers or viewer in viewers

    def teardown(self) -> None:
        self.runner.run(self.log.close())
        self.runner.close()
        assert verify(self.path).findings == ()
        self.folder.cleanup()


TestDesk = Desk.TestCase
TestDesk.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
