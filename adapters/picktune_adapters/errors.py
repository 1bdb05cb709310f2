"""The root of every error, and the errors of adapters on disk.

PicktuneError
└── AdapterError
    ├── AdapterNotFound (LookupError)
    ├── AdapterExists (ValueError)
    ├── AdapterCorrupt (ValueError)
    └── RegistryTooNew (RuntimeError)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class PicktuneError(Exception):
    """Anything that Picktune refuses or cannot do.

    ``code`` is stable and meant for programs; the message says what happened, to which id, and what to
    do next; ``status`` is the HTTP status under which the API reports it; ``field`` names the offending
    part of the input, if there is one.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class AdapterError(PicktuneError):
    """Something is wrong with an adapter version or with the registry that keeps it."""

    code = "adapter_error"


class AdapterNotFound(AdapterError, LookupError):
    """No adapter of that name is registered."""

    code = "adapter_not_found"
    status = 404

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no adapter named {name!r}; registered: {', '.join(known) or 'none'}", field="name")


class AdapterExists(AdapterError, ValueError):
    """An adapter of that name is already registered; versions are immutable and names are never used twice."""

    code = "adapter_exists"
    status = 409


class AdapterCorrupt(AdapterError, ValueError):
    """The files of an adapter are not what its configuration, its hash or its base model say."""

    code = "adapter_corrupt"
    status = 422


class RegistryTooNew(AdapterError, RuntimeError):
    """The registry was written by a newer version of Picktune."""

    code = "registry_too_new"
