"""The address of the JSON API that breaks the support rate down, quickly enough for a dashboard."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from picktune.api import endpoint
from picktune.endpoint import Call
from picktune.records import Record, ShortText


class SharesQuery(Record, frozen=True, kw_only=True):
    """Of which adapter, and of how many days until now; without a model, of the base against itself."""

    model: ShortText | None = None
    days: Annotated[int, Meta(ge=1, le=3650)] = 30


def _answer() -> type[Record]:
    from picktune.supportview import SharesAnswer

    return SharesAnswer


@endpoint(
    "GET", "/support/{by}", scope="read", query=SharesQuery, answer=_answer, errors=("log_unavailable",)
)
async def read_shares(call: Call) -> Record:
    """The support rate of one adapter by tag, scenario, annotator or another group, of the last days."""
    query: SharesQuery = call.query
    by = call.path["by"]
    shares = await call.service.shares(by, model=query.model, days=query.days)
    answer: Record = _answer()(
        roles=call.service.settings.roles, model=query.model, days=query.days, by=by, shares=shares
    )
    return answer
