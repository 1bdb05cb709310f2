"""The log of an installation for whoever writes it beside the server, redacting if the settings say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from picktune.late import ReadableLog
from picktune.log.sqlite import SQLiteLog
from picktune.redaction.log import RedactingLog
from picktune.redaction.redaction import create_redaction
from picktune.settings import Settings


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[ReadableLog]:
    """The log, closed at the end. Raises ``LogUnavailable`` and ``MissingExtra``."""
    redaction = create_redaction(settings)
    async with SQLiteLog.open(settings.log_path) as log:
        try:
            yield log if redaction is None else RedactingLog(log, redaction)
        finally:
            if redaction is not None:
                redaction.vault.close()
