"""The log at size: how fast it writes and answers, what it takes, and what becomes of it under faults.

    python bench/log.py                # a million slates, a thousand kills: about 15 minutes and 5 GB of disk
    python bench/log.py --quick        # the same in small, in a minute

The last line is JSON. Everything lies in a temporary folder, which is deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from log_biglog import END, MODEL, BigLog, Progress, build
from log_writes import measure
from picktune.commands.progress import progress_bar
from picktune.log import SQLiteLogReader
from picktune.log.verify import verify
from picktune.support import support_rate
from picktune.supportfeed import SupportFeed
from rich.console import Console
from rich.table import Table

# What a process held at most since it began, in kB: the last thing that it says.
CLI = """
import atexit, re
from picktune.cli import main
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
main()
"""


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each."""
    took = []
    for _ in range(times):
        before = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - before))
    return took


def support_by_tag(reader: SQLiteLogReader) -> dict[str, float]:
    """The support rate by tag over the last 30 days, at first and then; compared with the definition."""
    feed, since = SupportFeed(), END - timedelta(days=30)

    def ask() -> Any:
        return feed.shares(reader, "tag", model=MODEL, since=since)

    (cold,) = timed(ask, 1)
    warm = timed(ask, 9)
    decisions = list(reader.decisions(since=since))
    before = time.perf_counter()
    wanted = support_rate(decisions, model=MODEL)
    slow = 1000 * (time.perf_counter() - before)
    if ask() != wanted.by_tag:
        raise SystemExit("the support rate by tag is not that of its definition")
    return {
        "support_by_tag_ms": statistics.median(warm),
        "support_cold_ms": cold,
        "support_records_ms": slow,
        "decisions_in_30_days": len(decisions),
    }


def next_conversation(reader: SQLiteLogReader, count: int) -> dict[str, float]:
    """The open conversation that waits longest, then the next one, and so on, each with its waiting slate."""
    took = []
    for number in range(count):
        before = time.perf_counter()
        (conversation,) = reader.conversations(limit=1, offset=number)
        if reader.waiting_slate(conversation.id, viewer="somebody") is None:
            raise SystemExit(f"nothing waits in conversation {conversation.id}")
        took.append(1000 * (time.perf_counter() - before))
    return {
        "next_conversation_ms": sorted(took)[int(0.99 * len(took))],
        "next_conversation_max_ms": max(took),
    }


def _spent() -> float:
    """Seconds of processor time of all processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def export(reader: SQLiteLogReader, home: Path, picks: int) -> dict[str, float]:
    """The newest picks as TRL rows, by the command in a process of its own, its start included."""
    times = sorted((one.decided_at for one in reader.decisions(since=END - timedelta(days=60))), reverse=True)
    since = times[min(picks, len(times)) - 1]
    out = home / "rows.jsonl"
    before, spent = time.perf_counter(), _spent()
    options = ("--home", str(home), "--out", str(out), "--since", f"{since:%Y-%m-%dT%H:%M:%S}")
    ran = subprocess.run(
        [sys.executable, "-c", CLI, "export", "trl-preference", *options], capture_output=True, text=True
    )
    took, spent = time.perf_counter() - before, _spent() - spent
    if ran.returncode:
        raise SystemExit(f"the export failed: {ran.stderr}")
    card = json.loads(out.with_name("rows.jsonl.card.json").read_text("utf-8"))
    return {
        "export_100k_s": took,
        "export_100k_cpu_s": spent,
        "export_rss_mb": int(ran.stdout.split()[-1]) / 1024,
        "exported_picks": card["decisions"],
        "exported_rows": card["rows"],
    }


def at_size(folder: Path, slates: int, picks: int, check: bool, progress: Progress) -> dict[str, Any]:
    """Everything that is asked of a big log."""
    before = time.perf_counter()
    log: BigLog = build(folder / "picktune.db", slates, progress)
    built = time.perf_counter() - before
    found: dict[str, Any] = {
        "slates": slates,
        "candidates": log.candidates,
        "picks": log.picks,
        "build_s": built,
        "file_mb": log.path.stat().st_size / 1e6,
        "bytes_per_candidate": log.bytes_per_candidate,
    }
    with SQLiteLogReader(log.path) as reader:
        progress("asking", 0, 3)
        found |= next_conversation(reader, min(200, slates // 200))
        progress("asking", 1, 3)
        found |= support_by_tag(reader)
        progress("asking", 2, 3)
        found |= export(reader, folder, picks)
        progress("asking", 3, 3)
    if check:
        before = time.perf_counter()
        if not verify(log.path, progress=progress).sound:
            raise SystemExit("the big log does not verify")
        found["verify_s"] = time.perf_counter() - before
    return found


def provoked(folder: Path, kills: int, progress: Progress) -> dict[str, Any]:
    """The faults, from a process without threads, which may fork as often as it likes."""
    script = Path(__file__).with_name("log_faults.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), str(kills)], stdout=subprocess.PIPE, text=True
    ) as process:
        told: Any = None
        for line in process.stdout or ():
            told = json.loads(line)
            if isinstance(told, list):
                progress(*told)
    if process.returncode:
        raise SystemExit("the log broke a promise; see above")
    return dict(told)


def main() -> None:
    """Measure, print a table, and end in a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slates", type=int, default=1_000_000, help="How many slates the big log has.")
    parser.add_argument("--kills", type=int, default=1000, help="How many processes are killed.")
    parser.add_argument(
        "--rounds", type=int, default=5, help="How often ours and the naive writer take turns."
    )
    parser.add_argument("--quick", action="store_true", help="20,000 slates, 50 kills, 2 rounds.")
    parser.add_argument("--folder", type=Path, help="Where the temporary folder is made.")
    arguments = parser.parse_args()
    slates, kills, rounds = arguments.slates, arguments.kills, arguments.rounds
    if arguments.quick:
        slates, kills, rounds = 20_000, 50, 2
    with tempfile.TemporaryDirectory(prefix="picktune-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        with progress_bar() as progress:
            writes = measure(folder, rounds, 6000 if rounds > 2 else 3000, progress)
            faults = provoked(folder, kills, progress)
            found = at_size(folder, slates, 100_000, True, progress)
    answer = {
        "durable_ratio": writes.ours / writes.naive,
        "durable_ratio_threads": writes.ours / writes.naive_threads,
        "ack_p99_ms": writes.ack_p99_ms,
        "ack_p50_ms": writes.ack_p50_ms,
        "durable_picks_per_s": writes.ours,
        "naive_picks_per_s": writes.naive,
        "naive_threads_picks_per_s": writes.naive_threads,
        "fsync_ms": writes.fsync_ms,
        **found,
        **faults,
    }
    table = Table("What", "Measured", title="The log")
    for key, value in answer.items():
        table.add_row(key, f"{value:,.2f}" if isinstance(value, float) else f"{value}")
    Console().print(table)
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in answer.items()}))


if __name__ == "__main__":
    main()
