"""The root of every error, and the errors of adapters on disk.

PicktuneError
└── AdapterError
    ├── AdapterNotFound (LookupError)
    ├── AdapterExists (ValueError)
    ├── AdapterCorrupt (ValueError)
    ├── AdapterInUse (ValueError)
    ├── AliasesMoved (ValueError)
    ├── BaseUnreadable (ValueError)
    ├── InvalidAdapterName (ValueError)
    ├── MoveUnexplained (ValueError)
    ├── NothingToRollBack (LookupError)
    ├── RegistryCorrupt (ValueError)
    ├── RegistryTooNew (RuntimeError)
    └── RegistryUnavailable (OSError)
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
    """An adapter of that name is already registered; versions are immutable, names never used twice."""

    code = "adapter_exists"
    status = 409


class AdapterCorrupt(AdapterError, ValueError):
    """The files of an adapter are not what its configuration, its hash or its base model say."""

    code = "adapter_corrupt"
    status = 422


class AdapterInUse(AdapterError, ValueError):
    """An alias names this version, so it can be neither removed nor tried against itself."""

    code = "adapter_in_use"
    status = 409


class AliasesMoved(AdapterError, ValueError):
    """The aliases are no longer those that a move was decided on: somebody else has moved one."""

    code = "aliases_moved"
    status = 409


class BaseUnreadable(AdapterError, ValueError):
    """The base model's folder cannot be read, so no adapter can be checked against it."""

    code = "base_unreadable"

    def __init__(self, folder: object, why: str) -> None:
        super().__init__(
            f"the base model in {folder} cannot be read ({why}); name a folder that holds config.json and "
            "*.safetensors"
        )


class InvalidAdapterName(AdapterError, ValueError):
    """The name cannot be the name of an adapter version, which is also the name of its folder."""

    code = "invalid_adapter_name"
    status = 422

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot name an adapter: use 1 to 100 letters, digits, '.', '_' or '-', starting with "
            "a letter or a digit, and none of the names base, champion and challenger",
            field="name",
        )


class MoveUnexplained(AdapterError, ValueError):
    """An alias is moved by somebody, for a reason; one of the two is missing."""

    code = "move_unexplained"
    status = 422


class NothingToRollBack(AdapterError, LookupError):
    """Neither a champion nor a challenger speaks: the base model answers already."""

    code = "nothing_to_roll_back"
    status = 409


class RegistryCorrupt(AdapterError, ValueError):
    """A file of the registry itself (aliases, history, format) cannot be understood."""

    code = "registry_corrupt"


class RegistryTooNew(AdapterError, RuntimeError):
    """The registry was written by a newer version of Picktune."""

    code = "registry_too_new"


class RegistryUnavailable(AdapterError, OSError):
    """The registry cannot be read or written (disk full, not allowed, locked); nothing was half-written."""

    code = "registry_unavailable"
    status = 503
