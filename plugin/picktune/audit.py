"""The audit log: who did what to an installation and when, one line of JSON after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock
from msgspec import field
from picktune_adapters import disk

from picktune.errors import LogUnavailable
from picktune.records import Record

Action = Literal[
    "key_created",
    "key_revoked",
    "link_made",
    "promoted",
    "rolled_back",
    "challenged",
    "withdrawn",
    "adapter_removed",
    "gate_frozen",
    "gate_unfrozen",
    "verified",
    "backed_up",
    "pruned",
    "vacuumed",
    "repaired",
    "exported",
    "campaign_created",
    "campaign_closed",
    "consent_changed",
    "forgotten",
    "held_exported",
    "hold_out_frozen",
    "configuration_reloaded",
]


class AuditEntry(Record, frozen=True, kw_only=True):
    """One thing that was done. ``of`` names what it was done to; ``details`` hold no secret."""

    at: datetime
    by: str
    action: Action
    of: str = ""
    details: dict[str, str] = field(default_factory=dict)


class AuditLog:
    """``audit.jsonl`` in the home, which only its owner reads. Any number of processes may write to it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "audit.jsonl"

    def note(self, entry: AuditEntry) -> None:
        """Add an entry; it is on disk when this returns. Raises ``LogUnavailable``."""
        with self._writing():
            disk.append(self.path, msgspec.json.encode(entry) + b"\n")

    def check(self) -> None:
        """Raise ``LogUnavailable`` if nothing could be noted, before what would have to be is done."""
        with self._writing(), self.path.open("ab"):
            pass

    def entries(self, *, since: datetime | None = None) -> Iterator[AuditEntry]:
        """The entries, oldest first. Raises ``LogUnavailable`` at a line that is none, and says which."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unavailable(error) from error
        # What comes after the last line end was not finished, and so never acknowledged.
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                entry = msgspec.json.decode(line, type=AuditEntry)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogUnavailable(
                    f"line {number} of {self.path} is no entry of an audit log ({error}); keep the file as "
                    "is, as evidence, and look for a copy that was made before"
                ) from error
            if since is None or entry.at >= since:
                yield entry

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.path.with_suffix(".lock"), timeout=10):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
                yield
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> LogUnavailable:
        return LogUnavailable(
            f"the audit log {str(self.path)!r} cannot be used ({error.strerror or error}); make the file and "
            "its folder writable, and send it again"
        )


@contextmanager
def audited(
    log: AuditLog, action: Action, of: str = "", *, by: str, now: datetime, **details: str
) -> Iterator[dict[str, str]]:
    """Do something and note that it was done; what fails is not noted, what cannot be noted is not begun.

    What is put into the yielded dictionary joins the details. Raises ``LogUnavailable``.
    """
    log.check()
    yield details
    log.note(AuditEntry(at=now.astimezone(UTC), by=by, action=action, of=of, details=details))
