"""What an adapter must say where it is served: a few replies with the log-probabilities of its trainer.

They lie beside the adapter as ``probes.json``. Whoever serves it compares them with what the engine gives: an
engine may take an adapter, answer 200, and use it wrongly or not at all.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
from msgspec import Struct

from picktune_adapters import disk
from picktune_adapters.errors import AdapterCorrupt
from picktune_adapters.kinds import digest, kind_of
from picktune_adapters.store import pretty

PROBES = "probes.json"
_LIMIT = 4 << 20


class Probe(Struct, frozen=True, kw_only=True):
    """A prompt and a reply as token ids, with log p of each token of the reply in nats, base and adapter."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    base: tuple[float, ...]
    tuned: tuple[float, ...]


class Probes(Struct, frozen=True, kw_only=True):
    """The probes of one adapter, whose files hash to ``sha256``."""

    sha256: str
    probes: tuple[Probe, ...]


def write_probes(folder: Path, probes: tuple[Probe, ...]) -> None:
    """Put probes beside the adapter in ``folder``, bound to its files as they are now."""
    found = Probes(sha256=digest(folder, kind_of(folder)), probes=probes)
    disk.replace(folder / PROBES, pretty(found))


def read_probes(folder: Path, sha256: str) -> tuple[Probe, ...] | None:
    """The probes beside an adapter whose files hash to ``sha256``; ``None`` if there are none.

    Raises ``AdapterCorrupt`` if they cannot be understood, or belong to another adapter.
    """
    path = folder / PROBES
    try:
        if path.is_symlink() or path.stat().st_size > _LIMIT:
            raise _fault(path, "it is a link, or too large")
        found = msgspec.json.decode(path.read_bytes(), type=Probes)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _fault(path, str(error)) from error
    if found.sha256 != sha256:
        raise _fault(path, f"it belongs to an adapter with the hash {found.sha256[:16]}…")
    for one in found.probes:
        sound = one.prompt and one.reply and len(one.base) == len(one.tuned) == len(one.reply)
        if not sound or not all(map(math.isfinite, (*one.base, *one.tuned))):
            raise _fault(path, "a probe lacks tokens, or figures that are finite")
    return found.probes


def _fault(path: Path, why: str) -> AdapterCorrupt:
    return AdapterCorrupt(f"{path} cannot be used ({why}); delete it, or train the adapter again")
