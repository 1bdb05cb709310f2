"""The adapter beside its rivals, its base and the champion: all that the gate and the report want to know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from picktune.records import ChoiceSet, Message, Record

from picktune_retrain.conduct import Conduct, conduct
from picktune_retrain.drift import Drift
from picktune_retrain.frozen import FrozenFigures
from picktune_retrain.replies import BASE, Golden, GoldenOutcome, SideBySide, speak, spread
from picktune_retrain.rivals import Rival, TagFigures

CHALLENGER, CHAMPION = "challenger", "champion"
LONGEST_REPLY = 160


class Comparison(Record, frozen=True, kw_only=True):
    """What is asked of an adapter beside how well it predicts; ``champion`` names the one in service."""

    champion: str | None = None
    rivals: tuple[Rival, ...] = ()
    by_tag: tuple[TagFigures, ...] = ()
    drift: Drift | None = None
    conduct: tuple[Conduct, ...] = ()
    golden: tuple[GoldenOutcome, ...] = ()
    replies: tuple[SideBySide, ...] = ()
    frozen: FrozenFigures | None = None


class Spoken(Record, frozen=True, kw_only=True):
    """What came of letting the models speak."""

    conduct: tuple[Conduct, ...]
    golden: tuple[GoldenOutcome, ...]
    replies: tuple[SideBySide, ...]


def let_them_speak(
    sets: Sequence[ChoiceSet],
    *,
    count: int,
    base_model: str,
    adapter: Path,
    champion: Path | None,
    golden: Sequence[Golden] = (),
    max_tokens: int = LONGEST_REPLY,
) -> Spoken:
    """Greedy replies of base, champion and challenger to ``count`` held-out and all golden prompts."""
    some = spread(sets, count)
    prompts: list[Sequence[Message]] = [*(one.messages for one in some), *(one.messages for one in golden)]
    if not prompts:
        return Spoken(conduct=(), golden=(), replies=())
    adapters = {CHAMPION: champion} if champion else {}
    adapters[CHALLENGER] = adapter
    said = speak(prompts, base_model=base_model, adapters=adapters, max_tokens=max_tokens)
    return Spoken(
        conduct=tuple(conduct(name, texts[: len(some)]) for name, texts in said.items() if some),
        golden=tuple(
            GoldenOutcome(
                id=one.id,
                passed={name: one.passes(texts[len(some) + i]) for name, texts in said.items()},
                reply=said[CHALLENGER][len(some) + i],
            )
            for i, one in enumerate(golden)
        ),
        replies=tuple(
            SideBySide(
                slate_id=one.slate_id,
                messages=one.messages,
                picked=one.replies[one.chosen],
                replies={name: texts[i] for name, texts in said.items()},
            )
            for i, one in enumerate(some)
        ),
    )


def of(comparison: Comparison, name: str = BASE) -> Conduct | None:
    """How the model of that name behaved, if it spoke."""
    return next((one for one in comparison.conduct if one.name == name), None)
