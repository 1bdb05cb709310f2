"""The settings: one frozen record, read from a file and the environment by one function."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs
from msgspec import Meta

from picktune.errors import InvalidSettings
from picktune.records import AnnotatorRole, Record, Sampling


class Settings(Record, kw_only=True):
    """How one Picktune installation behaves.

    Everything that it keeps lies under ``home``: the log, the registry of adapters, the key that signs
    tokens and the nightly's reports. ``model`` is a folder or an id known to Hugging Face; without one, the
    sample model. ``roles`` says whose picks count, for training and for the support rate: people's, unless
    a simulation is asked for.
    """

    home: str = ""
    model: str | None = None
    engine: Literal["local", "vllm"] = "local"
    vllm_url: str = "http://127.0.0.1:8000"
    vllm_key: str | None = None
    policy: str = "2+2"
    sampling: Sampling = Sampling()
    roles: tuple[AnnotatorRole, ...] = ("user", "agent", "expert", "crowd")
    prefix: str = "/picktune"
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8321
    timeout: Annotated[float, Meta(gt=0)] = 60.0
    queue: Annotated[int, Meta(ge=1)] = 64
    batch: Annotated[int, Meta(ge=1)] = 32
    poll: Annotated[float, Meta(gt=0)] = 2.0
    body_limit: Annotated[int, Meta(ge=1024)] = 1_048_576
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    annotator_cap: Annotated[int, Meta(ge=1)] = 200
    cors_origins: tuple[str, ...] = ()
    reveal: bool = False
    secure_cookies: bool = False

    @property
    def folder(self) -> Path:
        """The data folder: ``home``, or the user's data folder."""
        return Path(self.home).expanduser() if self.home else Path(platformdirs.user_data_dir("picktune"))

    @property
    def log_path(self) -> Path:
        """Where the log lies."""
        return self.folder / "picktune.db"

    @property
    def registry_path(self) -> Path:
        """Where the adapter registry lies."""
        return self.folder / "registry"


def load_settings(
    path: Path | None = None, environ: Mapping[str, str] | None = None, **overrides: object
) -> Settings:
    """Read ``picktune.toml`` (or ``path``, or ``PICKTUNE_CONFIG``), then ``PICKTUNE_*``, then the overrides.

    Later ones win; an override that is ``None`` is not there. ``PICKTUNE_SAMPLING__MAX_TOKENS`` reaches into
    a table; lists are separated by commas. Raises ``InvalidSettings``, naming the setting.
    """
    environ = os.environ if environ is None else environ
    raise NotImplementedError  # the helper who owns settings writes this
