"""Kill a nightly run with ``kill -9`` at random moments, run it again, and look what comes out.

    python bench/nightly_kills.py --kills 50 --picks 60

Each night is a process of its own, forked from one that has imported torch already. The moment is drawn
evenly over the time that an undisturbed night took; the re-run must register the very adapter that the
undisturbed night registered, once, move the challenger once and leave nothing half-written (``same_hash``),
or refuse with a clear error and no adapter (``refused``). Anything else is ``different``; the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nightly_home import fill, tiny_model
from picktune.errors import PicktuneError
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from picktune_retrain import nights
from picktune_retrain.dataset import load_dataset
from picktune_retrain.gate import Gate
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan
from picktune_retrain.records import Recipe
from rich.console import Console
from rich.progress import Progress
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Ending:
    """What one kill came to; ``stage`` is where the night was."""

    stage: str
    verdict: str
    words: str


def spawn(home: Path, model: Path, epochs: int) -> int:
    """Start a night in a process of its own, which writes its error, if any, to ``error`` in the home."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        recipe = Recipe(learning_rate=3e-3, epochs=epochs)
        plan = Plan(recipe=recipe, gate=Gate(max_kl=100.0), replies=2, min_free=0.0)
        code = nightly(Settings(home=str(home), model=str(model), roles=("agent",)), plan).exit_code
    except PicktuneError as error:
        (home / "error").write_text(f"refused: {error.message}")
    except BaseException:
        (home / "error").write_text(traceback.format_exc())
    os._exit(code)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stage_of(home: Path) -> str:
    """Where a killed night was; ``before`` it had a manifest, or ``after`` it was over."""
    found = nights.all_nights(home) if (home / "nights").is_dir() else []
    if not found:
        return "before"
    return found[-1].stage if found[-1].manifest.result is None else "after"


def judge(home: Path, code: int, wanted: str, stage: str) -> Ending:
    """Whether the night that was run again came to what it would have come to."""
    registry = Registry(home / "registry")
    versions = registry.versions()
    moves = [change for change in registry.history() if change.alias == "challenger"]
    left = list(home.rglob(".tmp-*"))
    error = (home / "error").read_text() if (home / "error").exists() else ""
    if code == 1 and error.startswith("refused: ") and not versions:
        return Ending(stage, "refused", error)
    wrong = {
        f"exit code {code} {error}": code not in (0, 10),
        f"{len(versions)} adapters": len(versions) != 1,
        f"{len(moves)} moves of the challenger": len(moves) != 1,
        f"left behind: {', '.join(map(str, left))}": bool(left),
        "another adapter": bool(versions) and versions[0].sha256 != wanted,
        "no challenger": bool(versions) and registry.aliases().challenger != versions[0].name,
        "an unfinished night": any(one.manifest.result is None for one in nights.all_nights(home)),
    }
    for dataset in {night.manifest.dataset_id for night in nights.all_nights(home)}:
        load_dataset(dataset, home / "datasets")
    for version in versions:
        registry.verify(version.name)
    words = "; ".join(text for text, is_so in wrong.items() if is_so)
    return Ending(stage, "different" if words else "same_hash", words)


def main() -> None:
    """Run it all, print a table by stage and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--picks", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import peft  # noqa: F401 - what every night imports is imported once
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    endings: list[Ending] = []
    with tempfile.TemporaryDirectory() as name, Progress() as progress:
        folder = Path(name)
        task = progress.add_task("killing nights", total=options.kills + 2)
        model = tiny_model(folder / "model")
        (folder / "start").mkdir()
        asyncio.run(fill(folder / "start", options.picks))
        took = 0.0
        for control in ("warm", "control"):
            shutil.copytree(folder / "start", folder / control)
            began = time.monotonic()
            code = wait(spawn(folder / control, model, options.epochs))
            took = time.monotonic() - began
            if code:
                sys.exit(
                    f"the undisturbed night ended with {code}: {(folder / control / 'error').read_text()}"
                )
            progress.advance(task)
        (version,) = Registry(folder / "control" / "registry").versions()
        (warm,) = Registry(folder / "warm" / "registry").versions()
        if warm.sha256 != version.sha256:
            sys.exit("two undisturbed nights made two adapters")
        for number in range(options.kills):
            home = folder / f"home-{number}"
            shutil.copytree(folder / "start", home)
            child = spawn(home, model, options.epochs)
            time.sleep(rng.random() * took)
            os.kill(child, signal.SIGKILL)
            wait(child)
            stage = stage_of(home)
            code = wait(spawn(home, model, options.epochs))
            endings.append(judge(home, code, version.sha256, stage))
            if endings[-1].verdict != "different":
                shutil.rmtree(home)
            else:
                progress.console.print(endings[-1].words)
            progress.advance(task)
    table = Table("killed in", "kills", "same adapter", "refused", "different")
    by_stage = Counter((one.stage, one.verdict) for one in endings)
    for stage in ("before", *nights.STAGES, "after"):
        counts = [by_stage[stage, verdict] for verdict in ("same_hash", "refused", "different")]
        if any(counts):
            table.add_row(stage, str(sum(counts)), *map(str, counts))
    Console().print(table)
    totals = Counter(one.verdict for one in endings)
    said = {"kills": len(endings), **{name: totals[name] for name in ("same_hash", "refused", "different")}}
    print(json.dumps(said | {"night_s": round(took, 2)}))
    sys.exit(1 if totals["different"] else 0)


if __name__ == "__main__":
    main()
