"""The pure half: where a history of moves leads, and where it goes back to."""

from __future__ import annotations

from datetime import UTC, datetime

from picktune_adapters.aliases import champions, fold, previous_champion
from picktune_adapters.records import AliasChange, Aliases, AliasName

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def change(
    after: str | None, *, alias: AliasName = "champion", before: str | None = None, rollback: bool = False
) -> AliasChange:
    return AliasChange(alias=alias, before=before, after=after, by="t", reason="", at=NOW, rollback=rollback)


def back(after: str | None) -> AliasChange:
    return change(after, rollback=True)


def anything(name: str) -> bool:
    return True


def test_fold() -> None:
    assert fold([]) == Aliases()
    moves = [change("a"), change("b", alias="challenger"), change("b"), change(None, alias="challenger")]
    assert fold(moves) == Aliases(champion="b", challenger=None)


def test_going_back_step_by_step() -> None:
    history = [change("a"), change("b"), change("c")]
    for expected in ("b", "a", None):
        assert previous_champion(history, anything) == expected
        history.append(back(expected))
    assert champions(history) == [None]


def test_a_promotion_after_a_rollback_starts_from_there() -> None:
    history = [change("a"), change("b"), back("a"), change("c")]
    assert champions(history) == [None, "a", "c"]
    assert previous_champion(history, anything) == "a"


def test_a_champion_that_returned_by_promotion_is_followed_by_what_came_before_it() -> None:
    history = [change("a"), change("b"), change("a")]
    assert previous_champion(history, anything) == "b"


def test_what_is_gone_or_damaged_is_passed_over() -> None:
    history = [change("a"), change("b"), change("c")]
    assert previous_champion(history, lambda name: name != "b") == "a"
    assert champions([*history, back("a")]) == [None, "a"]
    assert previous_champion(history, lambda name: False) is None


def test_a_champion_that_was_withdrawn_comes_back() -> None:
    assert previous_champion([change("a"), change(None)], anything) == "a"


def test_the_base_is_a_place_to_go_back_to() -> None:
    assert previous_champion([change("a"), change(None), change("b")], anything) is None


def test_the_challenger_has_no_part_in_it() -> None:
    history = [change("a"), change("x", alias="challenger"), change(None, alias="challenger")]
    assert champions(history) == [None, "a"]
