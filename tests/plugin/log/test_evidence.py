"""What the log's decisions say, for the support rate and for training."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from picktune.errors import InvalidInput
from picktune.log import SQLiteLog
from picktune.records import ChoiceSet, Decision, Demonstration, Message, Preference
from picktune_adapters import Aliases

pytestmark = pytest.mark.anyio


async def decided(log: SQLiteLog, make: Any, order: list[int], verdict: str = "chosen", **fields: Any) -> Any:
    slate_fields = {name: fields.pop(name) for name in ("arms", "also", "turn", "complete") if name in fields}
    slate = make.slate(slate_fields.pop("arms", ("base", "champion", "base", "champion")), **slate_fields)
    await log.add_slate(slate)
    await log.add_exposure(make.exposure(slate, order=order))
    return slate, await log.record(make.pick(slate, verdict, **fields))


async def test_a_decision_knows_what_the_support_rate_asks(log: SQLiteLog, make: Any) -> None:
    slate, pick = await decided(
        log, make, [3, 0, 2, 1], chosen=2, role="expert", turn={"tags": ("refund",), "locale": "zh"}
    )

    assert list(log.reader.decisions()) == [
        Decision(
            slate_id=slate.id,
            conversation_id=slate.turn.conversation_id,
            annotator="ann",
            role="expert",
            verdict="chosen",
            picked=("base",),
            position=2,
            arms=("champion", "base", "base", "champion"),
            shown=4,
            tuned="champion",
            model="2026-03-01-1",
            models=("2026-03-01-1", None, None, "2026-03-01-1"),
            picked_models=(None,),
            complete=True,
            tags=("refund",),
            locale="zh",
            decided_at=pick.decided_at,
        )
    ]


async def test_a_decision_has_the_scenario_of_its_conversation(log: SQLiteLog, make: Any) -> None:
    for scenario in ("refund", None):
        conversation = make.conversation(scenario=scenario)
        await log.add_conversations([conversation])
        slate = await make.shown(log, conversation=conversation)
        await log.record(make.pick(slate))
    await log.record(make.pick(await make.shown(log)))  # of a conversation that is not stored

    assert [one.scenario for one in log.reader.decisions()] == ["refund", None, None]


async def test_words_that_both_arms_said_count_for_both(log: SQLiteLog, make: Any) -> None:
    await decided(
        log, make, [1, 0, 2], arms=("base", "base", "challenger"), also={0: ("challenger",)}, chosen=0
    )

    (decision,) = log.reader.decisions()
    assert decision.arms == ("base", "base", "challenger", "challenger")
    assert (decision.picked, decision.position, decision.shown) == (("base", "challenger"), 1, 3)
    assert (decision.tuned, decision.model) == ("challenger", "2026-03-01-1")
    assert decision.models == (None, None, "2026-03-01-1", "2026-03-01-1")
    assert decision.picked_models == (None, "2026-03-01-1")


async def test_the_aliases_of_the_time_name_an_arm_that_said_nothing_of_its_own(
    log: SQLiteLog, make: Any
) -> None:
    await log.saw_aliases(Aliases(champion="old"), make.time())
    await log.saw_aliases(Aliases(champion="then", challenger="trial"), make.time())
    await decided(log, make, [0, 1], arms=("base", "base"), also={0: ("champion",), 1: ("champion",)})
    await log.saw_aliases(Aliases(champion="now"), make.time())

    (decision,) = log.reader.decisions()
    assert (decision.tuned, decision.model) == ("champion", "then")
    assert decision.arms == ("base", "champion", "base", "champion")
    assert decision.models == (None, "then", None, "then")


@pytest.mark.parametrize(
    ("arms", "tuned", "model"),
    [
        (("base", "base-b", "base", "base-b"), "base-b", None),
        (("base", "base"), None, None),
        (("challenger",), "challenger", "2026-03-01-1"),
    ],
)
async def test_the_arm_beside_the_base(
    log: SQLiteLog, make: Any, arms: tuple[str, ...], tuned: str | None, model: str | None
) -> None:
    await decided(log, make, list(range(len(arms))), arms=arms, complete=False)

    (decision,) = log.reader.decisions()
    assert (decision.tuned, decision.model, decision.complete) == (tuned, model, False)


@pytest.mark.parametrize(
    ("verdict", "chosen"), [("tie", 1), ("tie", None), ("none_good", None), ("skip", None)]
)
async def test_only_a_chosen_reply_was_picked(
    log: SQLiteLog, make: Any, verdict: str, chosen: int | None
) -> None:
    await decided(log, make, [0, 1, 2, 3], verdict, chosen=chosen)

    (decision,) = log.reader.decisions()
    assert (decision.verdict, decision.picked, decision.position) == (verdict, (), None)
    assert list(log.reader.choice_sets()) == list(log.reader.preferences()) == []


async def test_a_choice_set_holds_the_replies_in_the_order_in_which_they_were_seen(
    log: SQLiteLog, make: Any
) -> None:
    said = (Message(role="system", content="shop\0"), Message(role="user", content="订单"))
    slate, pick = await decided(
        log,
        make,
        [3, 0, 2, 1],
        chosen=0,
        complete=False,
        edited_text="Edited.",
        turn={"messages": said, "tags": ("a",), "locale": "zh"},
    )

    replies = tuple(slate.candidates[place].text for place in (3, 0, 2, 1))
    assert list(log.reader.choice_sets()) == [
        ChoiceSet(
            slate_id=slate.id,
            conversation_id=slate.turn.conversation_id,
            messages=said,
            replies=replies,
            chosen=1,
            annotator="ann",
            role="agent",
            tags=("a",),
            locale="zh",
            decided_at=pick.decided_at,
            weight=1.0,
        )
    ]
    assert list(log.reader.preferences()) == [
        Preference(slate_id=slate.id, messages=said, chosen=replies[1], rejected=replies[place])
        for place in (0, 2, 3)
    ]
    assert list(log.reader.demonstrations()) == [
        Demonstration(slate_id=slate.id, messages=said, completion="Edited.")
    ]


async def test_each_annotator_saw_an_order_of_their_own(log: SQLiteLog, make: Any) -> None:
    slate = make.slate()
    await log.add_slate(slate)
    for viewer, order in (("ann", [0, 1, 2, 3]), ("bob", [3, 2, 1, 0])):
        await log.add_exposure(make.exposure(slate, viewer, order))
        await log.record(make.pick(slate, chosen=0, annotator=viewer))

    of_ann, of_bob = log.reader.choice_sets()
    assert of_ann.replies == of_bob.replies[::-1]
    assert (of_ann.chosen, of_bob.chosen) == (0, 3)


async def test_one_reply_is_no_choice(log: SQLiteLog, make: Any) -> None:
    await decided(log, make, [0], arms=("base",))

    assert list(log.reader.choice_sets()) == list(log.reader.preferences()) == []
    assert len(list(log.reader.decisions())) == 1


async def test_a_slate_with_nothing_on_it_can_be_answered_by_hand(log: SQLiteLog, make: Any) -> None:
    slate, _ = await decided(
        log, make, [], "none_good", arms=(), complete=False, edited_text="The engine is down; by hand."
    )

    (demonstration,) = log.reader.demonstrations()
    assert demonstration.completion == "The engine is down; by hand."
    (decision,) = log.reader.decisions()
    assert (decision.arms, decision.shown, decision.tuned) == ((), 0, None)
    assert log.reader.slate(slate.id) == slate


async def test_demonstrations_are_what_people_wrote(log: SQLiteLog, make: Any) -> None:
    await decided(log, make, [0, 1, 2, 3], "none_good", edited_text="By hand.\0")
    await decided(log, make, [0, 1, 2, 3], "tie", chosen=1, edited_text="Mended.")
    await decided(log, make, [0, 1, 2, 3], "none_good")
    await decided(log, make, [0, 1, 2, 3], chosen=1, edited_text="Reply 1 of champion.")

    assert [one.completion for one in log.reader.demonstrations()] == ["By hand.\0", "Mended."]


async def test_what_was_undone_says_nothing(log: SQLiteLog, make: Any) -> None:
    slate, _ = await decided(log, make, [0, 1, 2, 3], chosen=1, edited_text="Mended.")
    await log.record(make.pick(slate, "undone"))
    assert list(log.reader.decisions()) == list(log.reader.choice_sets()) == []
    assert list(log.reader.preferences()) == list(log.reader.demonstrations()) == []

    await log.record(make.pick(slate, chosen=3))
    (choice,) = log.reader.choice_sets()
    assert choice.chosen == 3


async def test_by_time_and_by_role(log: SQLiteLog, make: Any) -> None:
    start = make.now
    ids = []
    for minutes, role in ((3, "agent"), (1, "user"), (2, "model")):
        slate, _ = await decided(
            log,
            make,
            [0, 1, 2, 3],
            role=role,
            edited_text=role,
            decided_at=start + timedelta(minutes=minutes),
        )
        ids.append(slate.id)
    reader, second = log.reader, start + timedelta(minutes=2)

    assert [one.slate_id for one in reader.decisions()] == [ids[1], ids[2], ids[0]]
    assert [one.slate_id for one in reader.decisions(since=second)] == [ids[2], ids[0]]
    assert [one.slate_id for one in reader.decisions(until=second)] == [ids[1]]
    assert [one.role for one in reader.decisions(roles=("user", "agent"))] == ["user", "agent"]
    assert list(reader.decisions(roles=())) == []
    assert [one.role for one in reader.choice_sets(until=second)] == ["user"]
    assert [one.role for one in reader.choice_sets(roles=["model"])] == ["model"]
    assert len(list(reader.preferences(until=second, roles=["user"]))) == 3
    assert [one.completion for one in reader.demonstrations(until=second)] == ["user"]
    with pytest.raises(InvalidInput):
        list(reader.decisions(until=datetime(2026, 3, 1)))  # noqa: DTZ001


async def test_the_pairs_are_those_of_the_view(log: SQLiteLog, path: Path, make: Any) -> None:
    for order, chosen in (([0, 1, 2, 3], 2), ([3, 1, 0, 2], 3), ([2, 3, 1, 0], 0)):
        await decided(log, make, order, chosen=chosen)

    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT slate_id, messages, chosen, rejected FROM preferences ORDER BY decided_at, pick_id, position"
    ).fetchall()
    connection.close()

    pairs = list(log.reader.preferences())
    assert len(pairs) == 9
    assert [structs.astuple(pair) for pair in pairs] == [
        (slate, msgspec.json.decode(messages, type=tuple[Message, ...]), chosen, rejected)
        for slate, messages, chosen, rejected in rows
    ]
