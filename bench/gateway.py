"""The gateway's price: what Picktune adds to a call, beside LiteLLM's proxy, and what it holds.

    python bench/gateway.py                     # about eight minutes; LiteLLM is installed the first time
    python bench/gateway.py --quick             # the same in small, in two or three
    python bench/gateway.py --without litellm --without vllm

The last line is JSON. Everything lies in a temporary folder, which is deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gateway_load import Generator
from gateway_peers import install_litellm, litellm, picktune, upstream
from gateway_phases import (
    HELD,
    SLOWEST,
    Target,
    added,
    chat,
    decidable,
    highest_rates,
    memory,
    picks,
    targets,
)
from gateway_slates import ratio, slate_seconds
from picktune.commands.progress import progress_bar
from rich.console import Console
from rich.table import Table

Rows = list[tuple[str, str, str, str]]

PICKS = 300.0  # a second


def main() -> None:
    """Measure, print the table, and the figures as one line of JSON."""
    asked = _arguments()
    version = None if "litellm" in asked.without else install_litellm()
    rows: Rows = []
    with tempfile.TemporaryDirectory(prefix="picktune-bench-") as name, progress_bar() as tell:
        figures = _against_upstream(Path(name), asked, tell, rows)
        if "vllm" not in asked.without:
            figures |= _against_vllm(Path(name), asked, tell, rows)
    table = Table(title=f"The gateway beside LiteLLM's proxy {version or '(left out)'}")
    for column in ("what", "measured", "ratio", "target"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=118).print(table)
    print(json.dumps({name: _rounded(value) for name, value in figures.items()}))


def _against_upstream(
    folder: Path, asked: argparse.Namespace, tell: Callable[[str, int, int], None], rows: Rows
) -> dict[str, Any]:
    """Everything that no model is needed for."""
    rounds, seconds = asked.rounds, asked.seconds
    with ExitStack() as stack:
        ideal = stack.enter_context(upstream())
        url = f"http://127.0.0.1:{ideal.ports[0]}"
        count = int(PICKS * seconds) * rounds
        (folder / "one").mkdir()
        decisions = decidable(folder / "one/picktune.db", count)
        ours = stack.enter_context(picktune(folder / "one", url))
        two = stack.enter_context(picktune(folder / "two", url, processes=2))
        theirs = stack.enter_context(litellm(folder / "litellm-1", url, workers=1)) if asked.peer else None
        their_two = stack.enter_context(litellm(folder / "litellm-2", url, workers=2)) if asked.peer else None
        generator = Generator()
        stack.callback(generator.close)

        one_reply = chat("picktune", n=1, user="user-@@")
        searched = {
            "Picktune": (Target(ours, one_reply), 150.0),
            "Picktune, two": (Target(two, one_reply), 150.0),
        }
        if theirs is not None and their_two is not None:
            searched["LiteLLM"] = (targets(ideal, ours, theirs)["LiteLLM"], 30.0)
            searched["LiteLLM, two"] = (targets(ideal, ours, their_two)["LiteLLM"], 30.0)
        rates = highest_rates(generator, searched, min(seconds, 3.0), tell)
        compared = targets(ideal, ours, None)
        busy = added(
            generator,
            compared,
            asked.rate,
            seconds,
            rounds,
            lambda done, total: tell("latency added", done, total),
        )
        figures: dict[str, Any] = {
            "added_p50_ms": busy["slate of 1"].p50,
            "added_p99_ms": busy["slate of 1"].p99,
        }
        about = f"{asked.rate:g} requests/s, one worker"
        rows.append((f"a direct call, p50 ({about})", _ms(busy["slate of 1"].direct_p50), "", ""))
        for name in ("slate of 1", "slate of 2+2", "named arm"):
            one = busy[name]
            first = name == "slate of 1"
            rows.append((f"added to it by a {name}, p50", _ms(one.p50), "", "< 1.5 ms" if first else ""))
            rows.append((f"added to it by a {name}, p99", _ms(one.p99), "", "< 6 ms" if first else ""))
            rows.append((f"processor time of a {name}", _ms(one.cpu), "", ""))
        failed = sum(one.failed for one in busy.values())

        if theirs is not None:
            # Where LiteLLM keeps up: beyond that, its latency is that of a queue that grows with the segment.
            calm = max(SLOWEST, min(asked.rate, 0.6 * rates["LiteLLM"]))
            beside = {**targets(ideal, ours, theirs)}
            beside.pop("slate of 2+2")
            quiet = added(
                generator,
                beside,
                calm,
                seconds,
                rounds,
                lambda done, total: tell("beside LiteLLM", done, total),
            )
            us, them = quiet["slate of 1"], quiet["LiteLLM"]
            failed += sum(one.failed for one in quiet.values())
            figures |= {
                "litellm_added_p50_ms": them.p50,
                "ratio_to_litellm": us.p50 / them.p50,
                "rate_ratio_to_litellm": min(
                    rates["Picktune"] / max(rates["LiteLLM"], SLOWEST),
                    rates["Picktune, two"] / max(rates["LiteLLM, two"], SLOWEST),
                ),
            }
            at = f"at {calm:.0f} requests/s, which it holds"
            rows += [
                (f"added by LiteLLM {at}, p50", _ms(them.p50), "", ""),
                (f"added by LiteLLM {at}, p99", _ms(them.p99), "", ""),
                ("added by a slate of 1 at that rate, p50", _ms(us.p50), f"{us.p50 / them.p50:.2f}", "< 0.2"),
                ("processor time of LiteLLM's", _ms(them.cpu), f"{us.cpu / them.cpu:.2f}", ""),
            ]
        for workers, suffix in (("one worker", ""), ("two workers", ", two")):
            held = rates[f"Picktune{suffix}"]
            about = f"requests/s held with p99 < {HELD:.0f} ms, {workers}"
            if theirs is None:
                rows.append((about, f"{held:.0f}", "", ""))
                continue
            their = rates[f"LiteLLM{suffix}"]
            share = f"{held / max(their, SLOWEST):.1f}"
            rows.append((about, f"{held:.0f} (LiteLLM {their:.0f})", share, ">= 3"))

        streams = added(
            generator,
            targets(ideal, ours, theirs, stream=True),
            min(20.0, asked.rate),
            seconds,
            rounds,
            lambda done, total: tell("streams", done, total),
            stream=True,
        )
        figures["ttft_added_p50_ms"] = streams["slate of 1"].first_p50
        failed += sum(one.failed for one in streams.values())
        for name, one in streams.items():
            if name != "direct":
                target = "< 2 ms" if name == "slate of 1" else ""
                rows.append((f"first token of a stream, added by a {name}", _ms(one.first_p50), "", target))

        taken = picks(
            generator,
            Target(ours, one_reply),
            decisions,
            chats=asked.rate,
            rate=PICKS,
            seconds=seconds,
            rounds=rounds,
            progress=lambda done, total: tell("picks", done, total),
        )
        figures["pick_durable_p50_ms"] = statistics.median(one.percentile(0.5) for one in taken)
        figures["pick_durable_p99_ms"] = statistics.median(one.percentile(0.99) for one in taken)
        about = f"{PICKS:g} picks/s beside {asked.rate:g} chats/s: durable after"
        rows.append((f"{about}, p50", _ms(figures["pick_durable_p50_ms"]), "", "10 ms"))
        rows.append((f"{about}, p99", _ms(figures["pick_durable_p99_ms"]), "", "40 ms"))

        held_bytes = memory(
            generator,
            Target(ours, chat("picktune", user="user-@@")),
            asked.slates,
            lambda done, total: tell("memory", done, total),
        )
        figures["rss_growth"] = max(held_bytes[1:]) / held_bytes[0] - 1.0
        rows.append(
            (
                f"memory (RSS) after {asked.slates:,} more slates of 2+2",
                f"{held_bytes[-1] / 2**20:.0f} MiB",
                f"{100 * figures['rss_growth']:+.1f} %",
                "< 5 %",
            )
        )
        rows.append(("requests that failed, of all the above", str(failed), "", "0"))
        figures |= {"rates": rates, "cpu_ms": {name: one.cpu for name, one in busy.items()}, "failed": failed}
    return figures


def _against_vllm(
    folder: Path, asked: argparse.Namespace, tell: Callable[[str, int, int], None], rows: Rows
) -> dict[str, Any]:
    slates, direct = slate_seconds(
        folder / "vllm", 4 * asked.rounds, lambda done, total: tell("slates of vLLM", done, total)
    )
    found = ratio(slates, direct)
    seconds = f"{statistics.median(slates):.2f} s (direct {statistics.median(direct):.2f} s)"
    rows.append(("a slate of 2+2 of the real vLLM", seconds, f"{found:.2f}", "<= 1.1"))
    return {"slate_ratio": found}


def _ms(value: float) -> str:
    return f"{value:.2f} ms"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second (150)")
    parser.add_argument("--rounds", type=int, default=5, help="segments of each (5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of a segment (4)")
    parser.add_argument("--slates", type=int, default=20_000, help="slates for the memory (20,000)")
    parser.add_argument("--quick", action="store_true", help="all of it in small")
    parser.add_argument("--without", action="append", choices=["litellm", "vllm"], default=[])
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.seconds, asked.slates = 3, 2.0, 4000
    asked.peer = "litellm" not in asked.without
    return asked


if __name__ == "__main__":
    main()
