"""``picktune doctor`` against processes with one thing wrong each; vLLM itself is in tests/vllm."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest


def findings(run: Callable[..., Any], url: str, code: int) -> dict[str, Any]:
    told = json.loads(run("doctor", "--vllm-url", url, "--json", code=code).stdout)
    assert told["sound"] is (code == 0)
    (server,) = told["servers"]
    assert server["url"] == url
    return {one["check"]: one for one in server["findings"]}


def test_a_server_with_all_that_is_needed(run: Any, upstreams: Any, monkeypatch: Any) -> None:
    (server,) = upstreams(1)
    server.does(key="secret")
    monkeypatch.setenv("PICKTUNE_VLLM_KEY", "secret")
    found = findings(run, server.url, 0)
    assert {one["level"] for one in found.values()} == {"ok"}
    assert found["rank"]["says"] == "up to 16"
    assert server.seen()["adapters"] == {}
    assert server.seen()["bodies"] == []
    said = run("doctor", "--vllm-url", server.url).output
    assert "nothing is at fault" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("does", "check", "level", "mend"),
    [
        ({"loading": False}, "loading", "fault", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
        ({"lora": False}, "lora", "fault", "--enable-lora"),
        ({"sees": False}, "disk", "fault", "same path"),
        ({"key": "other"}, "key", "fault", "vllm_key"),
        ({}, "key", "warning", "--api-key"),
        ({"version": "0.9.1"}, "version", "warning", "tests/vllm"),
        ({"slots": 2}, "slots", "warning", "--max-loras 4"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_change(
    run: Any, upstreams: Any, does: dict[str, Any], check: str, level: str, mend: str
) -> None:
    (server,) = upstreams(1)
    server.does(**does)
    found = findings(run, server.url, 1 if level == "fault" else 0)
    assert (found[check]["level"], mend in found[check]["mend"]) == (level, True)


def test_an_adapter_that_speaks_and_is_too_large(
    run: Any, upstreams: Any, home: Any, tiny_adapter: Any
) -> None:
    from picktune.records import utc_now
    from picktune_adapters.registry import Registry

    registry = Registry(home / "registry")
    folder = tiny_adapter("large", 1, rank=32)
    registry.add(folder, name="large", base_model="other", run_id="r", dataset_id="d", picks=1, now=utc_now())
    registry.move("challenger", "large", by="test", reason="admitted", now=utc_now())
    (server,) = upstreams(1)
    found = findings(run, server.url, 1)
    assert "--max-lora-rank 32" in found["rank"]["mend"]
    assert "trained on other" in found["base"]["says"]


def test_nothing_listens_or_something_else(run: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        found = findings(run, url, 1)
    assert list(found) == ["reachable"]
    assert "scripts/vllm serve" in found["reachable"]["mend"]
