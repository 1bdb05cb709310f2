"""Our own ticket format: one conversation a line, with the customer's further messages still to come."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from picktune.interchange.limits import Id, Pending, Text, check_size, title_of
from picktune.records import Conversation, Message, Record, ShortText, Tags

Split = Literal["training", "unseen"]


class Ticket(Record, frozen=True, kw_only=True):
    """One ticket: a first ``message`` of the customer, or all ``messages`` so far; never both.

    Without an ``id`` the ticket is named by a hash of what is said in it. ``system`` is a system prompt that
    goes before the messages. ``split`` says whether a demonstration may train on it.
    """

    id: Id | None = None
    locale: Annotated[str, Meta(min_length=2, max_length=35)] = "en"
    split: Split | None = None
    scenario: ShortText | None = None
    title: ShortText | None = None
    tags: Tags = ()
    system: Text | None = None
    message: Text | None = None
    messages: Annotated[tuple[Message, ...], Meta(max_length=1000)] = ()
    pending: Pending = ()
    user_ref: ShortText | None = None
    consent: Literal["log", "train"] = "train"


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of ours."""
    return bool(keys & {"message", "messages"}) and keys <= set(Ticket.__struct_fields__)


def decode(data: bytes) -> Ticket:
    """One line as a ticket; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Ticket)


def to_conversation(ticket: Ticket, *, now: datetime) -> Conversation:
    """The open conversation that a ticket starts; raises ``ValueError`` if nobody has said anything."""
    if (ticket.message is None) == (not ticket.messages):
        raise ValueError("give either 'message' or 'messages'")
    messages = ticket.messages
    if ticket.message is not None:
        messages = (Message(role="user", content=ticket.message),)
    if ticket.system is not None:
        messages = (Message(role="system", content=ticket.system), *messages)
    check_size(messages)
    if messages[-1].role != "user":
        raise ValueError("the last message must be the customer's ('user'), for it is what wants a reply")
    return Conversation(
        id=ticket.id or _named_by_hash(messages, ticket.pending),
        title=ticket.title or title_of(messages),
        locale=ticket.locale,
        scenario=ticket.scenario,
        tags=ticket.tags,
        messages=messages,
        pending=ticket.pending,
        source="tickets",
        user_ref=ticket.user_ref,
        consent=ticket.consent,
        created_at=now,
        updated_at=now,
    )


def _named_by_hash(messages: tuple[Message, ...], pending: tuple[str, ...]) -> str:
    said = msgspec.json.encode([messages, pending])
    return "ticket-" + hashlib.sha256(said).hexdigest()[:24]
