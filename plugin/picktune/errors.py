"""One tree of errors; each knows its code, its HTTP status and the field that it is about.

PicktuneError
├── AdapterError (see picktune_adapters.errors)
├── InvalidInput (ValueError)
│   ├── InvalidJSON
│   ├── PayloadTooLarge
│   └── InvalidSettings
├── NotFound (LookupError)
│   ├── SlateNotFound
│   ├── CandidateNotFound
│   ├── ConversationNotFound
│   ├── CampaignNotFound
│   └── ComparisonNotFound
├── Conflict (ValueError)
│   ├── AlreadyDecided
│   ├── NotShown
│   ├── NotKept
│   ├── Forgotten
│   └── KeyReused
├── Unauthenticated (PermissionError)
├── Forbidden (PermissionError)
├── EngineError (RuntimeError)
│   ├── ArmUnsound
│   ├── EngineBusy
│   └── EngineDown
├── RateLimited (RuntimeError)
├── LogUnavailable (OSError)
├── RedactionFailed (RuntimeError)
├── StateUnreadable (OSError)
└── MissingExtra (ImportError)
"""

from __future__ import annotations

from picktune_adapters.errors import (
    AdapterCorrupt,
    AdapterError,
    AdapterExists,
    AdapterInUse,
    AdapterNotFound,
    AliasesMoved,
    BaseUnreadable,
    InvalidAdapterName,
    MoveUnexplained,
    NothingToRollBack,
    PicktuneError,
    RegistryCorrupt,
    RegistryTooNew,
    RegistryUnavailable,
)

__all__ = [
    "AdapterCorrupt",
    "AdapterError",
    "AdapterExists",
    "AdapterInUse",
    "AdapterNotFound",
    "AliasesMoved",
    "AlreadyDecided",
    "ArmUnsound",
    "BaseUnreadable",
    "CampaignNotFound",
    "CandidateNotFound",
    "ComparisonNotFound",
    "Conflict",
    "ConversationNotFound",
    "EngineBusy",
    "EngineDown",
    "EngineError",
    "Forbidden",
    "Forgotten",
    "InvalidAdapterName",
    "InvalidInput",
    "InvalidJSON",
    "InvalidSettings",
    "KeyReused",
    "LogUnavailable",
    "MissingExtra",
    "MoveUnexplained",
    "NotFound",
    "NotKept",
    "NotShown",
    "NothingToRollBack",
    "PayloadTooLarge",
    "PicktuneError",
    "RateLimited",
    "RedactionFailed",
    "RegistryCorrupt",
    "RegistryTooNew",
    "RegistryUnavailable",
    "SlateNotFound",
    "StateUnreadable",
    "Unauthenticated",
]


class InvalidInput(PicktuneError, ValueError):
    """The request cannot be understood or breaks a rule of its schema."""

    code = "invalid_input"
    status = 422


class InvalidJSON(InvalidInput):
    """The body is no JSON, or not in UTF-8."""

    code = "invalid_json"
    status = 400


class PayloadTooLarge(InvalidInput):
    """The body, or one message in it, is larger than the configured limit."""

    code = "payload_too_large"
    status = 413


class InvalidSettings(InvalidInput):
    """The configuration file or the environment holds a value that cannot be used."""

    code = "invalid_settings"


class NotFound(PicktuneError, LookupError):
    """There is nothing under that id."""

    code = "not_found"
    status = 404


class SlateNotFound(NotFound):
    """No slate has that id."""

    code = "slate_not_found"

    def __init__(self, slate_id: str) -> None:
        super().__init__(f"no slate with id {slate_id!r}; draw one first", field="slate_id")


class CandidateNotFound(NotFound):
    """The slate has no candidate of that id."""

    code = "candidate_not_found"

    def __init__(self, candidate_id: str, slate_id: str | None = None) -> None:
        where = f" in slate {slate_id!r}" if slate_id else ""
        super().__init__(f"no candidate with id {candidate_id!r}{where}", field="candidate_id")


class ConversationNotFound(NotFound):
    """No conversation has that id."""

    code = "conversation_not_found"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"no conversation with id {conversation_id!r}", field="conversation_id")


class CampaignNotFound(NotFound):
    """No campaign has that name."""

    code = "campaign_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no campaign named {name!r}; picktune campaign list shows those that there are", field="name"
        )


class ComparisonNotFound(NotFound):
    """No comparison of whole conversations has that id."""

    code = "comparison_not_found"

    def __init__(self, comparison_id: str) -> None:
        super().__init__(f"no comparison with id {comparison_id!r}; make one first", field="comparison_id")


class Conflict(PicktuneError, ValueError):
    """The request is well-formed, but it contradicts what is already recorded."""

    code = "conflict"
    status = 409


class AlreadyDecided(Conflict):
    """This annotator has already decided on this slate."""

    code = "already_decided"

    def __init__(self, slate_id: str, annotator: str) -> None:
        super().__init__(
            f"{annotator!r} has already decided on slate {slate_id!r}; undo that decision first",
            field="slate_id",
        )


class NotShown(Conflict):
    """The slate was never shown to this viewer, so the viewer cannot decide on it."""

    code = "not_shown"

    def __init__(self, slate_id: str, viewer: str) -> None:
        super().__init__(
            f"slate {slate_id!r} was never shown to {viewer!r}; record an exposure first", field="slate_id"
        )


class KeyReused(Conflict):
    """The idempotency key was already used for a different decision."""

    code = "key_reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"key {key!r} was already used for a different decision; send a new key", field="key"
        )


class Unauthenticated(PicktuneError, PermissionError):
    """No valid API key or viewer token came with the request."""

    code = "unauthenticated"
    status = 401


class Forbidden(PicktuneError, PermissionError):
    """The key or the token is valid, but it does not allow this."""

    code = "forbidden"
    status = 403


class EngineError(PicktuneError, RuntimeError):
    """The model behind the slates did not answer as it should."""

    code = "engine_error"
    status = 502


class EngineBusy(EngineError):
    """The engine's queue is full; try again after ``retry_after`` seconds."""

    code = "engine_busy"
    status = 429

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ArmUnsound(EngineError):
    """An arm is not what it says: in one batch with another, an engine answers with the other's weights."""

    code = "arm_unsound"


class EngineDown(EngineError):
    """The engine cannot be reached or has stopped."""

    code = "engine_down"
    status = 503


class RateLimited(PicktuneError, RuntimeError):
    """One key or one person has sent too many requests; try again after ``retry_after`` seconds."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LogUnavailable(PicktuneError, OSError):
    """The log cannot be written or read (disk full, file locked, not a log); nothing was half-written."""

    code = "log_unavailable"
    status = 503


class RedactionFailed(PicktuneError, RuntimeError):
    """Personal data could not be taken out of a text, so it was not stored."""

    code = "redaction_failed"
    status = 503


class NotKept(Conflict):
    """The slate was drawn without consent to keep anything, so nothing can be decided on it."""

    code = "not_kept"

    def __init__(self, slate_id: str) -> None:
        super().__init__(
            f"slate {slate_id!r} was drawn without consent to keep anything; there is nothing to decide on",
            field="slate_id",
        )


class Forgotten(Conflict):
    """It belongs to a user who was forgotten; nothing is added to it."""

    code = "forgotten"

    def __init__(self, what: str, id: str) -> None:
        super().__init__(f"{what} {id!r} was erased, for its user was forgotten; begin a new one")


class StateUnreadable(PicktuneError, OSError):
    """A file that tells which picks a dataset holds, or how a night went, cannot be read."""

    code = "state_unreadable"

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"{path} cannot be read ({why}); restore it from a backup, or delete it")


class MissingExtra(PicktuneError, ImportError):
    """A feature needs packages that are not installed; the message is the command that installs them."""

    code = "missing_extra"
    status = 501

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra {extra!r}; install it with: pip install 'picktune[{extra}]'"
        )
