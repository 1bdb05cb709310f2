"""Settings that change while the server runs: read again at SIGHUP, and when the file has changed."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from picktune.audit import AuditEntry, AuditLog
from picktune.errors import PicktuneError
from picktune.settings import CONFIG_FILE, Settings

if TYPE_CHECKING:
    from picktune.service import Service

logger = logging.getLogger("picktune")

# What is looked up each time that it is used; all else takes effect at the next start. ``reveal`` is not
# among them: whoever turned it off would let picks be taken back whose arms were revealed.
LIVE = frozenset(
    {
        *("policy", "sampling", "timeout", "roles", "alpha", "annotator_cap", "scales"),
        *("self_naming", "self_names", "consent_default", "rates"),
    }
)

Stamp = tuple[int, int, int] | None


class Reloader:
    """Reads the settings again by ``read`` and gives the service those that may change while it runs.

    ``path`` is the configuration file that is named; ``as_read`` is what ``read`` gave before the start.

    Settings that cannot be read change nothing: the service goes on with those that it has, and readiness,
    the metrics and the log say what is wrong with the new ones.
    """

    def __init__(
        self, service: Service, read: Callable[[], Settings], path: Path | None, *, as_read: Settings
    ) -> None:
        self._service = service
        self._read = read
        self._path = (path or Path(CONFIG_FILE)).expanduser()
        self._as_read = as_read
        self._seen = _stamp(self._path)

    async def run(self, every: float) -> None:
        """Look at the file again and again until cancelled, and listen to SIGHUP meanwhile.

        A closed terminal sends SIGHUP too, so at a terminal it keeps its meaning.
        """
        loop = asyncio.get_running_loop()
        listens = hasattr(signal, "SIGHUP") and not sys.stdout.isatty()
        if listens:
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self.reload("SIGHUP")))
        try:
            pending: Stamp = self._seen
            while True:
                await asyncio.sleep(every)
                stamp = _stamp(self._path)
                # Twice the same: nobody is in the middle of saving it.
                if stamp != self._seen and stamp == pending:
                    self._seen = stamp
                    await self.reload(f"{self._path} has changed")
                pending = stamp
        finally:
            if listens:
                loop.remove_signal_handler(signal.SIGHUP)

    async def reload(self, why: str) -> None:
        """Read the settings and apply them; never raises."""
        service = self._service
        try:
            if self._seen is not None and _stamp(self._path) is None:
                raise FileNotFoundError(f"the configuration file {self._path} is gone; put it back")
            read = await to_thread.run_sync(self._read)
        except (PicktuneError, OSError) as error:
            service.configuration_problem = f"{why}, and the settings stay as they were: {error}"
            service.metrics.reloaded(well=False)
            logger.error(service.configuration_problem)
            return
        changed = {
            name: getattr(read, name)
            for name in read.__struct_fields__
            if getattr(read, name) != getattr(self._as_read, name)
        }
        self._as_read = read
        now = {name: value for name, value in changed.items() if name in LIVE}
        later = sorted(changed.keys() - LIVE)
        service.apply(now)
        service.configuration_problem = None
        service.metrics.reloaded(well=True)
        logger.info("%s; changed now: %s", why, ", ".join(sorted(now)) or "nothing")
        if later:
            logger.warning("these settings take effect at the next start: %s", ", ".join(later))
        details = {"now": ", ".join(sorted(now)), "at_next_start": ", ".join(later)}
        entry = AuditEntry(
            at=service.now(), by="picktune serve", action="configuration_reloaded", details=details
        )
        try:
            await to_thread.run_sync(AuditLog(service.settings.folder).note, entry)
        except PicktuneError as error:
            logger.error("the new settings are at work, but not in the audit log: %s", error)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
