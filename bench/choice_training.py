"""Seconds a choice set: Picktune's trainer beside TRL's DPOTrainer, on the same sets, in one run.

    python bench/choice_training.py --prompt 512 --repetitions 5

A set is a prompt and four replies, one of which was picked. Picktune trains on it as one packed row, TRL as
three pairs. Both compute the reference as well, both take an optimiser step after every set, neither uses
gradient checkpointing. Each trainer lives in a process of its own and they take turns; the first set of each
is a warm-up. Beside them, the products of matrices that a set cannot do without are timed alone.

``--second-night`` adds a training of Picktune that finds what the base gives the replies stored by the night
before. TRL computes it again: its ``precompute_ref_log_probs`` finds it only for a dataset that is the same
to the last row, which that of a second night is not. ``--trl-stored`` measures TRL's steps with it as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from choice_workers import choice_sets
from rich.console import Console
from rich.progress import Progress
from rich.table import Table


class Worker:
    """A process that does one step for every line that it is sent."""

    def __init__(self, kind: str, sets: Path, attention: str) -> None:
        self.kind = kind
        self.seconds: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}
        self.errors = (sets.parent / f"{kind}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("choice_workers.py")), kind, str(sets), attention],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def step(self) -> dict[str, Any]:
        assert self.process.stdin is not None  # noqa: S101
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read() says why
        said = self.read()
        self.seconds.setdefault(said["phase"], []).append(said["seconds"])
        self.cpu.setdefault(said["phase"], []).append(said["cpu"])
        return said

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None  # noqa: S101
        for line in self.process.stdout:
            if line.startswith('{"'):
                return dict(json.loads(line))
        self.process.wait()
        self.errors.seek(0)
        raise SystemExit(f"{self.kind} ended with {self.process.returncode}:\n{self.errors.read()[-4000:]}")

    def end(self) -> int:
        """Let it finish; its peak memory in bytes."""
        peak = int(self.read()["peak"])
        self.process.wait()
        return peak

    def typical(self, *phases: str) -> float:
        """The medians of phases, their warm-ups left out, together."""
        return sum(median(self.seconds[phase][1:]) for phase in phases)

    def typical_cpu(self, *phases: str) -> float:
        """The same in seconds of all processors together."""
        return sum(median(self.cpu[phase][1:]) for phase in phases)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from picktune.engines.smollm2 import model_folder
    from transformers import AutoTokenizer

    count = 1 + options.repetitions * options.sets
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    path = folder / "sets.json"
    path.write_bytes(msgspec.json.encode(choice_sets(count, options.prompt, options.reply, tokenizer)))

    again = ["picktune-again"] if options.second_night else []
    stored = ["trl-stored"] if options.trl_stored else []
    kinds = ["picktune", *again, "trl", *stored, "limit"]
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("taking turns", total=count + 1)
        if again:
            before = Worker("fill", path, options.trl_attention)
            before.step()
            before.end()
        workers = {kind: Worker(kind, path, options.trl_attention) for kind in kinds}
        for _ in range(count):
            for kind, worker in workers.items():
                worker.step()
                # A set has a reference and a step, in that order: two turns to one of TRL's.
                if not kind.startswith("trl"):
                    worker.step()
            bar.advance(task)
        peaks = {kind: worker.end() for kind, worker in workers.items()}
        parity = Worker("parity", path, options.trl_attention)
        nats = parity.step()["nats"]
        parity.end()
        bar.advance(task)

    ours, theirs, limit = workers["picktune"], workers["trl"], workers["limit"]
    both = "reference", "step"
    seconds, trl_seconds, limit_seconds = ours.typical(*both), theirs.typical("step"), limit.typical(*both)
    result = {
        "speedup_vs_trl": round(trl_seconds / seconds, 2),
        "seconds_per_set": round(seconds, 3),
        "trl_seconds_per_set": round(trl_seconds, 3),
        "peak_memory_ratio": round(peaks["trl"] / peaks["picktune"], 2),
        "matmul_share": round(limit_seconds / seconds, 3),
        "parity_nats": float(f"{nats:.2g}"),
        "reference_seconds": round(ours.typical("reference"), 3),
        "step_seconds": round(ours.typical("step"), 3),
        "matmul_seconds": round(limit_seconds, 3),
        "peak_gib": round(peaks["picktune"] / 2**30, 2),
        "trl_peak_gib": round(peaks["trl"] / 2**30, 2),
        "trl_attention": options.trl_attention,
        "prompt": options.prompt,
        "reply": options.reply,
        "repetitions": options.repetitions,
        "sets": options.sets,
        "cpu_speedup_vs_trl": round(theirs.typical_cpu("step") / ours.typical_cpu(*both), 2),
        "cpu_matmul_share": round(limit.typical_cpu(*both) / ours.typical_cpu(*both), 3),
    }
    if again:
        second = workers["picktune-again"]
        cpu = second.typical_cpu(*both)
        result |= {
            "second_night_speedup_vs_trl": round(trl_seconds / second.typical(*both), 2),
            "second_night_seconds_per_set": round(second.typical(*both), 3),
            "second_night_reference_seconds": round(second.typical("reference"), 3),
            "second_night_matmul_share": round(limit.typical("step") / second.typical(*both), 3),
            "second_night_cpu_speedup_vs_trl": round(theirs.typical_cpu("step") / cpu, 2),
        }
    if stored:
        precomputed = workers["trl-stored"].typical("step")
        result["trl_stored_seconds_per_set"] = round(precomputed, 3)
        if again:
            result["second_night_speedup_vs_trl_stored"] = round(
                precomputed / workers["picktune-again"].typical(*both), 2
            )
    return result


def show(result: dict[str, Any]) -> None:
    table = Table(title=f"One choice set: prompt {result['prompt']}, four replies of about {result['reply']}")
    for column in ("", "Picktune", "TRL"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("seconds", f"{result['seconds_per_set']:.2f}", f"{result['trl_seconds_per_set']:.2f}")
    table.add_row("  of which the reference", f"{result['reference_seconds']:.2f}", "")
    table.add_row("  products of matrices alone", f"{result['matmul_seconds']:.2f}", "")
    table.add_row("peak memory, GiB", f"{result['peak_gib']:.2f}", f"{result['trl_peak_gib']:.2f}")
    table.add_row("times as fast", f"{result['speedup_vs_trl']:.1f}", "1")
    table.add_row("  by processor time", f"{result['cpu_speedup_vs_trl']:.1f}", "1")
    table.add_row("share of the matrix-multiply limit reached", f"{result['matmul_share']:.0%}", "")
    if "second_night_seconds_per_set" in result:
        table.add_row("second night, seconds", f"{result['second_night_seconds_per_set']:.2f}", "")
        table.add_row("  times as fast", f"{result['second_night_speedup_vs_trl']:.1f}", "1")
        table.add_row("    by processor time", f"{result['second_night_cpu_speedup_vs_trl']:.1f}", "1")
        share = f"{result['second_night_matmul_share']:.0%}"
        table.add_row("  share of the matrix-multiply limit reached", share, "")
    if "trl_stored_seconds_per_set" in result:
        stored = f"{result['trl_stored_seconds_per_set']:.2f}"
        table.add_row("seconds with TRL's precomputed reference", "", stored)
    table.add_row("fp32 log-probabilities differ by", f"{result['parity_nats']:.1e} nats", "")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompt", type=int, default=512, help="tokens of a prompt (default 512)")
    parser.add_argument("--reply", type=int, default=100, help="about so many tokens a reply (default 100)")
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each trainer (default 5)")
    parser.add_argument("--sets", type=int, default=1, help="choice sets a turn (default 1)")
    parser.add_argument(
        "--trl-attention",
        choices=("sdpa", "eager"),
        default="sdpa",
        help="TRL's attention (default sdpa, its own)",
    )
    parser.add_argument("--second-night", action="store_true", help="also train with the stored reference")
    parser.add_argument(
        "--trl-stored", action="store_true", help="also time TRL's steps with precompute_ref_log_probs"
    )
    with tempfile.TemporaryDirectory() as folder:
        result = measure(parser.parse_args(), Path(folder))
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
