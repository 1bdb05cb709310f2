"""The integrity check against the defect that it is there for, on the server that has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from picktune.engines.integrity import check_integrity
from picktune.engines.vllm import VLLMEngine
from picktune.errors import EngineError

pytestmark = [pytest.mark.anyio, pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]


async def test_a_server_whose_adapter_slots_are_full_is_found_out(
    start_vllm: Callable[..., Any], smollm2: Path, tiny_adapter: Any
) -> None:
    server = start_vllm(smollm2, "--max-loras", "2", "--dtype", "float32")
    engine = VLLMEngine(server.url)
    try:
        await engine.start()
        # With one slot still empty, whatever strays goes through an adapter of zeros.
        await engine.load("first", tiny_adapter("first", 1, 0.05, base=smollm2))
        await check_integrity(engine, "first")
        await engine.load("second", tiny_adapter("second", 2, 0.05, base=smollm2))
        with pytest.raises(EngineError, match=r"came from the other arm|never the same"):
            await check_integrity(engine, "second")
    finally:
        await engine.close()
