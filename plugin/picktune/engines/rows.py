"""The rows of a batch: one reply in the making each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from picktune.errors import EngineError
from picktune.records import Sampling

if TYPE_CHECKING:
    from picktune.engines.lora import Lora


@dataclass(eq=False, slots=True, kw_only=True)
class Row:
    """One reply in the making. ``limit`` is in tokens; ``finish`` is set when it is done."""

    prompt: tuple[int, ...]
    adapter: Lora | None
    sampling: Sampling
    seed: int
    limit: int
    tokens: list[int] = field(default_factory=list)
    finish: str | None = None
    error: EngineError | None = None
    cancelled: bool = False

    @property
    def done(self) -> bool:
        """Whether no further token is wanted."""
        return self.cancelled or self.error is not None or self.finish is not None

    @property
    def cached(self) -> int:
        """How many of its tokens have their keys and values in the cache: all but the newest."""
        return len(self.prompt) + max(len(self.tokens) - 1, 0)

    @property
    def question(self) -> tuple[int, tuple[int, ...]]:
        """What has to be computed for its first token; rows with equal questions share it."""
        return id(self.adapter), self.prompt


def side_by_side(row: Row) -> tuple[str, int]:
    """A sorting key that puts the rows of one adapter together, the base's first."""
    return (row.adapter.name, id(row.adapter)) if row.adapter else ("", 0)
