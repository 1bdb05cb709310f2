"""API keys: for servers that draw slates and send picks. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from filelock import FileLock
from msgspec import Meta, structs

from picktune.errors import Conflict, InvalidInput, NotFound
from picktune.records import Record

Scope = Literal["slate", "pick", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
KEY_PREFIX = "pk_"


class ApiKey(Record, frozen=True, kw_only=True):
    """What is known of a key: everything but the key itself. ``admin`` includes every other scope."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scopes: tuple[Scope, ...]
    sha256: str
    created_at: datetime
    revoked_at: datetime | None = None


class _File(Record, frozen=True, kw_only=True):
    format: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()


class KeyRing:
    """The keys of one installation, in one file that only its owner can read.

    Safe to change from several processes; a running server sees a new or a revoked key at its next request.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[ApiKey, ...] = ()

    def create(self, name: str, scopes: Iterable[Scope], *, now: datetime) -> tuple[str, ApiKey]:
        """Make a key and return it with its entry; the key cannot be read again later.

        Raises ``Conflict`` if an unrevoked key has that name, ``InvalidInput`` for no or unknown scopes.
        """
        text = KEY_PREFIX + secrets.token_urlsafe(32)
        chosen = tuple(sorted(set(scopes)))
        if not chosen or any(scope not in SCOPES for scope in chosen):
            raise InvalidInput(f"choose scopes from {', '.join(SCOPES)}", field="scopes")
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise InvalidInput("a key's name has 1 to 100 printable characters", field="name")
        key = ApiKey(name=name, scopes=chosen, sha256=_hash(text), created_at=now)
        with self._lock():
            keys = self.all()
            if any(known.name == name and known.revoked_at is None for known in keys):
                raise Conflict(f"there is a key named {name!r}; revoke it first, or choose another name")
            self._write((*keys, key))
        return text, key

    def revoke(self, name: str, *, now: datetime) -> ApiKey:
        """Make the key of that name worthless; raises ``NotFound`` if none that is valid has it."""
        with self._lock():
            keys = self.all()
            for index, key in enumerate(keys):
                if key.name == name and key.revoked_at is None:
                    revoked = structs.replace(key, revoked_at=now)
                    self._write((*keys[:index], revoked, *keys[index + 1 :]))
                    return revoked
        valid = ", ".join(key.name for key in keys if key.revoked_at is None) or "none"
        raise NotFound(f"no valid key named {name!r}; valid: {valid}", field="name")

    def find(self, text: str) -> ApiKey | None:
        """The unrevoked key that ``text`` is, or ``None``."""
        digest = _hash(text)
        found = None
        for key in self.all():
            if hmac.compare_digest(key.sha256, digest) and key.revoked_at is None:
                found = key
        return found

    def all(self) -> tuple[ApiKey, ...]:
        """Every key that was ever made, oldest first."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return ()
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            try:
                self._keys = msgspec.json.decode(self.path.read_bytes(), type=_File).keys
            except msgspec.MsgspecError as error:
                raise InvalidInput(
                    f"{self.path} is no file of API keys ({error}); move it away and make new keys"
                ) from error
            self._stamp = stamp
        return self._keys

    def _lock(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return FileLock(self.path.with_suffix(".lock"))

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        text = msgspec.json.format(msgspec.json.encode(_File(keys=keys)))
        write_private(self.path, text, replace=True)


def write_private(path: Path, content: bytes, *, replace: bool) -> bool:
    """Put a file in place whole, readable by its owner only; without ``replace`` an existing one stays.

    Returns whether the content is now there because of this call.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
            return True
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
