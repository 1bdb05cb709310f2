"""The sidecar is the middleware around an application that has nothing else."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from picktune.app import create_app
from picktune.errors import MissingExtra
from picktune.service import create_service
from picktune.settings import Settings
from starlette.testclient import TestClient


def test_it_starts_serves_and_closes(settings: Settings, engine: Any) -> None:
    service = create_service(settings, engine=engine)
    with TestClient(create_app(service=service)) as client:
        assert client.get("/healthz").json()["ok"] is True
        assert client.get("/picktune/healthz").json() == client.get("/healthz").json()
        assert set(client.get("/readyz").json()) >= {"ready", "engine", "log", "registry", "adapters"}
        home = client.get("/", follow_redirects=False)
        assert (home.status_code, home.headers["location"]) == (307, "/picktune/workbench")
        assert client.get("/picktune/workbench").status_code == 401
        missing = client.get("/nothing")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
        wrong = client.post("/healthz")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert engine.closed


def test_settings_are_enough(settings: Settings) -> None:
    asked = Settings(home=settings.home, engine="vllm", vllm_url="http://127.0.0.1:9", poll=0.05)
    with TestClient(create_app(asked)) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["log"]["ok"]) == (503, True)


def test_without_torch_the_embedded_engine_names_the_extra(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(MissingExtra, match=r"picktune\[local\]"):
        create_app(Settings(home=settings.home, model="somewhere"))


@pytest.mark.anyio
async def test_a_bug_has_the_one_shape_too(settings: Settings, engine: Any) -> None:
    service = create_service(settings, engine=engine)
    app = create_app(service=service)

    async def readiness() -> None:
        raise RuntimeError("the password is hunter2")

    service.readiness = readiness  # type: ignore[assignment,method-assign]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text
    await service.close()
