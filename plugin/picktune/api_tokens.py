"""Tokens for browsers: an application's server asks for one, its page shows a slate and decides with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from picktune.api import endpoint
from picktune.endpoint import Call
from picktune.errors import Forbidden
from picktune.records import AnnotatorRole, Record, ShortText


class IssueToken(Record, frozen=True, kw_only=True):
    """For whose browser, for which conversation, and for how many minutes."""

    viewer: ShortText
    conversation_id: ShortText
    role: AnnotatorRole = "user"
    minutes: Annotated[int, Meta(ge=1, le=720)] = 15


class ViewerToken(Record, frozen=True, kw_only=True):
    """Sent as ``Authorization: Bearer …`` until then; it cannot be taken back."""

    token: str
    until: datetime


@endpoint("POST", "/viewer-tokens", scope="slate", body=IssueToken, answer=ViewerToken, status=201)
async def issue_viewer_token(call: Call) -> ViewerToken:
    """A short-lived token with which one viewer's browser sees and decides one conversation's slates."""
    if call.viewer.is_browser:
        raise Forbidden("only a server's API key gives tokens to others")
    body: IssueToken = call.body
    token, until = call.service.auth.viewer_token(
        body.viewer, body.conversation_id, role=body.role, lasting=timedelta(minutes=body.minutes)
    )
    return ViewerToken(token=token, until=until)
