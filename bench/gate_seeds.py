"""Does the gate keep out what was learned from bad picks? Real nights of SmolLM2 on picks of several kinds.

    python bench/gate_seeds.py --cache /tmp/gate

The chooser of ``learning.py`` picks on slates of the base, and ``picktune nightly`` trains and judges:

    noisy       three picks in ten are drawn at random; blind picks on fresh slates then tell its support
    random      all of them are
    sabotaged   the opposite of the taste was picked, but not in the conversations that are held out
    inverted    the same adapter, judged by held-out picks that are inverted too, as if one malicious
                annotator had made all picks; whatever comes of that, it is put on trial, and honest blind
                picks on fresh slates go to the gate

What is done is kept in ``--cache`` and not done again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import msgspec  # noqa: E402
from learning_world import VIEWER, Chooser, choice_set, drawn, shown, tickets  # noqa: E402
from msgspec import structs  # noqa: E402
from picktune.gate.keeper import Gate  # noqa: E402
from picktune.log import SQLiteLog, SQLiteLogReader  # noqa: E402
from picktune.records import Exposure, Pick, Record, Sampling, Slate, utc_now  # noqa: E402
from picktune.settings import Settings  # noqa: E402
from picktune.slate import order_for  # noqa: E402
from picktune_adapters import disk  # noqa: E402
from picktune_retrain import nights  # noqa: E402
from picktune_retrain.dataset import build_dataset, load_dataset  # noqa: E402
from picktune_retrain.evaluate import Judgement, evaluate  # noqa: E402
from picktune_retrain.gate import admit  # noqa: E402
from picktune_retrain.nightly import nightly  # noqa: E402
from picktune_retrain.plan import Plan, Summary  # noqa: E402
from picktune_retrain.records import Decision, Evaluation, Recipe  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

KINDS = ("noisy", "random", "sabotaged", "inverted")
HONEST, NOISY, RANDOM = Chooser(), Chooser(noise=0.3), Chooser(noise=1.0)
Choose = Callable[[Slate, random.Random], int]


class Ended(Record, frozen=True, kw_only=True):
    """How it ended; ``wins`` of ``n`` blind picks fell on the adapter, ``action`` is the gate's."""

    admitted: bool
    held_out: int
    accuracy: float
    accuracy_low: float
    gain: float
    reasons: tuple[str, ...]
    wins: int = 0
    n: int = 0
    action: str = ""


class Sizes(Record, frozen=True, kw_only=True):
    """How much is drawn: ``picks`` for the night, ``fresh`` slates for the trial."""

    picks: int = 120
    fresh: int = 60
    epochs: int = 2
    rank: int = 16
    max_tokens: int = 20


class Seed:
    """The slates of one seed, the nights on their picks, and the trials after them."""

    def __init__(self, seed: int, sizes: Sizes, model: Path, folder: Path) -> None:
        self.seed = seed
        self.sizes = sizes
        self.model = model
        self.folder = folder
        self.sampling = Sampling(max_tokens=sizes.max_tokens, temperature=0.8)
        # The night lets the models speak as long as those that were picked: else they could not be alike.
        longest = sizes.max_tokens + 4
        self.recipe = Recipe(
            rank=sizes.rank, alpha=2 * sizes.rank, epochs=sizes.epochs, max_reply=longest, seed=seed
        )

    def ended(self, kind: str) -> Ended:
        """How it ended, from the cache or by doing it."""
        path = self.folder / f"{kind}.json"
        if not path.exists():
            made = {
                "noisy": self._noisy,
                "random": lambda: self._night("random", chosen_by(RANDOM))[0],
                "sabotaged": lambda: self._night("sabotaged", inverted, honest_test=True)[0],
                "inverted": self._inverted,
            }[kind]()
            disk.replace(path, msgspec.json.encode(made))
        return msgspec.json.decode(path.read_bytes(), type=Ended)

    def slates(self) -> list[Slate]:
        """Of the base against itself, on the tickets to train on."""
        path = self.folder / "slates.json"
        if not path.exists():
            jobs = [(one, None) for one in tickets("training", self.sizes.picks, self.seed)]
            disk.replace(path, msgspec.json.encode(self._drawn(jobs, {})))
        return msgspec.json.decode(path.read_bytes(), type=list[Slate])

    def _drawn(self, jobs: Sequence[Any], adapters: dict[str, Path]) -> list[Slate]:
        return drawn(
            jobs, model=self.model, adapters=adapters, sampling=self.sampling, seed=self.seed,
            advance=lambda: None,
        )  # fmt: skip

    def _settings(self, kind: str) -> Settings:
        return Settings(home=str(self.folder / kind), model=str(self.model), roles=("model",))

    def _night(self, kind: str, choose: Choose, *, honest_test: bool = False) -> tuple[Ended, Summary]:
        """A night on a log of its own; with ``honest_test``, what it holds out was picked honestly."""
        settings = self._settings(kind)
        shutil.rmtree(settings.home, ignore_errors=True)
        settings.folder.mkdir(parents=True)
        slates = self.slates()
        honest = self._held_out(slates) if honest_test else set()
        rng = random.Random(f"{kind}:{self.seed}")
        chosen = [(chosen_by(HONEST) if one.id in honest else choose)(one, rng) for one in slates]
        asyncio.run(write_picks(settings.log_path, slates, chosen, utc_now() - timedelta(days=1)))
        summary = nightly(settings, Plan(recipe=self.recipe, replies=4, min_free=0.1))
        if summary.evaluation is None or summary.decision is None:
            raise SystemExit(f"seed {self.seed}, {kind}: no adapter was made: {summary.message}")
        if honest_test:
            assert summary.dataset is not None  # noqa: S101
            test = load_dataset(summary.dataset.id, settings.folder / "datasets").test
            assert {row.slate_id for row in test} == honest  # noqa: S101
        made = summary.evaluation
        return ended_of(summary.decision, made), summary

    def _held_out(self, slates: Sequence[Slate]) -> set[str]:
        """Which slates a night will hold out: that is decided by their conversations, not by the picks."""
        with tempfile.TemporaryDirectory() as folder:
            path, now = Path(folder) / "picktune.db", utc_now()
            asyncio.run(write_picks(path, slates, [0] * len(slates), now - timedelta(days=1)))
            with SQLiteLogReader(path) as reader:
                made = build_dataset(reader, until=now, roles=("model",), seed=self.seed, now=now)
        return {row.slate_id for row in made.test}

    def _noisy(self) -> Ended:
        ended, _ = self._night("noisy", chosen_by(NOISY))
        return self._trial("noisy", ended)

    def _inverted(self) -> Ended:
        """The sabotaged adapter judged by inverted picks; then on trial, whatever those said."""
        self.ended("sabotaged")
        settings = self._settings("sabotaged")
        night = nights.all_nights(settings.folder)[-1]
        judged = nights.read(night.folder / "evaluate.json", Judgement)
        rng = random.Random(f"inverted:{self.seed}")
        by_id = {one.id: one for one in self.slates()}
        kept = [by_id[score.slate_id] for score in judged.scores]
        sets = [choice_set(one, inverted(one, rng), number) for number, one in enumerate(kept)]
        made = evaluate(sets, judged.scores, beta=self.recipe.beta, seed=self.seed)
        decision = admit(made)
        return self._trial("sabotaged", ended_of(decision, made))

    def _trial(self, kind: str, ended: Ended) -> Ended:
        """Put the adapter on trial; the honest chooser picks blindly on fresh slates, and the gate looks."""
        settings = self._settings(f"{kind}-trial")
        shutil.rmtree(settings.home, ignore_errors=True)  # of a trial that was cut off
        shutil.copytree(self.folder / kind, settings.home)
        gate = Gate(settings)
        name = gate.registry.versions()[-1].name
        if gate.registry.aliases().challenger != name:
            gate.challenge(name, by="bench", reason="a trial, whatever the offline checks said")
        asked = [(one, name) for one in tickets("unseen", self.sizes.fresh, self.seed)]
        slates = self._drawn(asked, {name: gate.registry.folder(name)})
        rng = random.Random(f"trial:{self.seed}")
        chosen = [chosen_by(HONEST)(one, rng) for one in slates]
        asyncio.run(write_picks(settings.log_path, slates, chosen, utc_now()))
        standing = gate.view().challenger
        assert standing is not None  # noqa: S101
        action = gate.run().action
        return structs.replace(ended, wins=int(standing.wins), n=int(standing.n), action=action)


def chosen_by(chooser: Chooser) -> Choose:
    """Picks with this chooser."""
    return lambda slate, rng: chooser.choose([one.text for one in shown(slate)], rng)


def inverted(slate: Slate, rng: random.Random) -> int:
    """Picks the opposite of the taste."""
    return HONEST.worst([one.text for one in shown(slate)], rng)


def ended_of(decision: Decision, made: Evaluation) -> Ended:
    """How a night was judged, before anybody picks."""
    return Ended(
        admitted=decision.admitted,
        held_out=made.sets,
        accuracy=made.adapter.accuracy,
        accuracy_low=made.accuracy_low,
        gain=made.gain,
        reasons=decision.reasons,
    )


async def write_picks(path: Path, slates: Sequence[Slate], chosen: Sequence[int], since: datetime) -> None:
    """Put decided slates into a log, a millisecond apart."""
    async with SQLiteLog.open(path) as log:
        for number, (slate, place) in enumerate(zip(slates, chosen, strict=True)):
            at = since + timedelta(milliseconds=number)
            order = order_for(slate, VIEWER)
            await log.add_slate(
                structs.replace(slate, created_at=at, turn=structs.replace(slate.turn, created_at=at))
            )
            await log.add_exposure(Exposure(slate_id=slate.id, viewer=VIEWER, order=order, shown_at=at))
            await log.record(
                Pick(
                    key=f"key-{slate.id}", slate_id=slate.id, verdict="chosen", candidate_id=order[place],
                    annotator=VIEWER, role="model", decided_at=at,
                )
            )  # fmt: skip


def show(found: dict[str, list[Ended]]) -> dict[str, Any]:
    """Print the table; returns the line."""
    table = Table(title="Nights on bad picks (simulated)")
    for heading in ("picks", "seeds", "admitted offline", "held-out accuracy", "support", "the gate"):
        table.add_column(heading)
    line: dict[str, Any] = {}
    for kind, all_of in found.items():
        wins, n = sum(one.wins for one in all_of), sum(one.n for one in all_of)
        rates = [round(one.wins / one.n, 3) for one in all_of if one.n]
        actions = [one.action for one in all_of if one.action]
        accuracy = [round(one.accuracy, 3) for one in all_of]
        admitted = sum(one.admitted for one in all_of)
        table.add_row(
            kind,
            str(len(all_of)),
            str(admitted),
            ", ".join(f"{one:.0%}" for one in accuracy),
            f"{wins / n:.1%} of {n} ({', '.join(f'{one:.0%}' for one in rates)})" if n else "",
            ", ".join(actions),
        )
        line[kind] = {
            "seeds": len(all_of), "admitted": admitted, "held_out": [one.held_out for one in all_of],
            "accuracy": accuracy, "support": round(wins / n, 4) if n else None, "slates": n,
            "support_by_seed": rates, "actions": actions,
        }  # fmt: skip
    Console(width=140).print(table)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be repeated")
    parser.add_argument("--picks", type=int, default=Sizes().picks, help=f"(default {Sizes().picks})")
    parser.add_argument("--fresh", type=int, default=Sizes().fresh, help=f"(default {Sizes().fresh})")
    parser.add_argument("--cache", type=Path, help="where to keep what is done (default a temporary folder)")
    parser.add_argument("--model", type=Path, help="the folder of another base model")
    options = parser.parse_args()
    from picktune.engines.smollm2 import model_folder

    model, sizes = options.model or model_folder(), Sizes(picks=options.picks, fresh=options.fresh)
    key = hashlib.sha256(repr((sizes, HONEST, options.model, "as long as picked")).encode()).hexdigest()[:12]
    kinds = [kind for kind in KINDS if kind in (options.kind or KINDS)]
    found: dict[str, list[Ended]] = {kind: [] for kind in kinds}
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            folder = (options.cache or Path(temporary)) / key / f"seed-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            one = Seed(seed, sizes, model, folder)
            for kind in kinds:
                with console.status(f"seed {seed}: {kind}"):
                    ended = one.ended(kind)
                    found[kind].append(ended)
                console.print(
                    f"seed {seed}: {kind}: {'admitted' if ended.admitted else 'not admitted'} {ended.action}"
                )
    print(json.dumps(show(found)))


if __name__ == "__main__":
    sys.exit(main())
