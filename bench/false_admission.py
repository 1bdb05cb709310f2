"""How often the gate admits a chooser that knows nothing, and one that knows something: simulated scores.

    python bench/false_admission.py --trials 200

A trial draws held-out picks, and what an adapter and its base make of their replies, and asks the gate: its
checks of the predictions, not of the replies that the adapter would give. A chooser that knows nothing
scores replies by a normal of the width ``spread``, in nats; the picks are even. One that knows something adds
half of the replies' utilities, of which the picks are the softmax.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from picktune.records import ChoiceSet, Message
from picktune_retrain.choice import Scores
from picktune_retrain.comparison import Comparison
from picktune_retrain.evaluate import evaluate, rewards
from picktune_retrain.gate import admit
from picktune_retrain.rivals import against_places, learn_places
from rich.console import Console
from rich.progress import track
from rich.table import Table

BETA, SHOWN = 0.2, 4
HELD_OUT = (5, 8, 12, 24, 48)
SPREADS = (0.2, 0.5, 1.0)
UTILITY = 2.0


def pick(number: int, chosen: int) -> ChoiceSet:
    return ChoiceSet(
        slate_id=f"s{number}",
        conversation_id=f"c{number}",
        messages=(Message(role="user", content=f"Question {number}"),),
        replies=tuple(f"Reply {number}.{place}" for place in range(SHOWN)),
        chosen=chosen,
        annotator="ann",
        role="model",
        decided_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def admitted(held_out: int, spread: float, knows: bool, rng: np.random.Generator) -> bool:
    """One trial."""
    utility = rng.normal(0, UTILITY, (held_out, SHOWN)) if knows else np.zeros((held_out, SHOWN))
    # The largest of utilities with Gumbel noise is distributed as their softmax.
    chosen = (utility + rng.gumbel(size=utility.shape)).argmax(1)
    reward = rng.normal(0, spread, utility.shape) + utility / 2
    base = rng.normal(-40, 8, utility.shape)
    sets = [pick(i, int(place)) for i, place in enumerate(chosen)]
    scores = [
        Scores(
            slate_id=one.slate_id,
            base=tuple(base[i].tolist()),
            adapter=tuple((base[i] + reward[i] / BETA).tolist()),
            tokens=(20,) * SHOWN,
        )
        for i, one in enumerate(sets)
    ]
    learned = [pick(held_out + i, int(place)) for i, place in enumerate(rng.integers(0, SHOWN, 8 * held_out))]
    places = against_places(sets, [rewards(one, BETA) for one in scores], learn_places(learned))
    return admit(evaluate(sets, scores, beta=BETA), comparison=Comparison(rivals=(places,))).admitted


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200, help="of each kind (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells = [(knows, spread, n) for knows in (False, True) for spread in SPREADS for n in HELD_OUT]
    shares: dict[tuple[bool, float, int], float] = {}
    for cell in track(cells, "Trials", console=Console(stderr=True), transient=True):
        knows, spread, n = cell
        rng = np.random.default_rng([options.seed, *map(int, (knows, 10 * spread, n))])
        shares[cell] = float(np.mean([admitted(n, spread, knows, rng) for _ in range(options.trials)]))
    table = Table(title=f"Admitted, of {options.trials} trials each")
    for heading in ("", "spread, nats", *(f"{n} held out" for n in HELD_OUT)):
        table.add_column(heading, justify="right" if heading else "left")
    line: dict[str, Any] = {"trials": options.trials}
    for knows in (False, True):
        name = "knows something" if knows else "knows nothing"
        for spread in SPREADS:
            row = [shares[knows, spread, n] for n in HELD_OUT]
            table.add_row(name, f"{spread:g}", *(f"{share:.1%}" for share in row))
        line[name.replace(" ", "_")] = {
            f"{spread:g}": {str(n): round(shares[knows, spread, n], 4) for n in HELD_OUT}
            for spread in SPREADS
        }
    Console(width=110).print(table)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
