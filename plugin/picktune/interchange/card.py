"""The card of a data set: what is in an exported file, for whoever gets it without the log."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec

from picktune import __version__
from picktune.records import DecidedSlate, ReactedReply, Record, Selection

UNSTATED = "not stated"
NO_REDACTION = "none"


class DatasetCard(Record, frozen=True, kw_only=True):
    """What an exported file holds.

    ``size`` is in bytes. The counts are of the decisions and reactions that gave at least one row; those
    selected that gave none (a tie gives no pair) are ``without_rows``. ``selection`` is what was asked for,
    ``first`` and ``last`` when the earliest and the latest of what is in the file was decided. ``simulated``
    says whether any of it is a simulated picker's. ``licence`` is what others may do with it, as whoever
    wrote it out says (an SPDX id, where there is one), and ``redaction`` what was done about personal data
    before it was stored.
    """

    format: str
    picktune: str
    file: str | None
    sha256: str
    size: int
    rows: int
    decisions: int
    reactions: int
    without_rows: int
    annotators: int
    simulated: bool
    first: datetime | None
    last: datetime | None
    verdicts: dict[str, int]
    roles: dict[str, int]
    locales: dict[str, int]
    tags: dict[str, int]
    licence: str
    redaction: str
    selection: Selection
    made_at: datetime

    def encode(self) -> bytes:
        """The card as JSON for people and programs."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class Tally:
    """Counts what goes into a file, row by row, for its card."""

    def __init__(self) -> None:
        self.rows = self.decisions = self.reactions = self.without_rows = 0
        self._verdicts, self._roles = Counter[str](), Counter[str]()
        self._locales, self._tags = Counter[str](), Counter[str]()
        self._annotators = set[str]()
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, evidence: DecidedSlate | ReactedReply, rows: int) -> None:
        """One decision or reaction that gave so many rows."""
        if not rows:
            self.without_rows += 1
            return
        self.rows += rows
        if isinstance(evidence, DecidedSlate):
            said: str = evidence.pick.verdict
            by, role, at = evidence.pick.annotator, evidence.pick.role, evidence.pick.decided_at
            self.decisions += 1
        else:
            said, at = evidence.reaction.value, evidence.reaction.reacted_at
            by, role = evidence.reaction.annotator, evidence.reaction.role
            self.reactions += 1
        self._verdicts[said] += 1
        self._roles[role] += 1
        self._locales[evidence.slate.turn.locale] += 1
        for tag in set(evidence.slate.turn.tags):
            self._tags[tag] += 1
        self._annotators.add(by)
        self._first = at if self._first is None else min(self._first, at)
        self._last = at if self._last is None else max(self._last, at)

    def card(
        self,
        *,
        format: str,
        file: str | None,
        sha256: str,
        size: int,
        selection: Selection,
        now: datetime,
        licence: str | None = None,
        redaction: str | None = None,
    ) -> DatasetCard:
        """The card, now that everything was counted; ``size`` is in bytes."""
        return DatasetCard(
            format=format,
            picktune=__version__,
            file=file,
            sha256=sha256,
            size=size,
            rows=self.rows,
            decisions=self.decisions,
            reactions=self.reactions,
            without_rows=self.without_rows,
            annotators=len(self._annotators),
            simulated=self._roles["model"] > 0,
            first=self._first,
            last=self._last,
            verdicts=_sorted(self._verdicts),
            roles=_sorted(self._roles),
            locales=_sorted(self._locales),
            tags=_sorted(self._tags),
            licence=licence or UNSTATED,
            redaction=redaction or NO_REDACTION,
            selection=selection,
            made_at=now,
        )


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return {name: counter[name] for name in sorted(counter) if counter[name]}
