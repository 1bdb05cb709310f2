"""A vLLM of our own for the faults: private, with a key, and with two slots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from picktune.engines.spawn import SpawnedVLLM, VLLMCommand, vllm_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def spawned(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpawnedVLLM]:
    """Started by the code behind ``picktune serve --spawn-vllm``, in float32; its files share it.

    ``test_gone`` stops it.
    """
    python = ROOT / ".venv-vllm" / "bin" / "python"
    if not python.exists():
        pytest.skip("vLLM is not installed; run: scripts/vllm install")

    def make(port: int, key: str) -> VLLMCommand:
        options = ("--dtype", "float32", "--max-model-len", "2048")
        return vllm_command(
            str(python), str(smollm2), port=port, key=key, max_rank=16, max_loras=2, options=options
        )

    one = SpawnedVLLM(make, tmp_path_factory.mktemp("spawned") / "vllm.log")
    one.start()
    until_up(one)
    yield one
    one.stop()


def until_up(one: SpawnedVLLM, starts: int = 1, seconds: float = 180.0) -> None:
    """Wait until it answers after so many starts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if one.starts >= starts and httpx.get(f"{one.url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    pytest.fail(one.log.read_text("utf-8", errors="replace")[-3000:])
