"""The gate inside a running server: it looks every so many minutes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from anyio import to_thread
from picktune_adapters.registry import Registry

from picktune.errors import AliasesMoved, PicktuneError

if TYPE_CHECKING:
    from picktune.settings import Settings

logger = logging.getLogger("picktune")


async def watch(settings: Settings, registry: Registry, now: Callable[[], datetime]) -> None:
    """Run the gate every ``gate.every`` minutes until cancelled, if it is ``automatic``.

    What goes wrong is logged, and tried again at the next look. Several servers may watch one home.
    """
    rules = settings.gate
    while rules.automatic and rules.every > 0:
        await asyncio.sleep(60 * rules.every)
        try:
            await to_thread.run_sync(lambda: _look(settings, registry, now))
        except AliasesMoved as error:
            logger.info("the gate looks again later: %s", error)
        except (PicktuneError, OSError) as error:
            logger.warning("the gate could not look: %s", error)
        except Exception:
            logger.exception("the gate failed; it looks again in %g minutes", rules.every)


def _look(settings: Settings, registry: Registry, now: Callable[[], datetime]) -> None:
    from picktune.gate.keeper import Gate

    proposal = Gate(settings, registry=registry, now=now).run()
    if proposal.action != "hold":
        logger.info("the gate: %s %s: %s", proposal.action, proposal.adapter, proposal.reason)
