"""The frozen hold-out: held-out picks that stay the same for good, so that nights can be compared by them.

It is named, made once, and holds nobody's words: the slate, the moment and a hash of each row, and where its
conversations were placed. The rows themselves are read from the log each night and compared with their
hashes. A row that the log has no more (somebody was forgotten, or changed their mind) is missed and counted;
one that says something else than it did is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, structs
from picktune.errors import InvalidInput
from picktune.log.rows import micros
from picktune.records import ChoiceSet, Record
from picktune_adapters import disk
from picktune_adapters.store import pretty

from picktune_retrain.dataset.split import Splits, remember
from picktune_retrain.dataset.versions import check_format
from picktune_retrain.dataset.writing import writing
from picktune_retrain.errors import HoldOutChanged, HoldOutExists, StateCorrupt

FILE = "holdout.json"
_NAME = r"[a-z0-9][a-z0-9_.-]{0,59}"
HoldOutName = Annotated[str, Meta(pattern=f"^{_NAME}$")]
_REMEDY = "bring it back from a backup; without it, nights can no longer be compared by it"


class HoldOut(Record, frozen=True, kw_only=True):
    """Which rows are frozen: of each its slate, when it was decided (microseconds), and its hash.

    ``places`` keeps their conversations and openings in the test split, whatever becomes of the splits' file.
    ``sha256`` is over all of the above it.
    """

    format: Literal[1] = 1
    name: HoldOutName
    created_at: datetime
    dataset_id: str
    rows: tuple[tuple[str, int, str], ...]
    places: Splits
    sha256: str = ""

    def hashed(self) -> str:
        """What ``sha256`` must be."""
        plain = msgspec.json.encode(structs.replace(self, sha256=""), order="deterministic")
        return hashlib.sha256(plain).hexdigest()

    def digests(self) -> dict[tuple[str, int], set[str]]:
        """The hashes of rows by their slate and moment, which two people may share."""
        found: dict[tuple[str, int], set[str]] = {}
        for slate, at, digest in self.rows:
            found.setdefault((slate, at), set()).add(digest)
        return found


class Frozen:
    """The hold-out while a log is read: it knows its rows again, and sees that they are what they were."""

    def __init__(self, hold_out: HoldOut) -> None:
        self.name = hold_out.name
        self._digests = hold_out.digests()

    def holds(self, row: ChoiceSet) -> bool:
        """Whether the row is one of them; raises ``HoldOutChanged`` if it says something else than it did."""
        known = self._digests.get((row.slate_id, micros(row.decided_at)))
        if known is None:
            return False
        if row_digest(row) not in known:
            raise HoldOutChanged(self.name, row.slate_id)
        return True


def load_hold_out(folder: Path) -> HoldOut | None:
    """The hold-out under ``<home>/datasets``, if there is one; raises ``StateCorrupt`` if it was changed."""
    path = folder / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateCorrupt(path, str(error), _REMEDY) from error
    check_format(content, path, 1)
    try:
        found = msgspec.json.decode(content, type=HoldOut)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateCorrupt(path, str(error), _REMEDY) from error
    if found.sha256 != found.hashed():
        raise StateCorrupt(path, "its content is not what its sha256 says", _REMEDY)
    return found


def freeze(rows: Iterable[ChoiceSet], folder: Path, *, name: str, dataset_id: str, now: datetime) -> HoldOut:
    """Freeze these held-out rows under a name, once; raises ``HoldOutExists`` if it was done before."""
    _refuse_a_second(folder)
    held = list(rows)
    if not held:
        raise InvalidInput(
            f"dataset {dataset_id[:12]} holds nothing out; pick in more conversations, and build it anew"
        )
    made = HoldOut(
        name=name,
        created_at=now,
        dataset_id=dataset_id,
        rows=tuple((row.slate_id, micros(row.decided_at), row_digest(row)) for row in held),
        places=remember(Splits(), {"test": held}),
    )
    if not re.fullmatch(_NAME, name):
        raise InvalidInput(
            f"the name {name!r} is not understood; use 1 to 60 of a-z, 0-9, '.', '_' and '-', first a letter "
            "or a digit",
            field="name",
        )
    made = structs.replace(made, sha256=made.hashed())
    with writing(folder):
        _refuse_a_second(folder)  # somebody else may have been quicker
        disk.replace(folder / FILE, pretty(made))
    return made


def _refuse_a_second(folder: Path) -> None:
    if (known := load_hold_out(folder)) is not None:
        raise HoldOutExists(known.name, len(known.rows), known.created_at)


def row_digest(row: ChoiceSet) -> str:
    """SHA-256 (hex) of what was said, shown and picked."""
    said = (
        [(message.role, message.content) for message in row.messages],
        row.replies,
        row.chosen,
        row.role,
    )
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()
