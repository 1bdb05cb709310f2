"""Where the aliases stand after a history of moves, and where the champion rolls back to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from picktune_adapters.records import AliasChange, Aliases


def apply(aliases: Aliases, change: AliasChange) -> Aliases:
    """The aliases after one more move."""
    if change.alias == "champion":
        return structs.replace(aliases, champion=change.after)
    return structs.replace(aliases, challenger=change.after)


def fold(history: Iterable[AliasChange]) -> Aliases:
    """The aliases after all moves."""
    aliases = Aliases()
    for change in history:
        aliases = apply(aliases, change)
    return aliases


def champions(history: Iterable[AliasChange]) -> list[str | None]:
    """The champions that led to the present one, oldest first, without those that were rolled back.

    The first is always ``None``, the base; the last is the present champion.
    """
    stack: list[str | None] = [None]
    for change in history:
        if change.alias != "champion":
            continue
        if not change.rollback:
            stack.append(change.after)
            continue
        stack.pop()
        while stack and stack[-1] != change.after:
            stack.pop()
        stack = stack or [change.after]
    return stack


def previous_champion(history: Sequence[AliasChange], is_sound: Callable[[str], bool]) -> str | None:
    """The champion before the present one; ``None`` is the base.

    Versions that are gone or damaged are passed over: a rollback has to end with something that answers.
    """
    *earlier, present = champions(history)
    for name in reversed(earlier):
        if name != present and (name is None or is_sound(name)):
            return name
    return None
