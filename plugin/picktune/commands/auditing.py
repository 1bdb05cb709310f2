"""What a command does is noted in the audit log, with the user who gave it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import click

from picktune.audit import Action, AuditLog, audited
from picktune.commands.options import user_name
from picktune.errors import LogUnavailable
from picktune.records import utc_now
from picktune.settings import Settings


def auditing(
    settings: Settings, action: Action, of: str = "", *, by: str | None = None, **details: str
) -> AbstractContextManager[dict[str, str]]:
    """Do and note something that must not be done unseen; see ``audited``."""
    return audited(AuditLog(settings.folder), action, of, by=by or user_name(), now=utc_now(), **details)


@contextmanager
def noting(settings: Settings, action: Action, of: str = "", **details: str) -> Iterator[dict[str, str]]:
    """Do and note what only reads: a home that cannot be written, or is not there, does not hinder it."""
    if not settings.folder.is_dir():
        yield details
        return
    try:
        AuditLog(settings.folder).check()
    except LogUnavailable as error:
        click.secho(f"not noted: {error.message}", fg="yellow", err=True)
        yield details
        return
    with auditing(settings, action, of, **details) as told:
        yield told
