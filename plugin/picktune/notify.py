"""Tells webhooks what has happened, in a JSON that chat programs can show as it is."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from picktune.records import Record, new_id

if TYPE_CHECKING:
    import httpx

Outcome = Literal["admitted", "not_admitted", "nothing_to_do", "failed"]

SIGNATURE = "Picktune-Signature"
ATTEMPTS = 3
TIMEOUT = 10.0
_OVERLOADED = 429


class Notify(Record, frozen=True, kw_only=True):
    """Which webhooks hear how a night ended, and of which ends.

    With a ``secret`` every message is signed: the header ``Picktune-Signature`` is ``sha256=`` and the
    HMAC-SHA256 of the body in hexadecimal digits.
    """

    urls: tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+")], ...] = ()
    secret: str | None = None
    on: tuple[Outcome, ...] = ("admitted", "not_admitted", "failed")


def body(event: str, text: str, at: datetime, details: object) -> bytes:
    """A message: ``text`` is what Slack, Mattermost and their like show; ``details`` is for programs.

    ``id`` is the same in every attempt, so that a receiver can tell a message that came twice.
    """
    message = {"id": new_id(), "event": event, "text": text, "at": at, "details": details}
    return msgspec.json.encode(message)


def deliver(
    notify: Notify,
    message: bytes,
    *,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], Any] = time.sleep,
) -> list[str]:
    """Post the message to every webhook; returns what went wrong, a sentence for each that did not take it.

    What may pass (no connection, 429, 5xx) is tried three times, 1 s and 4 s apart. Redirects are not
    followed. Nothing is raised: a message that cannot be delivered must not make a good night a bad one.
    """
    if not notify.urls:
        return []
    import httpx

    headers = {"Content-Type": "application/json", "User-Agent": "picktune"}
    if notify.secret:
        digest = hmac.new(notify.secret.encode(), message, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={digest}"
    problems = []
    with httpx.Client(timeout=TIMEOUT, transport=transport) as client:
        for url in notify.urls:
            why: str | None = None
            for attempt in range(ATTEMPTS):
                if attempt:
                    sleep(4.0 ** (attempt - 1))
                why, again = _post(client, url, message, headers)
                if not again:
                    break
            if why is not None:
                problems.append(f"the webhook at {_host(url)} was not told: {why}")
    return problems


def _post(client: httpx.Client, url: str, message: bytes, headers: dict[str, str]) -> tuple[str | None, bool]:
    """Why the message was not taken (``None`` if it was), and whether another attempt may help."""
    import httpx

    try:
        response = client.post(url, content=message, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"{type(error).__name__}: {error}", isinstance(error, httpx.TransportError)
    if response.is_success:
        return None, False
    code = response.status_code
    return f"it answered {code} {response.reason_phrase}", code == _OVERLOADED or response.is_server_error


def _host(url: str) -> str:
    # The rest of a webhook's address is mostly its password.
    return url.split("://", 1)[1].split("/", 1)[0].rsplit("@", 1)[-1]
