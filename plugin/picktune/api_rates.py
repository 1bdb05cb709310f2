"""Addresses of the JSON API that tell what the decisions say: the support rate, and the ranking."""

from __future__ import annotations

from anyio import to_thread

from picktune.api import endpoint
from picktune.endpoint import Call
from picktune.records import Record
from picktune.supportquery import SupportQuery

# The answers need scipy, and a server should start without: they are imported when they are asked for.


def _support_answer() -> type[Record]:
    from picktune.supportview import SupportAnswer

    return SupportAnswer


def _ranking_answer() -> type[Record]:
    from picktune.supportview import RankingAnswer

    return RankingAnswer


@endpoint(
    "GET",
    "/support",
    scope="read",
    query=SupportQuery,
    answer=_support_answer,
    errors=("log_unavailable",),
)
async def read_support(call: Call) -> Record:
    """How often the tuned reply was picked over the base's, with an anytime-valid interval."""
    from picktune.supportview import supports

    service, query = call.service, call.query
    return await to_thread.run_sync(lambda: supports(service.log.reader, service.settings, query))


@endpoint(
    "GET",
    "/ranking",
    scope="read",
    query=SupportQuery,
    answer=_ranking_answer,
    errors=("log_unavailable", "missing_extra"),
)
async def read_ranking(call: Call) -> Record:
    """The base and all adapters by their Bradley-Terry strength, with bootstrap intervals."""
    from picktune.supportview import ranking

    service, query = call.service, call.query
    return await to_thread.run_sync(lambda: ranking(service.log.reader, service.settings, query))
