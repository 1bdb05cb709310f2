"""Whether a vLLM server answers base requests as the base, once its adapter slots are full.

    scripts/vllm serve sample --port 8000 --max-loras 2          # in one shell
    python bench/arm_integrity.py --slots 2                      # in another

Makes as many random adapters as there are slots, loads them, and compares greedy base replies with their
log-probabilities: alone, beside an adapter's request, and alone again. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from picktune_adapters.tensors import read_header
from safetensors.numpy import save_file

QUESTIONS = (
    "My parcel has not arrived and the tracking page has not changed for a week. What now?",
    "I was charged twice for the same order. How do I get my money back?",
    "Can I return shoes that I have worn once?",
    "Do you ship to Norway, and what does it cost?",
    "My discount code does not work. What can I do?",
    "The lamp came broken. I want a new one.",
)
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK = 8
Reply = tuple[str, list[float]]


def make_adapter(folder: Path, model: Path, seed: int) -> None:
    """A random LoRA on all linear layers, strong enough to change every reply."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for file in sorted(model.glob("*.safetensors")):
        for name, entry in read_header(file).entries.items():
            module = name.removesuffix(".weight")
            if module.rpartition(".")[2] in LINEAR:
                fan_out, fan_in = entry.shape
                prefix = f"base_model.model.{module}"
                a = rng.normal(0, fan_in**-0.5, (RANK, fan_in))
                b = rng.normal(0, 0.05, (fan_out, RANK))
                tensors[f"{prefix}.lora_A.weight"] = a.astype(np.float32)
                tensors[f"{prefix}.lora_B.weight"] = b.astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK}
    config |= {"target_modules": list(LINEAR), "bias": "none", "base_model_name_or_path": str(model)}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")


class Server:
    """A vLLM server, asked greedily."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self.client = client
        self.base = base

    async def say(self, question: str, model: str | None = None) -> Reply:
        body = {"model": model or self.base, "messages": [{"role": "user", "content": question}]}
        body |= {"temperature": 0, "max_tokens": 24, "logprobs": True}
        answer = (await self.client.post("/v1/chat/completions", json=body)).raise_for_status().json()
        choice: dict[str, Any] = answer["choices"][0]
        return choice["message"]["content"], [one["logprob"] for one in choice["logprobs"]["content"]]

    async def load(self, name: str, folder: Path) -> None:
        body = {"lora_name": name, "lora_path": str(folder)}
        (await self.client.post("/v1/load_lora_adapter", json=body)).raise_for_status()
        await self.say("Hello", name)


def apart(one: Reply, other: Reply) -> float:
    """The largest difference of two replies' log-probabilities, in nats, as far as both go."""
    return max(abs(a - b) for a, b in zip(one[1], other[1], strict=False))


async def run(url: str, slots: int, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
        models = (await client.get("/v1/models")).raise_for_status().json()["data"]
        base = next(one for one in models if one["parent"] is None)
        version = (await client.get("/version")).json()["version"]
        server = Server(client, base["id"])
        alone = [await server.say(one) for one in QUESTIONS]
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for number in range(slots):
                name = f"integrity-{Path(folder).name}-{number}"
                make_adapter(Path(folder, name), Path(base["root"]), number)
                await server.load(name, Path(folder, name))
                names.append(name)
            last = names[-1]
            tuned = [await server.say(one, last) for one in QUESTIONS]
            # New questions for the company, so that no cache answers for the base.
            fresh = [f"Please be brief. {one}" for one in QUESTIONS]
            asked = [asyncio.gather(server.say(one, last), server.say(one)) for one in QUESTIONS]
            beside = [pair[1] for pair in await asyncio.gather(*asked)]
            asked = [asyncio.gather(server.say(one, last), server.say(one)) for one in fresh]
            new_tuned, new_beside = zip(*await asyncio.gather(*asked), strict=True)
            later = [await server.say(one) for one in fresh]
            for name in names:
                await client.post("/v1/unload_lora_adapter", json={"lora_name": name})
    report(version, slots, alone, tuned, beside, list(new_tuned), list(new_beside), later)


def report(
    version: str,
    slots: int,
    alone: list[Reply],
    tuned: list[Reply],
    beside: list[Reply],
    new_tuned: list[Reply],
    new_beside: list[Reply],
    later: list[Reply],
) -> None:
    """Print what was found, and as JSON."""
    found = {
        "vllm": version,
        "slots": slots,
        "questions": len(QUESTIONS),
        "same_beside": sum(a[0] == b[0] for a, b in zip(alone, beside, strict=True)),
        "adapters_beside": sum(a[0] == b[0] for a, b in zip(tuned, beside, strict=True)),
        "nats_from_base": round(max(map(apart, alone, beside)), 3),
        "nats_from_adapter": round(max(map(apart, tuned, beside)), 3),
        "new_adapters_beside": sum(a[0] == b[0] for a, b in zip(new_tuned, new_beside, strict=True)),
        "new_nats_from_adapter": round(max(map(apart, new_tuned, new_beside)), 3),
        "new_adapters_later": sum(a[0] == b[0] for a, b in zip(new_tuned, later, strict=True)),
    }
    for name, value in found.items():
        print(f"{name:>24}  {value}")
    print(json.dumps(found))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", help="the server's API key")
    parser.add_argument("--slots", type=int, required=True, help="how many adapters to load: its --max-loras")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.url, arguments.slots, arguments.key))


if __name__ == "__main__":
    main()
