"""The settings: one frozen record, read from a file and the environment by one function."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import platformdirs
from msgspec import Meta

from picktune.engines.limits import VLLMLimits
from picktune.errors import InvalidInput, InvalidSettings
from picktune.gate.records import GateSettings
from picktune.notify import Notify
from picktune.records import AnnotatorRole, Consent, Record, Sampling
from picktune.redaction.base import KINDS, Kind
from picktune.signals import parse_scale
from picktune.slate import policy_named
from picktune.telemetry import Telemetry

CONFIG_FILE = "picktune.toml"
_SECRET = frozenset({"vllm_key", "notify.urls", "notify.secret"})
PREFIX = "PICKTUNE_"
# Variables that other rooms and the scripts read; they are no settings.
RESERVED = frozenset(
    f"{PREFIX}{name}"
    for name in ("CONFIG", "CACHE", "PYTHON", "TORCH", "VLLM", "SHARED_DATA", "PLATFORM_KEY")
)


class Rates(Record, frozen=True, kw_only=True):
    """How many slates, decisions and signals one API key or one person's sessions may ask for in a minute,
    and how many streams each may have open at once. 0 is no limit. The defaults are beyond what a person at
    a workbench can do.
    """

    key_slates: Annotated[int, Meta(ge=0)] = 6000
    key_picks: Annotated[int, Meta(ge=0)] = 12000
    key_signals: Annotated[int, Meta(ge=0)] = 24000
    session_slates: Annotated[int, Meta(ge=0)] = 120
    session_picks: Annotated[int, Meta(ge=0)] = 300
    session_signals: Annotated[int, Meta(ge=0)] = 600
    key_streams: Annotated[int, Meta(ge=0)] = 10_000
    session_streams: Annotated[int, Meta(ge=0)] = 16


class RedactionSettings(Record, frozen=True, kw_only=True):
    """Whether personal data is taken out before anything is stored, and which.

    ``keep_days`` is how long the vault keeps what a placeholder stands for; 0 is until it is erased.
    """

    on: bool = False
    kinds: tuple[Kind, ...] = KINDS
    locales: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    keep_days: Annotated[int, Meta(ge=0)] = 365


class Settings(Record, frozen=True, kw_only=True):
    """How one Picktune installation behaves.

    Everything that it keeps lies under ``home``: the log, the registry of adapters, the key that signs
    tokens and the nightly's reports. ``model`` is a folder or an id known to Hugging Face; without one, the
    sample model. ``roles`` says whose picks count, for training and for the support rate: people's, unless
    a simulation is asked for.
    """

    home: str = ""
    model: str | None = None
    engine: Literal["local", "vllm"] = "local"
    vllm_url: Annotated[str, Meta(pattern=r"^https?://[^/\s]+")] = "http://127.0.0.1:8000"
    vllm_key: str | None = None
    vllm: VLLMLimits = VLLMLimits()
    policy: str = "2+2"
    sampling: Sampling = Sampling()
    roles: tuple[AnnotatorRole, ...] = ("user", "agent", "expert", "crowd")
    prefix: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+$")] = "/picktune"
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8321
    timeout: Annotated[float, Meta(gt=0)] = 60.0
    queue: Annotated[int, Meta(ge=1)] = 64
    batch: Annotated[int, Meta(ge=1)] = 32
    integrity: Annotated[float, Meta(ge=0)] = 900.0
    poll: Annotated[float, Meta(gt=0)] = 2.0
    slow_client: Annotated[float, Meta(gt=0)] = 30.0
    body_limit: Annotated[int, Meta(ge=1024)] = 1_048_576
    spool: str = ""
    spool_limit: Annotated[int, Meta(ge=0)] = 67_108_864
    rates: Rates = Rates()
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    annotator_cap: Annotated[int, Meta(ge=1)] = 200
    scales: tuple[str, ...] = ("quality:1-5",)
    cors_origins: tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s*]+$")], ...] = ()
    reveal: bool = False
    self_naming: Literal["off", "flag", "filter"] = "flag"
    self_names: tuple[Annotated[str, Meta(min_length=2, max_length=100)], ...] = ()
    consent_default: Consent = "train"
    redaction: RedactionSettings = RedactionSettings()
    secure_cookies: bool = False
    notify: Notify = Notify()
    gate: GateSettings = GateSettings()
    telemetry: Telemetry = Telemetry()

    @property
    def folder(self) -> Path:
        """The data folder: ``home``, or the user's data folder."""
        return Path(self.home).expanduser() if self.home else Path(platformdirs.user_data_dir("picktune"))

    @property
    def log_path(self) -> Path:
        """Where the log lies."""
        return self.folder / "picktune.db"

    @property
    def spool_folder(self) -> Path:
        """Where the journal lies of what the log could not take: ``spool``, or beside the log."""
        return Path(self.spool).expanduser() if self.spool else self.folder / "spool"

    @property
    def registry_path(self) -> Path:
        """Where the adapter registry lies."""
        return self.folder / "registry"

    def __repr__(self) -> str:
        # Secrets must not reach a traceback or a log line.
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        shown["vllm_key"] = "***" if self.vllm_key else None
        # Most of a webhook's address is its password.
        shown["notify"] = "***" if self.notify.urls else None
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def load_settings(
    path: Path | None = None, environ: Mapping[str, str] | None = None, **overrides: object
) -> Settings:
    """Read ``picktune.toml`` (or ``path``, or ``PICKTUNE_CONFIG``), then ``PICKTUNE_*``, then the overrides.

    Later ones win; an override that is ``None`` is not there. ``PICKTUNE_SAMPLING__MAX_TOKENS`` reaches into
    a table; lists are separated by commas. Raises ``InvalidSettings``, naming the setting.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for source, names, strict in (
        (*_from_file(path, environ), True),
        ("the environment", _from_environ(environ), False),
        ("the arguments", {name: value for name, value in overrides.items() if value is not None}, True),
    ):
        for name, value in _leaves(names, Settings, source):
            _put(values, name, _convert(name, value, source, strict=strict))
    settings = msgspec.convert(values, Settings)
    try:
        policy_named(settings.policy)
    except InvalidInput as error:
        raise InvalidSettings(f"setting 'policy': {error}", field="policy") from None
    try:
        for scale in settings.scales:
            parse_scale(scale)
    except InvalidInput as error:
        raise InvalidSettings(f"setting 'scales': {error}", field="scales") from None
    return settings


def setting_names() -> list[str]:
    """The dotted name of every setting, in the order of the record."""
    return [name for name, _ in _known(Settings)]


def config_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file that is named: ``path``, or else ``PICKTUNE_CONFIG``."""
    return path or (Path(environ["PICKTUNE_CONFIG"]) if environ.get("PICKTUNE_CONFIG") else None)


def _from_file(path: Path | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    chosen = config_file(path, environ)
    file = (chosen or Path(CONFIG_FILE)).expanduser()
    if chosen is None and not file.is_file():
        return str(file), {}
    try:
        return str(file), tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InvalidSettings(f"cannot read the configuration file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{file} is not valid TOML: {error}") from error


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    types = dict(_known(Settings))
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        name = variable.removeprefix(PREFIX).lower().replace("__", ".")
        if name not in types:
            raise _unknown(name, f"the environment ({variable})")
        _put(found, name, _parse(text, types[name]))
    return found


def _parse(text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return None if text == "" and type(None) in get_args(kind) else text


def _known(record: type[Record], before: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(record):
        if isinstance(field.type, type) and issubclass(field.type, Record):
            yield from _known(field.type, f"{before}{field.name}.")
        else:
            yield before + field.name, field.type


def _leaves(
    names: Mapping[str, Any], record: type[Record], source: str, before: str = ""
) -> Iterator[tuple[str, Any]]:
    types = {field.name: field.type for field in msgspec.structs.fields(record)}
    for name, value in names.items():
        kind = types.get(name)
        if kind is None:
            raise _unknown(before + name, source)
        if isinstance(kind, type) and issubclass(kind, Record):
            table = msgspec.to_builtins(value) if isinstance(value, Record) else value
            if not isinstance(table, Mapping):
                raise InvalidSettings(
                    f"setting {before + name!r} in {source} must be a table, not {value!r}",
                    field=before + name,
                )
            yield from _leaves(table, kind, source, f"{before}{name}.")
        else:
            yield before + name, str(value) if isinstance(value, Path) else value


def _convert(name: str, value: Any, source: str, *, strict: bool) -> Any:
    kind = dict(_known(Settings))[name]
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        given = "" if name in _SECRET else f" (given: {value!r})"
        choices = _choices(kind)
        problem = f"choose from {', '.join(choices)}" if choices else str(error)
        raise InvalidSettings(f"setting {name!r} in {source}: {problem}{given}", field=name) from None


def _choices(kind: Any) -> tuple[str, ...]:
    inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return get_args(inner) if get_origin(inner) is Literal else ()


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    *above, last = name.split(".")
    for part in above:
        table = table.setdefault(part, {})
    table[last] = value


def _unknown(name: str, source: str) -> InvalidSettings:
    known = setting_names()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return InvalidSettings(f"no setting named {name!r} in {source}; {hint}", field=name)
