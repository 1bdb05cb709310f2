"""A running server takes up changed settings, says which have to wait, and keeps its own if they are bad."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from picktune.audit import AuditLog
from picktune.reload import LIVE, Reloader
from picktune.service import Service
from picktune.settings import Settings, load_settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picktune.toml"
    path.write_text("timeout = 5.0\n", "utf-8")
    return path


def save(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text, "utf-8")


def reloader(service: Service, file: Path) -> Reloader:
    def read() -> Settings:
        return load_settings(file, {}, home=service.settings.home)

    return Reloader(service, read, file, as_read=read())


async def test_what_is_looked_up_at_use_changes_at_once(
    service: Service, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader = reloader(service, file)
    save(file, 'policy = "1+1"\nport = 9000\nconsent_default = "log"\n[rates]\nkey_slates = 7\n')
    with caplog.at_level(logging.INFO, "picktune"):
        await loader.reload("SIGHUP")
    settings = service.settings
    assert (settings.policy, settings.rates.key_slates, settings.consent_default) == ("1+1", 7, "log")
    assert settings.port == Settings().port
    assert "next start: port" in caplog.text
    entry = list(AuditLog(settings.folder).entries())[-1]
    assert (entry.action, entry.details["at_next_start"]) == ("configuration_reloaded", "port")
    assert "policy" in entry.details["now"]
    assert (
        service.metrics.registry.get_sample_value("picktune_configuration_reloads_total", {"result": "ok"})
        == 1
    )


@pytest.mark.parametrize("bad", ["timeout = -1\n", "policy = \n", "tiemout = 3\n", None])
async def test_bad_settings_change_nothing(service: Service, file: Path, bad: str | None) -> None:
    loader = reloader(service, file)
    before = service.settings
    save(file, bad)
    await loader.reload("SIGHUP")
    assert service.settings == before
    readiness = await service.readiness()
    assert readiness.ready
    assert "stay as they were" in (readiness.configuration or "")
    save(file, "timeout = 6.0\n")
    await loader.reload("SIGHUP")
    assert service.settings.timeout == 6.0
    assert (await service.readiness()).configuration is None


async def test_a_changed_file_and_a_signal_are_noticed(service: Service, file: Path) -> None:
    loader = reloader(service, file)
    # With the signal the file is not looked at: only the signal can have been noticed.
    for every, change in ((0.02, lambda: None), (600.0, lambda: os.kill(os.getpid(), signal.SIGHUP))):
        running = asyncio.create_task(loader.run(every))
        await asyncio.sleep(0.05)  # it listens now
        wanted = service.settings.timeout + 1
        save(file, f"timeout = {wanted}\n")
        change()
        async with asyncio.timeout(10):
            while True:
                if service.settings.timeout == wanted:
                    break
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_only_settings_are_named() -> None:
    names: Any = Settings.__struct_fields__
    assert set(names) >= LIVE
