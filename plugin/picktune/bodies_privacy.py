"""What the privacy part of the JSON API takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from picktune.errors import InvalidInput
from picktune.log.base import ConsentScope
from picktune.records import Consent, Record, ShortText


class Whose(Record, frozen=True, kw_only=True):
    """One user, by the ``user_ref`` that slates were drawn with, or one conversation."""

    user_ref: ShortText | None = None
    conversation_id: ShortText | None = None

    def whose(self) -> tuple[ConsentScope, str]:
        """Which of the two it is, and its name; raises ``InvalidInput`` for none or both."""
        if (self.user_ref is None) == (self.conversation_id is None):
            raise InvalidInput("name a user_ref or a conversation_id, not both", field="user_ref")
        return ("user", self.user_ref) if self.user_ref is not None else ("conversation", self._id)

    @property
    def _id(self) -> str:
        return self.conversation_id or ""


class GiveConsent(Whose, frozen=True, kw_only=True):
    """What they agree to: ``none`` (nothing is kept), ``log`` (kept, never learned from) or ``train``."""

    consent: Consent


class Forget(Whose, frozen=True, kw_only=True):
    """Whom to erase; with ``dry_run``, only what would be erased is told."""

    dry_run: bool = False


class Held(Record, frozen=True, kw_only=True):
    """All that is held on somebody: each with its ``kind``, and the columns of the log as they are."""

    made_at: datetime
    held: tuple[dict[str, Any], ...]


class ConsentChanged(Record, frozen=True, kw_only=True):
    """What stands now, and how many earlier turns left the training for it."""

    consent: Consent
    turns: int
