"""The peak memory of a nightly run, on few choice sets and on many: it should not grow with the log.

    python bench/nightly_memory.py --few 1000 --many 100000 --max-steps 50

Each night is a whole one in a process of its own, dataset, training, evaluation, report and all, on a tiny
random model; ``--max-steps`` bounds the training. What is measured is the kernel's own high-water mark of the
process (VmHWM; ru_maxrss would count what the parent held too). ``growth`` is how much more the large log
takes, in percent. The log is built in bulk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import log_biglog
from nightly_home import tiny_model
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

WORKER = """
import json, sys
from picktune.settings import Settings
from picktune_retrain.gate import Gate
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan
from picktune_retrain.records import Recipe
import torch
torch.set_num_threads(1)
home, model, steps = sys.argv[1:]
recipe = Recipe(epochs=1, max_steps=int(steps), max_prompt=128, max_reply=256)
plan = Plan(recipe=recipe, gate=Gate(max_kl=1e6), replies=2)
ended = nightly(Settings(home=home, model=model, roles=("agent",)), plan)
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"peak": peak, "exit_code": ended.exit_code, "message": ended.message,
                  "counts": ended.dataset.counts if ended.dataset else None}))
"""


def night(home: Path, model: Path, steps: int) -> dict[str, Any]:
    """One night in a process of its own; ends the benchmark if it did not train."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(home), str(model), str(steps)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"a night failed: {done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if said["exit_code"] not in (0, 20):
        sys.exit(f"a night did not train: {said['message']}")
    return said | {"seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Run both nights, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--max-steps", type=int, default=50)
    options = parser.parse_args()
    table = Table("choice sets", "to train on", "held out", "peak MB", "seconds")
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name, Progress() as progress:
        folder = Path(name)
        model = tiny_model(folder / "model")
        for sets in (options.few, options.many):
            home = folder / f"home-{sets}"
            home.mkdir()
            task = progress.add_task(f"the log of {sets}", total=sets)
            tell = lambda what, done, total, task=task: progress.update(task, completed=done)  # noqa: E731
            log_biglog.build(home / "picktune.db", sets, tell, undecided=0)
            task = progress.add_task(f"the night on {sets}", total=None)
            said = night(home, model, options.max_steps)
            progress.update(task, total=1, completed=1)
            peaks.append(said["peak"] / 1e6)
            counts = said["counts"]
            table.add_row(
                str(sets), str(counts["train"]), str(counts["test"]), f"{peaks[-1]:.0f}", str(said["seconds"])
            )
    Console().print(table)
    few, many = peaks
    sizes = {"few": options.few, "many": options.many, "few_mb": round(few, 1), "many_mb": round(many, 1)}
    print(json.dumps(sizes | {"growth_percent": round(100 * (many / few - 1), 1)}))


if __name__ == "__main__":
    main()
