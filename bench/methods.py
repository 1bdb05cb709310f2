"""Every method once, on SmolLM2-135M: time, memory, held-out accuracy, size, and whether it is served.

    python bench/methods.py
    python bench/methods.py --method full --method prefix --train 200 --epochs 2

The base answers sample tickets four times each, and a simulated chooser picks (short, sorry, asking for the
order number; ``picktune.simulate.Taste``). Each method learns from the same picks in a process of its own, as
a night does it: train, score the held-out picks, probes, registry, the local engine, the canary, and greedy
replies beside the base's. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planned_memory import held

METHODS = ("lora", "qlora", "freeze", "full", "progressive", "prompt", "p-tuning", "prefix")
GIB = 1 << 30


def draw(path: Path, count: int, reply: int, threads: int) -> None:
    """Let the base answer ``count`` tickets four times each, let the chooser pick, and write that down."""
    import msgspec
    import torch
    from picktune.engines.local import LocalEngine
    from picktune.engines.smollm2 import model_folder
    from picktune.records import ChoiceSet, Sampling
    from picktune.simulate import Taste
    from picktune.tickets import sample_conversations

    torch.set_num_threads(threads)
    now, rng, taste = datetime.now(UTC), random.Random(7), Taste(noise=0.0)
    known = sample_conversations("en", now=now)
    tickets = [known[i % len(known)] for i in range(count)]

    async def ask() -> list[list[str]]:
        engine = LocalEngine(model_folder(), queue=count)
        await engine.start()
        sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=reply)
        try:
            said = await asyncio.gather(
                *(
                    engine.generate(
                        [one for one in ticket.messages if one.role != "system"],
                        model=None, n=4, sampling=sampling, seed=place,
                    )
                    for place, ticket in enumerate(tickets)
                )
            )  # fmt: skip
        finally:
            await engine.close()
        return [[one.text for one in replies] for replies in said]

    sets = [
        ChoiceSet(
            slate_id=f"s{place}",
            conversation_id=ticket.id,
            messages=tuple(one for one in ticket.messages if one.role != "system"),
            replies=tuple(replies),
            chosen=taste.choose(replies, rng),
            annotator="bench",
            role="model",
            decided_at=now,
        )
        for place, (ticket, replies) in enumerate(zip(tickets, asyncio.run(ask()), strict=True))
        if len(set(replies)) > 1 and all(map(str.strip, replies))
    ]
    path.write_bytes(msgspec.json.encode(sets))


def recipe_of(task: dict[str, Any]) -> Any:
    """What the night's own defaults are for the method, on rows of the bench's length."""
    from picktune_retrain.mixture import OWN_WEIGHTS, PROMPT_METHODS
    from picktune_retrain.recipes import RATES
    from picktune_retrain.records import Recipe

    method = task["method"]
    like = "full" if method in OWN_WEIGHTS else "prompt" if method in PROMPT_METHODS else "lora"
    return Recipe(
        # A reply that is read anew may have more tokens than were drawn, and none is cut.
        method=method, learning_rate=RATES[like], epochs=task["epochs"], batch=4,
        max_prompt=task["prompt"], max_reply=2 * task["reply"] + 8,
    )  # fmt: skip


def worker(task: dict[str, Any]) -> None:
    """One method from the picks to the replies; prints what it found."""
    import msgspec
    import torch
    from picktune.engines.smollm2 import model_folder
    from picktune.records import ChoiceSet
    from picktune_adapters.registry import Registry
    from picktune_retrain.choice import score
    from picktune_retrain.evaluate import evaluate
    from picktune_retrain.probes import keep_probes
    from picktune_retrain.train import train

    torch.set_num_threads(task["threads"])
    sets = msgspec.json.decode(Path(task["sets"]).read_bytes(), type=list[ChoiceSet])
    learned, kept = sets[: -task["held_out"]], sets[-task["held_out"] :]
    base, recipe, now = model_folder(), recipe_of(task), datetime.now(UTC)
    before = held("VmRSS")
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "trained"
        run = train(
            learned, dataset_id="bench", base_model=base, recipe=recipe, folder=folder,
            state=Path(home) / "state", now=now,
        )  # fmt: skip
        peak = held("VmHWM") - before
        began = time.perf_counter()
        scores = score(kept, base_model=base, adapter=folder, recipe=recipe)
        found = evaluate(kept, scores, beta=recipe.beta)
        scored = time.perf_counter() - began
        keep_probes(folder, base_model=base, recipe=recipe)
        registry = Registry(Path(home) / "registry")
        version = registry.add(
            folder, name="v1", base_model=str(base), base=base, run_id="bench", dataset_id="bench",
            picks=len(learned), method=recipe.method, now=now,
        )  # fmt: skip
        served = asyncio.run(serve(registry, base, kept[: task["asked"]], task["reply"]))
        size = registry.size("v1")
    told = {
        "method": recipe.method,
        "kind": version.kind,
        "train_s": round(run.seconds, 1),
        "score_s": round(scored, 1),
        "peak_gib": round(peak / GIB, 3),
        "size_mib": round(size / 2**20, 3),
        "accuracy": round(found.adapter.accuracy, 3),
        "chance": round(found.chance.accuracy, 3),
        "base": round(found.base.accuracy, 3),
        "log_loss": round(found.adapter.log_loss, 3),
        **served,
    }
    print(json.dumps(told))


async def serve(registry: Any, base: Path, sets: Sequence[Any], reply: int) -> dict[str, Any]:
    """Load the version as the server does, canary and all, and let both arms answer."""
    from picktune.engines.local import LocalEngine
    from picktune.records import Sampling
    from picktune.rollout import Candidacy, roll_out

    engine = LocalEngine(base)
    await engine.start()
    before = held("VmRSS")
    await roll_out(engine, Candidacy.read(registry, "v1"))
    more = held("VmRSS") - before
    sampling = Sampling(temperature=0.0, max_tokens=reply)
    said = await asyncio.gather(
        *(
            engine.generate(one.messages, model=name, n=1, sampling=sampling, seed=0)
            for one in sets
            for name in (None, "v1")
        )
    )
    await engine.close()
    texts = [one[0].text for one in said]
    differ = sum(one != other for one, other in zip(texts[::2], texts[1::2], strict=True))
    return {"serve_gib": round(more / GIB, 3), "differ": differ, "asked": len(sets)}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own found of one method, or why it could not."""
    if task["method"] == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
        return {"method": "qlora", "skipped": "bitsandbytes is not installed (extra qlora)"}
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(task["threads"])}
    command = [sys.executable, __file__, "--worker", json.dumps(task)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{task['method']} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def table_of(results: Sequence[dict[str, Any]], title: str) -> Any:
    """The results, a line a method."""
    from rich.table import Table

    table = Table("method", "comes out as", title=title)
    for column in (
        "train s",
        "peak GiB",
        "held-out accuracy",
        "log-loss",
        "size MiB",
        "served, GiB",
        "differs",
    ):
        table.add_column(column, justify="right")
    for one in results:
        if "skipped" in one:
            table.add_row(one["method"], one["skipped"])
            continue
        table.add_row(
            one["method"], one["kind"], f"{one['train_s']:.1f}", f"{one['peak_gib']:.2f}",
            f"{one['accuracy']:.0%}", f"{one['log_loss']:.3f}", f"{one['size_mib']:,.2f}",
            f"{one['serve_gib']:.2f}", f"{one['differ']} of {one['asked']}",
        )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--method", choices=METHODS, action="append", help="all unless given")
    parser.add_argument("--train", type=int, default=8, help="choice sets to learn from (default 8)")
    parser.add_argument("--held-out", type=int, default=8, help="choice sets to judge by (default 8)")
    parser.add_argument("--epochs", type=int, default=1, help="passes (default 1)")
    parser.add_argument("--prompt", type=int, default=64, help="tokens at most (default 64)")
    parser.add_argument("--reply", type=int, default=16, help="tokens at most (default 16)")
    parser.add_argument("--asked", type=int, default=6, help="prompts that both arms answer (default 6)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: the processors")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    task = options.pop("worker")
    if task is not None:
        draw(Path(task["sets"]), task["draw"], task["reply"], task["threads"]) if "draw" in task else worker(
            task
        )
        return
    from rich.console import Console

    console = Console(stderr=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options["sets"] = str(Path(folder) / "sets.json")
        methods = options.pop("method") or METHODS
        # A few more than are wanted, for replies that are all alike are no choice.
        count = options["train"] + options["held_out"] + 4
        with console.status("the base answers, the chooser picks"):
            command = json.dumps(options | {"draw": count})
            subprocess.run([sys.executable, __file__, "--worker", command], check=True)
        results = []
        for method in methods:
            with console.status(method):
                results.append(measure({**options, "method": method}))
            console.print(json.dumps(results[-1]), style="dim", highlight=False)
    found = next((one for one in results if "chance" in one), {"chance": 0.0, "base": 0.0})
    title = f"SmolLM2-135M, {options['train']} picks; chance {found['chance']:.0%}, base {found['base']:.0%}"
    console.print(table_of(results, title))
    print(json.dumps({"methods": results, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
