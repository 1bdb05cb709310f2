"""The support rate's breakdowns while the server runs: from columns in memory that follow the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from picktune.log.base import LogReader
from picktune.log.news import Mark, Withdrawn
from picktune.records import AnnotatorRole

if TYPE_CHECKING:
    from picktune.support import Share
    from picktune.support.columns import Columns


class SupportFeed:
    """Reads each decision once; any number of threads may ask.

    What it holds begins at the earliest ``since`` that was asked for; to look further back, it reads anew.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._columns: Columns | None = None
        self._mark: Mark | None = None
        self._since: datetime | None = None

    def shares(
        self,
        reader: LogReader,
        by: str,
        *,
        model: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
        roles: Sequence[AnnotatorRole] | None = None,
        alpha: float = 0.05,
        annotator_cap: int = 200,
    ) -> tuple[Share, ...]:
        """The rate in each group, as ``support_rate`` of the log's decisions has it now."""
        with self._lock:
            columns = self._follow(reader, since)
            return columns.shares(
                by,
                model=model,
                since=since,
                until=until,
                roles=roles,
                alpha=alpha,
                annotator_cap=annotator_cap,
            )

    def _follow(self, reader: LogReader, since: datetime | None) -> Columns:
        from picktune.support.columns import Columns

        if self._mark is None or (self._since is not None and (since is None or since < self._since)):
            self._mark, self._since = None, since
        columns, mark = self._columns, self._mark
        # Kept only once all of it was read.
        self._columns = self._mark = None
        if columns is None:
            columns, mark = Columns(), None
        for one in reader.news(mark, since=self._since):
            if isinstance(one, Mark):
                mark = one
                columns = Columns() if one.fresh else columns
            elif isinstance(one, Withdrawn):
                columns.withdraw(one.slate_id, one.annotator)
            else:
                columns.add(one)
        self._columns, self._mark = columns, mark
        return columns
