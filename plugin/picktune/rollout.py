"""What an adapter has to pass on its way into the slates, at every server that may speak for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from picktune_adapters.probes import Probe, read_probes
from picktune_adapters.records import AdapterVersion
from picktune_adapters.registry import Registry

from picktune.engines.base import Engine, Replicated, Speaker
from picktune.errors import EngineDown


class Candidacy:
    """An adapter version whose files are what was registered, with what its trainer found."""

    def __init__(self, version: AdapterVersion, folder: Path, probes: Sequence[Probe] | None) -> None:
        self.version = version
        self.folder = folder
        self.probes = probes

    @classmethod
    def read(cls, registry: Registry, name: str) -> Candidacy:
        """Read all files in full; raises ``AdapterNotFound`` and ``AdapterCorrupt``."""
        version = registry.verify(name)
        folder = registry.folder(name)
        return cls(version, folder, read_probes(folder, version.sha256))


async def roll_out(engine: Engine, one: Candidacy) -> None:
    """Load the adapter everywhere, then let the canary and the arms' integrity decide, at each server.

    Raises ``AdapterCorrupt`` and ``EngineError``, saying at which server; then it must not speak.
    """
    await engine.load(one.version.name, one.folder)
    if one.version.kind == "remote":
        return  # it shares no batch with the base, and its log-probabilities are not to be had
    for speaker in speakers(engine):
        await _canary(speaker, one)
    await check_arms(engine, one.version.name)


async def check_arms(engine: Engine, name: str) -> None:
    """Whether base and adapter are what they say when they answer together, at each server."""
    from picktune.engines.integrity import check_integrity

    for speaker in speakers(engine):
        await check_integrity(speaker, name)


def speakers(engine: Engine) -> Sequence[Speaker]:
    """The servers behind an engine; arms that are drawn together share a batch only within one."""
    if not isinstance(engine, Replicated):
        return [engine]
    found = engine.speakers()
    if not found:
        raise EngineDown("no server of the engine answers; try again in a moment")
    return found


async def _canary(speaker: Speaker, one: Candidacy) -> None:
    from picktune.engines.canary import Scoring, check_canary

    if isinstance(speaker, Scoring):
        await check_canary(speaker, one.version.name, one.probes)
