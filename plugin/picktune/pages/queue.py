"""The queue: the open conversations, the one that has waited longest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from picktune.log import LogReader
from picktune.pages.i18n import LANGUAGES, Translator
from picktune.pages.render import html_lang
from picktune.records import Conversation, Record

PAGE = 50
_EXCERPT = 160
_BATCH = 500


class Row(Record, frozen=True, kw_only=True):
    """One conversation of the queue, ready to be shown."""

    id: str
    title: str
    excerpt: str
    lang: str
    tags: tuple[str, ...]
    waiting: str
    updated: str
    since: str
    campaign: str = ""


class Segment(Record, frozen=True, kw_only=True):
    """A filter by language with the number of conversations behind it."""

    name: str
    count: int
    active: bool
    suffix: str


class Queue(Record, frozen=True, kw_only=True):
    """One page of the queue. ``suffix`` keeps its filter in an address, ``query`` its page too.

    ``more`` leads to the next page, if there is one.
    """

    rows: tuple[Row, ...]
    segments: tuple[Segment, ...]
    total: int
    search: str
    locale: str
    suffix: str
    query: str
    more: str

    @property
    def filtered(self) -> bool:
        """Whether conversations may be hidden by the filter."""
        return bool(self.search or self.locale)

    def after(self, conversation_id: str) -> str | None:
        """The id that comes after this one on the page, going round; ``None`` if there is no other."""
        ids = [row.id for row in self.rows]
        if conversation_id in ids:
            place = ids.index(conversation_id)
            ids = ids[place + 1 :] + ids[:place]
        return ids[0] if ids else None


def read_queue(
    reader: LogReader,
    query: Mapping[str, str],
    t: Translator,
    now: datetime,
    first_rows: Sequence[tuple[str, Conversation]] = (),
) -> Queue:
    """The page of the queue that the query (``locale``, ``q``, ``page``) asks for; odd values are ignored.

    ``first_rows`` are conversations of campaigns, with the campaign's title: they stand first on the first
    page, unless somebody searches.
    """
    locale = query.get("locale", "")
    locale = locale if locale in LANGUAGES else ""
    search = query.get("q", "").strip()[:200]
    number = query.get("page", "1")
    page = max(1, int(number)) if number.isdecimal() and len(number) < 7 else 1
    first = (page - 1) * PAGE
    if search:
        found = [one for one in _all_open(reader, locale or None) if _matches(one, search)]
        total, shown = len(found), found[first : first + PAGE]
    else:
        total = reader.count_conversations(locale=locale or None)
        shown = reader.conversations(locale=locale or None, limit=PAGE, offset=first)
    wanted = (
        {}
        if search or page > 1
        else {one.id: (title, one) for title, one in first_rows if not locale or one.locale == locale}
    )
    return Queue(
        rows=(
            *(_row(one, t, now, title) for title, one in wanted.values()),
            *(_row(one, t, now) for one in shown if one.id not in wanted),
        ),
        segments=tuple(
            Segment(
                name=t(f"language.{code}") if code else t("queue.all"),
                count=reader.count_conversations(locale=code or None),
                active=code == locale,
                suffix=_suffix(locale=code, q=search),
            )
            for code in ("", *LANGUAGES)
        ),
        total=total,
        search=search,
        locale=locale,
        suffix=_suffix(locale=locale, q=search),
        query=_suffix(locale=locale, q=search, page=str(page) if page > 1 else ""),
        more=_suffix(locale=locale, q=search, page=str(page + 1)) if first + PAGE < total else "",
    )


def _all_open(reader: LogReader, locale: str | None) -> Iterator[Conversation]:
    offset = 0
    while batch := reader.conversations(locale=locale, limit=_BATCH, offset=offset):
        yield from batch
        offset += _BATCH


def _matches(conversation: Conversation, search: str) -> bool:
    said = (message.content for message in conversation.messages if message.role != "system")
    text = "\n".join((conversation.title, conversation.scenario or "", *conversation.tags, *said)).casefold()
    return all(word in text for word in search.casefold().split())


def _row(conversation: Conversation, t: Translator, now: datetime, campaign: str = "") -> Row:
    said = [message.content for message in conversation.messages if message.role == "user"]
    return Row(
        id=conversation.id,
        title=conversation.title[:200] or conversation.id,
        excerpt=" ".join(said[-1][: _EXCERPT * 4].split())[:_EXCERPT] if said else "",
        lang=html_lang(conversation.locale),
        tags=conversation.tags[:3],
        waiting=t.since(conversation.updated_at, now),
        updated=conversation.updated_at.isoformat(),
        since=t("queue.waiting_since", moment=t.moment(conversation.updated_at)),
        campaign=campaign,
    )


def _suffix(**query: str) -> str:
    kept = {name: value for name, value in query.items() if value}
    return f"?{urlencode(kept)}" if kept else ""
