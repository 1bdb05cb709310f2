"""Forgetting a person: the log, the vault, datasets and reports; and which adapters learned from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

import msgspec
from picktune_adapters import disk

from picktune.lineage import adapters_of, uses_of
from picktune.log.erase import Eraser, Traces, left_in, traces
from picktune.log.privacy import Scope
from picktune.records import Record
from picktune.redaction.redaction import vault_path
from picktune.redaction.vault import Vault
from picktune.settings import Settings

Progress = Callable[[str, int, int | None], None]

SMALL = 256 << 20
"""Up to which size, in bytes, the log is written anew without asking: servers wait for that long."""


class Forgetting(Record, frozen=True, kw_only=True):
    """What is, or was, known of a person: how much, what else holds it, and which adapters learned from it.

    ``left_in`` are files whose bytes still hold the name, and ``backups`` copies that nothing was done to.
    """

    conversations: int
    slates: int
    decided_elsewhere: int
    vault_entries: int = 0
    datasets: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    left_in: tuple[str, ...] = ()


class _Night(msgspec.Struct, frozen=True):
    dataset_id: str


def look(settings: Settings, scope: Scope, ref: str) -> Forgetting:
    """What ``forget`` would erase now. Raises ``LogUnavailable`` and ``StateUnreadable``."""
    return _told(settings, traces(settings.log_path, scope, ref))


def forget(
    settings: Settings,
    scope: Scope,
    ref: str,
    *,
    now: datetime,
    vacuum: bool | None = None,
    progress: Progress | None = None,
) -> Forgetting:
    """Erase a user, by ``user_ref``, or a conversation, from all that is kept under the home.

    Killed half-way, it can be run again and does the rest: datasets and reports go first, then each
    conversation as a whole. Servers may go on. ``vacuum`` writes the log's file anew at the end, without
    which bytes of what was erased can live on in it; by default that is done if it takes a moment only.
    Raises ``LogUnavailable``, ``RedactionFailed`` and ``StateUnreadable``.
    """
    tell = progress or (lambda stage, done, total: None)
    home, user = settings.folder, ref if scope == "user" else None
    found = traces(settings.log_path, scope, ref)
    told = _told(settings, found)
    for place, dataset in enumerate(told.datasets):
        tell("datasets", place, len(told.datasets))
        _remove(home / "datasets" / dataset)
    for report in told.reports:
        Path(report).unlink(missing_ok=True)
    # It holds no text, yet a key tells those who have a text that it was there. It is made again.
    (home / "references.txt").unlink(missing_ok=True)
    eraser, vault = Eraser(settings.log_path), Vault(vault_path(home))
    entries = 0
    try:
        # What is drawn meanwhile belongs to them too: look again until nothing is left.
        while not found.empty:
            if vault_path(home).exists():
                entries += vault.erase(found.conversations)
            for place, conversation in enumerate(found.conversations):
                tell("conversations", place, len(found.conversations))
                eraser.conversation(conversation, user, now)
            for place, slate in enumerate(found.elsewhere):
                tell("decisions", place, len(found.elsewhere))
                eraser.person(slate, ref)
            again = eraser.traces(scope, ref)
            if again == found:
                break  # what one user shares with another is not erased, and stays found
            found = again
        if user is not None:
            eraser.judgements(user)
        eraser.consent(scope, ref)
        small = settings.log_path.stat().st_size <= SMALL
        checkpointed = eraser.finish(vacuum=small if vacuum is None else vacuum)
    finally:
        vault.close()
        eraser.close()
    log, wal = settings.log_path, settings.log_path.with_name(f"{settings.log_path.name}-wal")
    left = left_in((log, wal), ref) if user is not None else []
    if not checkpointed and wal not in left and wal.is_file() and wal.stat().st_size:
        left.append(wal)
    return msgspec.structs.replace(told, vault_entries=entries, left_in=tuple(map(str, left)))


def _told(settings: Settings, found: Traces) -> Forgetting:
    home = settings.folder
    slates = (*found.slates, *found.elsewhere)
    datasets = _datasets_with(home, slates)
    vault = Vault(vault_path(home))
    try:
        entries = (
            sum(len(vault.entries(one)) for one in found.conversations) if vault_path(home).exists() else 0
        )
    finally:
        vault.close()
    return Forgetting(
        conversations=len(found.conversations),
        slates=len(found.slates),
        decided_elsewhere=len(found.elsewhere),
        vault_entries=entries,
        datasets=tuple(one for one in datasets if (home / "datasets" / one).is_dir()),
        reports=tuple(map(str, _reports_on(home, datasets))),
        adapters=tuple(adapters_of(home, slates)) if slates else (),
        backups=tuple(str(one) for one in sorted((home / "backups").glob("*")) if one.is_file()),
    )


def _datasets_with(home: Path, slates: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(use.dataset_id for use in uses_of(home, slates))) if slates else ()


def _reports_on(home: Path, datasets: Collection[str]) -> list[Path]:
    """The reports of nights that trained on one of the datasets: they quote some of it."""
    found = []
    for manifest in sorted((home / "nights").glob("[!.]*/manifest.json")):
        try:
            night = msgspec.json.decode(manifest.read_bytes(), type=_Night)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        report = manifest.with_name("report.html")
        if night.dataset_id in datasets and report.is_file():
            found.append(report)
    return found


def _remove(folder: Path) -> None:
    """Out of sight at once, so that nobody reads half of it, then gone."""
    if folder.is_dir():
        hidden = disk.temporary_beside(folder)
        folder.rename(hidden)
        shutil.rmtree(hidden)
