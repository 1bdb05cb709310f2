"""A redaction with a vault in a real file, and a service that uses it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.log import SQLiteLog
from picktune.redaction.redaction import Redaction, vault_path
from picktune.redaction.redactor import RuleRedactor, create_redactor
from picktune.redaction.vault import Vault
from picktune.service import Service
from picktune.settings import RedactionSettings, Settings
from picktune_adapters.registry import Registry


@pytest.fixture(scope="session")
def redactor() -> RuleRedactor:
    return create_redactor()


@pytest.fixture
def redaction(redactor: RuleRedactor, tmp_path: Path) -> Iterator[Redaction]:
    vault = Vault(tmp_path / "home" / "vault.db")
    yield Redaction(redactor, vault)
    vault.close()


@pytest.fixture
async def private(
    settings: Settings, engine: Any, clock: Any, redactor: RuleRedactor
) -> AsyncIterator[Service]:
    """A service that redacts."""
    settings = structs.replace(settings, redaction=RedactionSettings(on=True))
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        rng=random.Random(1),
        now=clock,
        redaction=Redaction(redactor, Vault(vault_path(settings.folder)), now=clock),
    )
    await service.until_ready(10)
    yield service
    await service.close()
