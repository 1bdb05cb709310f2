"""The peak memory of a training, planned from config.json and measured: in turn, for several shapes of work.

    python bench/planned_memory.py --precision bf16 --prompt 512 --reply 100 --batch 1

Each training runs in a process of its own: two or more optimiser steps of ``picktune_retrain.train``. What is
measured is the kernel's own high-water mark (VmHWM) less what the process held after its imports (VmRSS).
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WORDS = "where is my parcel order refund please thank you we can will look again tomorrow".split()  # noqa: SIM905


def held(what: str) -> int:
    """A line of this process's status in bytes: VmRSS is what it holds, VmHWM the most it ever held."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024


def worker(task: dict[str, Any]) -> None:
    """Train as the task says, and print what was held before and at most."""
    from picktune.engines.smollm2 import model_folder
    from picktune.records import ChoiceSet, Message
    from picktune_retrain.records import Recipe
    from picktune_retrain.train import torch, train
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(task["threads"])
    model = task["model"] or str(model_folder())
    rng = random.Random(7)
    words = lambda: " ".join(rng.choices(WORDS, k=2 * max(task["prompt"], task["reply"])))  # noqa: E731
    tokenizer = AutoTokenizer.from_pretrained(model)

    def reply() -> str:
        # Replies are never cut in training: as long as was planned, with the token that ends the turn.
        ids = tokenizer(words(), add_special_tokens=False)["input_ids"][: task["reply"] - 1]
        return str(tokenizer.decode(ids))

    # Longer than the recipe lets through, so that every prompt has the length that was planned.
    sets = [
        ChoiceSet(
            slate_id=f"set-{i}",
            conversation_id=f"conversation-{i}",
            messages=(Message(role="user", content=words()),),
            replies=tuple(reply() for _ in range(task["replies"])),
            chosen=i % task["replies"],
            annotator="bench",
            role="model",
            decided_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for i in range(task["steps"] * task["batch"])
    ]
    recipe = Recipe(
        rank=task["rank"], batch=task["batch"], epochs=1, max_prompt=task["prompt"], max_reply=task["reply"],
        dtype={"fp32": "float32", "bf16": "bfloat16"}[task["precision"]],
    )  # fmt: skip
    # What a training imports only when it meets the model is part of the imports too.
    with torch.device("meta"):
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    import peft  # noqa: F401

    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    with tempfile.TemporaryDirectory() as folder:
        train(
            sets, dataset_id="bench", base_model=model, recipe=recipe, folder=Path(folder) / "adapter",
            now=datetime.now(UTC),
        )  # fmt: skip
    print(json.dumps({"before": before, "peak": held("VmHWM")}))


def compare(task: dict[str, Any]) -> dict[str, Any]:
    """The plan beside what a process of its own measured; bytes."""
    from picktune_retrain.memory import Work, measure
    from picktune_retrain.shape import shape

    one = shape(task["model"])
    fields = {name: task[name] for name in ("precision", "rank", "prompt", "reply", "replies", "batch")}
    work = Work(method="lora", **fields)
    parts = measure(one, work)
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(task["threads"])}
    command = [sys.executable, __file__, "--worker", json.dumps(task)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the training ended with {done.returncode}:\n{done.stderr[-4000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    measured = found["peak"] - found["before"]
    return {
        **task,
        "parameters": one.parameters,
        "row_tokens": work.row.tokens,
        "planned": parts.peak,
        "measured": measured,
        "ratio": round(parts.peak / measured, 3),
        "imports": found["before"],
        "parts": {name: getattr(parts, name) for name in parts.__struct_fields__},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", help="a folder; the sample model unless given")
    parser.add_argument("--precision", choices=("fp32", "bf16"), action="append", help="both unless given")
    parser.add_argument("--prompt", type=int, default=512, help="tokens (default 512)")
    parser.add_argument("--reply", type=int, default=100, help="tokens (default 100)")
    parser.add_argument("--replies", type=int, default=4, help="how many a set (default 4)")
    parser.add_argument("--batch", type=int, default=1, help="sets a step (default 1)")
    parser.add_argument("--rank", type=int, default=16, help="of the adapter (default 16)")
    parser.add_argument("--steps", type=int, default=3, help="optimiser steps (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="for products of matrices (default 1)")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    if options.pop("worker") is not None:
        worker(parser.parse_args().worker)
        return
    precisions = options.pop("precision") or ["fp32", "bf16"]
    results = [compare({**options, "precision": precision}) for precision in precisions]

    from rich.console import Console
    from rich.table import Table

    table = Table(
        "precision", title=f"Peak of {results[0]['parameters']:,} parameters, GiB above the imports"
    )
    for column in ("row, tokens", "planned", "measured", "planned / measured"):
        table.add_column(column, justify="right")
    for one in results:
        sizes = (f"{one[name] / 2**30:.3f}" for name in ("planned", "measured"))
        table.add_row(one["precision"], str(one["row_tokens"]), *sizes, f"{one['ratio']:.2f}")
    Console(stderr=True).print(table)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
