"""What is learned from the same picks by choice training, DPO, KTO and SFT, and in what time.

    python bench/learning.py --cache /tmp/learning
    python bench/learning.py --quick

For each seed, slates of the base are drawn once and a chooser with known utilities, a liking for the first
places and noise picks on each (``learning_world.py``). Every objective trains an adapter from these picks
(``learning_runs.py``). Held-out picks on other tickets say how well it predicts, blind picks on fresh slates
(two replies of the base, two of the adapter) how well it speaks. The time in which choice training becomes as
good as DPO is compared with TRL's ``DPOTrainer``, which trains on a row for each reply of each pair, and with
Picktune's own DPO, which packs a set as choice training does.

What is done is kept in ``--cache`` and not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import msgspec  # noqa: E402
from learning_figures import Figures, Judged, show  # noqa: E402
from learning_runs import OBJECTIVES, Settings, Trained, recipe_of, trained, trained_by_trl  # noqa: E402
from learning_world import (  # noqa: E402
    Chooser,
    choice_set,
    decision,
    drawn,
    shown,
    tickets,
)
from picktune.records import ChoiceSet, Sampling, Slate  # noqa: E402
from picktune.support import support_rate  # noqa: E402
from picktune_adapters import disk  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

QUICK = Settings(picks=24, held_out=12, fresh=12, epochs=1, check_every=3)


class Bench:
    """One seed: slates, picks, trainings, judgements, each made once and kept in ``folder``."""

    def __init__(self, seed: int, settings: Settings, model: Path, folder: Path, console: Console) -> None:
        self.seed = seed
        self.settings = settings
        self.model = model
        self.folder = folder
        self.console = console
        self.chooser = Chooser()
        self.sampling = Sampling(max_tokens=settings.max_tokens, temperature=settings.temperature)

    def sets(self) -> tuple[list[ChoiceSet], list[ChoiceSet]]:
        """The picks to train on, and those that are held out: of the other half of the tickets."""
        slates = self.keep("slates", list[Slate], self._draw)
        rng = random.Random(f"picks:{self.seed}")
        made = [
            choice_set(one, self.chooser.choose([said.text for said in shown(one)], rng), number)
            for number, one in enumerate(slates)
        ]
        return made[: self.settings.picks], made[self.settings.picks :]

    def training(self, objective: str) -> Trained:
        """The training of an objective; its adapter lies beside it."""
        train = trained_by_trl if objective == "dpo-rows" else None

        def make() -> Trained:
            sets, held_out = self.sets()
            folder = self.folder / objective
            shutil.rmtree(folder, ignore_errors=True)
            with self.bar(f"seed {self.seed}: {objective}") as progress:
                common: dict[str, Any] = {
                    "model": self.model, "folder": folder, "settings": self.settings, "seed": self.seed,
                    "progress": progress,
                }  # fmt: skip
                if train is not None:
                    return train(sets, held_out, **common)
                return trained(objective, sets, held_out, **common)

        return self.keep(f"trained-{objective}", Trained, make)

    def judged(self) -> dict[str, Judged]:
        """All objectives, on the same held-out picks and beside the same replies of the base."""
        return self.keep("judged", dict[str, Judged], self._judge)

    def _draw(self) -> list[Slate]:
        kept = self.settings
        jobs = [*tickets("training", kept.picks, self.seed), *tickets("unseen", kept.held_out, self.seed)]
        with self.bar(f"seed {self.seed}: slates") as progress:
            return drawn(
                [(one, None) for one in jobs], model=self.model, adapters={}, sampling=self.sampling,
                seed=self.seed, advance=counting(progress, len(jobs)),
            )  # fmt: skip

    def _judge(self) -> dict[str, Judged]:
        from picktune_retrain.choice import score
        from picktune_retrain.evaluate import evaluate, rewards

        folders = {name: self.folder / name for name in OBJECTIVES}
        # Tickets of the unseen half in another order, and so other replies to them than the held-out ones.
        asked = tickets("unseen", self.settings.fresh, self.seed + 1000)
        jobs = [(one, name) for one in asked for name in folders]
        with self.bar(f"seed {self.seed}: fresh slates") as progress:
            slates = drawn(
                jobs, model=self.model, adapters=folders, sampling=self.sampling, seed=self.seed + 1000,
                advance=counting(progress, len(jobs)),
            )  # fmt: skip
        _, held_out = self.sets()
        found = {}
        for name, folder in folders.items():
            recipe = recipe_of(name, self.settings, self.seed)
            scores = score(held_out, base_model=self.model, adapter=folder, recipe=recipe)
            expected = 0.0
            for one, scored in zip(held_out, scores, strict=True):
                values = rewards(scored, recipe.beta)
                expected += self.chooser.shares(one.replies)[values.index(max(values))] / len(held_out)
            mine = [slate for slate, (_, adapter) in zip(slates, jobs, strict=True) if adapter == name]
            # The same luck for every objective: what differs is what they say.
            rng = random.Random(f"fresh:{self.seed}")
            decided = []
            for number, slate in enumerate(mine):
                texts = [said.text for said in shown(slate)]
                decided.append(decision(slate, self.chooser.choose(texts, rng), number))
            support = support_rate(decided, model=name, annotator_cap=len(decided))
            says = {
                tuned: [
                    self.chooser.utility(said.text)
                    for slate in mine
                    for said in slate.candidates
                    if (said.arm != "base") == tuned
                ]
                for tuned in (True, False)
            }
            found[name] = Judged(
                accuracy=evaluate(held_out, scores, beta=recipe.beta).adapter.accuracy,
                expected=expected,
                wins=int(support.wins),
                n=int(support.n),
                utility=fmean(says[True]),
                base_utility=fmean(says[False]),
            )
        return found

    def ceiling(self) -> float:
        """How often somebody who knows the utilities, but not the places, would find the pick."""
        _, held_out = self.sets()
        found = []
        for one in held_out:
            known, shares = [*map(self.chooser.utility, one.replies)], self.chooser.shares(one.replies)
            found.append(fmean(share for share, u in zip(shares, known, strict=True) if u == max(known)))
        return fmean(found)

    def keep(self, name: str, type_: Any, make: Callable[[], Any]) -> Any:
        """Read a product, or make and write it."""
        path = self.folder / f"{name}.json"
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=type_)
        made = make()
        disk.replace(path, msgspec.json.encode(made))
        return made

    def bar(self, title: str) -> Bar:
        return Bar(self.console, title)


class Bar:
    """A progress bar that hears how many of how many are done."""

    def __init__(self, console: Console, title: str) -> None:
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._title = title

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        task = self._progress.add_task(self._title, total=None)
        return lambda done, total: self._progress.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def counting(progress: Callable[[int, int], None], total: int) -> Callable[[], None]:
    """Turn a bar that wants to know how many are done into one that counts."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return advance


def measure(options: argparse.Namespace, settings: Settings, cache: Path) -> list[Figures]:
    from picktune.engines.smollm2 import model_folder

    console, model = Console(stderr=True), options.model or model_folder()
    key = hashlib.sha256(repr((settings, Chooser(), options.model)).encode()).hexdigest()[:12]
    found = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        folder = cache / key / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(seed, settings, model, folder, console)
        names = [*OBJECTIVES, *(["dpo-rows"] if seed < options.first_seed + options.trl_seeds else [])]
        found.append(
            Figures(
                seed=seed,
                trained={name: bench.training(name) for name in names},
                judged=bench.judged(),
                ceiling=bench.ceiling(),
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--trl-seeds", type=int, default=1, help="so many seeds TRL trains too (default 1)")
    parser.add_argument("--cache", type=Path, help="where to keep what is done (default a temporary folder)")
    parser.add_argument("--model", type=Path, help="the folder of another base model")
    parser.add_argument("--quick", action="store_true", help="one seed, small sizes: a few minutes")
    for name in ("picks", "held_out", "fresh", "epochs", "batch", "rank", "check_every"):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, help=f"(default {getattr(Settings(), name)})")
    parser.add_argument("--rate", type=float, help=f"learning rate (default {Settings().rate:g})")
    options = parser.parse_args()
    if options.quick:
        options.seeds = 1
    given = {
        name: getattr(options, name) for name in Settings.__struct_fields__ if getattr(options, name, None)
    }
    settings = msgspec.structs.replace(QUICK if options.quick else Settings(), **given)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, settings, options.cache or Path(folder))
    for line in show(found, settings):
        print(json.dumps(line))


if __name__ == "__main__":
    sys.exit(main())
