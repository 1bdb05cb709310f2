"""The registry: adapter versions, and the aliases that say which of them speak.

::

    root/registry.json                 the format's number
    root/adapters/NAME/                adapter_model.safetensors, adapter_config.json, version.json;
                                       of a checkpoint, the files of a model folder in place of the first two
    root/aliases.json                  who is champion and challenger now
    root/history.jsonl                 every move of an alias; aliases.json can be rebuilt from it
    root/removed/NAME.json             what stays of a version whose files were removed

Any number of processes may read and write at once. Reading takes no lock. A writer that is killed leaves
either the old state or the new one, and perhaps a ``.tmp-`` entry that the next writer sweeps away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from picktune_adapters import aliases as moves
from picktune_adapters import disk
from picktune_adapters.errors import (
    AdapterCorrupt,
    AdapterInUse,
    AdapterNotFound,
    AliasesMoved,
    MoveUnexplained,
    NothingToRollBack,
    RegistryCorrupt,
)
from picktune_adapters.records import AdapterVersion, AliasChange, Aliases, AliasName, RemovedAdapter
from picktune_adapters.store import pretty
from picktune_adapters.versions import Versions, stored

# An engine limits the rank; a registry that only moves names does not.
_ANY_RANK = 1 << 30


class Registry(Versions):
    """All adapter versions under one root folder, which is made by the first write.

    ``lock_timeout`` is in seconds: how long a write waits for another process's write. Every method raises
    ``RegistryTooNew`` for a registry of a newer Picktune, ``RegistryCorrupt`` for one whose own files cannot
    be understood, and ``RegistryUnavailable`` if the disk refuses.
    """

    def aliases(self) -> Aliases:
        """Which versions are champion and challenger now."""
        self._check_format()
        aliases = self._read(self._aliases, Aliases)
        return moves.fold(self.history()) if aliases is None else aliases

    def stamp(self) -> object:
        """Something that differs once the aliases have moved; cheap enough to ask at every request."""
        try:
            found = self._aliases.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def history(self) -> list[AliasChange]:
        """Every move of an alias, oldest first."""
        self._check_format()
        with self._disk_errors():
            try:
                content = self._history.read_bytes()
            except FileNotFoundError:
                return []
        changes = []
        # What comes after the last line end is a write that has not finished, or never will.
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                changes.append(msgspec.json.decode(line, type=AliasChange))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise RegistryCorrupt(
                    f"line {number} of {self._history} cannot be read ({error}); restore the file from a "
                    "backup, or delete that line"
                ) from error
        return changes

    def move(
        self,
        alias: AliasName,
        name: str | None,
        *,
        by: str,
        reason: str,
        now: datetime,
        expected: Aliases | None = None,
    ) -> AliasChange:
        """Let an alias name a version, or none (``None``: the base).

        A challenger that becomes champion is challenger no more. Moving an alias to where it already stands
        changes nothing. Raises ``MoveUnexplained`` unless it is said by whom and why; ``AliasesMoved`` if the
        aliases are not as ``expected``; ``AdapterNotFound``, ``AdapterCorrupt`` if its files are damaged, and
        ``AdapterInUse`` if the champion would have to challenge itself.
        """
        _explained(by, reason)
        with self._writing():
            self._as_expected(expected)
            if name is not None:
                self.verify(name, max_rank=_ANY_RANK)
            return self._move(alias, name, by=by, reason=reason, now=now)

    def promote(
        self, name: str, *, by: str, reason: str, now: datetime, expected: Aliases | None = None
    ) -> AliasChange:
        """Make a version the champion; if it was the challenger, there is no challenger any more."""
        return self.move("champion", name, by=by, reason=reason, now=now, expected=expected)

    def rollback(
        self, *, by: str, reason: str, now: datetime, expected: Aliases | None = None
    ) -> AliasChange:
        """Take the last promotion back: the champion before speaks again, or, if there was none, the base.

        Rolling back again goes further back; versions whose files are gone or damaged are passed over. A
        challenger stays on trial; but where there is no champion to go back from, it is the challenger that
        is withdrawn. Raises ``NothingToRollBack`` if the base answers alone already, and as ``move``.
        """
        _explained(by, reason)
        with self._writing():
            self._as_expected(expected)
            aliases = self.aliases()
            target = moves.previous_champion(self.history(), self._is_sound)
            if target != aliases.champion:
                return self._move("champion", target, by=by, reason=reason, now=now, rollback=True)
            if aliases.challenger is not None:
                return self._move("challenger", None, by=by, reason=reason, now=now, rollback=True)
            raise NothingToRollBack(
                "there is nothing to roll back: no adapter is champion or challenger, so the base model "
                "answers already"
            )

    def remove(self, name: str, *, by: str, reason: str, now: datetime) -> RemovedAdapter:
        """Delete a version's files; its name and lineage stay on record. Unload it from engines first.

        Raises ``AdapterNotFound``, and ``AdapterInUse`` while an alias names it.
        """
        with self._writing():
            folder = self.folder(name)
            aliases = self.aliases()
            if name in (aliases.champion, aliases.challenger):
                alias = "champion" if name == aliases.champion else "challenger"
                raise AdapterInUse(
                    f"adapter {name!r} is the {alias}; roll back or move that alias first", field="name"
                )
            version = self._get_or_fault(name)
            removed = RemovedAdapter(
                name=name,
                version=version if isinstance(version, AdapterVersion) else None,
                by=by,
                reason=reason,
                at=now.astimezone(UTC),
            )
            # The tombstone first: killed in between, the version is still whole and the name still taken.
            self._removed.mkdir(exist_ok=True)
            disk.replace(self._tombstone(name), stored(removed))
            folder.rename(disk.temporary_beside(folder))
            disk.sync_folder(self._adapters)
            return removed

    def _move(
        self,
        alias: AliasName,
        name: str | None,
        *,
        by: str,
        reason: str,
        now: datetime,
        rollback: bool = False,
    ) -> AliasChange:
        before = self.aliases()
        if alias == "challenger" and name is not None and name == before.champion:
            raise AdapterInUse(
                f"adapter {name!r} is the champion and cannot challenge itself; roll back first", field="name"
            )
        first = AliasChange(
            alias=alias,
            before=before.champion if alias == "champion" else before.challenger,
            after=name,
            by=by,
            reason=reason,
            at=now.astimezone(UTC),
            rollback=rollback,
        )
        if first.before == first.after:
            return first
        changes = [first]
        if alias == "champion" and name is not None and name == before.challenger:
            changes.append(
                AliasChange(
                    alias="challenger", before=name, after=None, by=by, reason="became champion", at=first.at
                )
            )
        # The history goes first: it is what aliases.json is rebuilt from if we are killed in between.
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in changes)
        begin = disk.append(self._history, lines)
        try:
            self._settle()
        except OSError:
            disk.cut(self._history, begin)
            raise
        return first

    def _as_expected(self, expected: Aliases | None) -> None:
        found = self.aliases()
        if expected is not None and found != expected:
            raise AliasesMoved(
                f"the champion is now {found.champion or 'the base'} and the challenger "
                f"{found.challenger or 'nobody'}: somebody has moved them since this was decided; look again"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with super()._writing():
            self._settle()
            yield

    def _settle(self) -> None:
        """Bring aliases.json up to the history."""
        now = moves.fold(self.history())
        if self._read(self._aliases, Aliases) != now:
            disk.replace(self._aliases, pretty(now))

    def _is_sound(self, name: str) -> bool:
        try:
            self.verify(name, max_rank=_ANY_RANK)
        except (AdapterNotFound, AdapterCorrupt):
            return False
        return True


def _explained(by: str, reason: str) -> None:
    for field, value, what in (("by", by, "who moves the alias"), ("reason", reason, "why")):
        if not value.strip():
            raise MoveUnexplained(f"say {what}: it is kept in the history", field=field)
