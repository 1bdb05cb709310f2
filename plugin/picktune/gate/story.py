"""The story of an adapter, from picks to promotion, and where a pick went."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field
from picktune_adapters import AdapterVersion
from picktune_adapters.registry import Registry

from picktune.errors import AdapterNotFound, StateUnreadable
from picktune.gate.keeper import Gate
from picktune.gate.records import GateDecision, Standing
from picktune.gate.rules import said
from picktune.gate.view import view_of
from picktune.lineage import PickUse, all_versions, datasets, picks_of, uses_of
from picktune.log import SQLiteLogReader
from picktune.records import Record
from picktune.settings import Settings

T = TypeVar("T")


class Event(Record, frozen=True, kw_only=True):
    """One thing that happened to an adapter; ``figures`` are what it rested on, by name."""

    at: datetime
    what: str
    by: str = ""
    why: str = ""
    figures: dict[str, float | str] = field(default_factory=dict)


class Story(Record, frozen=True, kw_only=True):
    """An adapter's version, what happened to it, oldest first, and how it stands if an alias names it."""

    version: AdapterVersion
    removed: bool
    alias: str | None
    events: tuple[Event, ...]
    standing: Standing | None = None


class Trace(Record, frozen=True, kw_only=True):
    """A pick: its slate, who decided what, and the datasets (with their adapters) that hold it.

    ``pick_id`` is ``None`` if the slate itself was asked for: then all decisions on it are meant.
    """

    slate_id: str
    pick_id: int | None
    decisions: tuple[str, ...]
    uses: tuple[PickUse, ...]

    @property
    def learned(self) -> tuple[str, ...]:
        """The adapters that learned from it."""
        names = (name for use in self.uses if use.split == "train" for name in use.adapters)
        return tuple(dict.fromkeys(names))


class _Night(Struct, frozen=True):
    """As much of a night's manifest as the story tells."""

    id: str
    started_at: datetime
    finished_at: datetime | None = None
    result: str | None = None


class _Run(Struct, frozen=True):
    seconds: float
    steps: tuple[dict[str, object], ...] = ()


class _Decided(Struct, frozen=True):
    admitted: bool
    reasons: tuple[str, ...]


def story_of(settings: Settings, name: str) -> Story:
    """Everything that is on record about an adapter, also one that was removed.

    Raises ``AdapterNotFound``, and ``StateUnreadable`` for a night's file that cannot be understood.
    """
    registry, home = Registry(settings.registry_path), settings.folder
    versions = {one.name: one for one in all_versions(registry)}
    if name not in versions:
        raise AdapterNotFound(name, sorted(versions))
    version = versions[name]
    aliases = registry.aliases()
    alias = {aliases.champion: "champion", aliases.challenger: "challenger"}.get(name)
    events = [*_dataset(home, version), *_night(home, version), _registered(version)]
    decisions = Gate(settings, registry=registry).decisions(adapter=name, limit=10_000)
    events += [_decided(one) for one in decisions]
    told = {(one.decided_at, one.by) for one in decisions}
    for change in registry.history():
        if name in (change.before, change.after) and (change.at, change.by) not in told:
            before, after = change.before or "nobody", change.after or "nobody"
            what = f"{change.alias}: {before} → {after}"
            events.append(Event(at=change.at, what=what, by=change.by, why=change.reason))
    gone = [one for one in registry.removed() if one.name == name]
    events += [Event(at=one.at, what="its files were removed", by=one.by, why=one.reason) for one in gone]
    return Story(
        version=version,
        removed=bool(gone),
        alias=alias,
        events=tuple(sorted(events, key=lambda one: one.at)),
        standing=_standing(settings, registry, alias),
    )


def trace_of(settings: Settings, pick: str) -> Trace:
    """Where a pick went; ``pick`` is its number in the log, or the id of its slate.

    Raises ``SlateNotFound`` if there is neither, and ``LogUnavailable``.
    """
    with SQLiteLogReader(settings.log_path) as reader:
        number = int(pick) if pick.isascii() and pick.isdigit() and len(pick) < 19 else None
        slate_id = reader.slate_of_pick(number) if number is not None else None
        if slate_id is None:
            slate_id, number = reader.slate(pick).id, None
        made = reader.numbered_picks(slate_id)
    mine = [(one, done) for one, done in made if number in (None, one)]
    moments = {done.decided_at for _, done in mine}
    registry = Registry(settings.registry_path)
    return Trace(
        slate_id=slate_id,
        pick_id=number,
        decisions=tuple(
            f"pick {one}: {done.verdict} by {done.annotator} ({done.role}), version {done.version}, "
            f"{done.decided_at:%Y-%m-%d %H:%M:%S} UTC"
            for one, done in mine
        ),
        uses=tuple(
            use for use in uses_of(settings.folder, [slate_id], registry) if use.decided_at in moments
        ),
    )


def _dataset(home: Path, version: AdapterVersion) -> list[Event]:
    head = next((one for one in datasets(home) if one.dataset_id == version.dataset_id), None)
    if head is None:
        return []
    moments = [at for _, _, at in picks_of(home, head.dataset_id)]
    window = (
        f", decided {min(moments):%Y-%m-%d %H:%M} to {max(moments):%Y-%m-%d %H:%M} UTC" if moments else ""
    )
    counts = ", ".join(f"{count} {split}" for split, count in head.counts.items())
    what = f"dataset {head.dataset_id[:12]}: {counts}{window}"
    return [Event(at=head.created_at, what=what, figures={**head.counts})]


def _night(home: Path, version: AdapterVersion) -> list[Event]:
    """What the night's own files say, as long as they are kept."""
    folder = home / "nights" / version.run_id
    night = _read(folder / "manifest.json", _Night)
    if night is None:
        return []
    events = [Event(at=night.started_at, what=f"night {night.id} begins", by="nightly")]
    end = night.finished_at or night.started_at
    run = _read(folder / "train.json", _Run)
    if run is not None:
        trained: dict[str, float | str] = {"seconds": run.seconds, "steps": float(len(run.steps))}
        what = f"trained for {run.seconds:,.0f} s"
        events.append(Event(at=version.created_at, what=what, by="nightly", figures=trained))
    decided = _read(folder / "decide.json", _Decided)
    if decided is not None:
        what = "offline checks: " + ("admitted" if decided.admitted else "not admitted")
        events.append(Event(at=version.created_at, what=what, by="nightly", why="; ".join(decided.reasons)))
    if night.result is not None:
        events.append(Event(at=end, what=f"night {night.id} ends: {night.result.replace('_', ' ')}"))
    return events


def _registered(version: AdapterVersion) -> Event:
    simulated = " (simulated)" if version.simulated else ""
    what = f"registered: learned from {version.picks} picks{simulated}"
    return Event(at=version.created_at, what=what, by="nightly", figures={**version.metrics})


def _decided(one: GateDecision) -> Event:
    view = one.figures.view
    standing = next(
        (each for each in (view.champion, view.challenger) if each and each.adapter == one.adapter), None
    )
    figures: dict[str, float | str] = {}
    if standing is not None:
        figures = {"support": said(standing), "wins": float(standing.wins), "picks": float(standing.n)}
    if one.share is not None:
        figures["canary share"] = one.share
    note = "" if one.outcome == "done" else f" [{one.outcome or 'cut off'}: {one.note}]"
    return Event(
        at=one.decided_at,
        what=f"gate decision {one.id}: {one.action}{note}",
        by=one.by,
        why=one.reason,
        figures=figures,
    )


def _standing(settings: Settings, registry: Registry, alias: str | None) -> Standing | None:
    if alias is None or not settings.log_path.is_file():
        return None
    with SQLiteLogReader(settings.log_path) as reader:
        view = view_of(reader, settings, registry.aliases(), registry.history())
    standing: Standing | None = getattr(view, alias)
    return standing


def _read(path: Path, kind: type[T]) -> T | None:
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateUnreadable(path, str(error)) from error
