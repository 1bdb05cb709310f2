"""The integrity check against the defect that it is there for, on the server that has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from picktune.engines.integrity import check_integrity
from picktune.engines.vllm import VLLMEngine
from picktune.errors import EngineError
from picktune.records import Message, Sampling

pytestmark = [pytest.mark.anyio, pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]

SLOTS = 8  # of the fixture ``vllm_server``


async def test_a_server_whose_adapter_slots_are_full_is_found_out(
    vllm_server: Any, smollm2: Path, tiny_adapter: Any
) -> None:
    """Until then, what strays goes through an adapter of zeros, and the check passes: see the contract."""
    engine = VLLMEngine(vllm_server.url)
    try:
        await engine.start()
        for number in range(SLOTS):
            name = f"slot-{number}"
            await engine.load(name, tiny_adapter(name, number, 0.05, base=smollm2))
            hello = [Message(role="user", content="Hello")]
            await engine.generate(hello, model=name, n=1, sampling=Sampling(max_tokens=1), seed=0)
        with pytest.raises(EngineError, match=r"came from the other arm|hardly ever the same"):
            await check_integrity(engine, name)
    finally:
        await engine.close()
