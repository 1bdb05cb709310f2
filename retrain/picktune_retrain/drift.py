"""How far an adapter has moved from its base: on held-out replies, and on texts about something else.

Each picked reply stands in a plain row of its own, in the model's own layers: no packing, nothing fused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from picktune.records import ChoiceSet, Record

from picktune_retrain.evenly import evenly
from picktune_retrain.general import TEXTS
from picktune_retrain.records import Recipe

if TYPE_CHECKING:
    from picktune_retrain.tuned import Tuned

MOST_SETS = 200
_ROWS = 128


class Drift(Record, frozen=True, kw_only=True):
    """Where the adapter stands to its base; all in nats a token.

    ``kl`` is KL(π_θ ‖ π_base) of the next token, over the whole vocabulary, at every place of the picked
    replies. ``chosen`` is the mean of log π_θ(y_c|x) − log π_base(y_c|x): below nought, the picked replies
    have become less likely themselves ("displacement"). ``general_base`` and ``general_adapter`` are the
    log-losses of plain texts.
    """

    sets: int
    kl: float
    chosen: float
    general_base: float
    general_adapter: float


def measure_drift(
    sets: Sequence[ChoiceSet],
    *,
    base_model: str | Path | None,
    adapter: Path,
    recipe: Recipe,
    progress: Callable[[int, int], None] | None = None,
) -> Drift:
    """Measure it on at most 200 of the sets, evenly spread, and on our plain texts.

    Raises what ``choice.score`` raises, and ``ValueError`` without sets.
    """
    from picktune_retrain.models import require_torch

    require_torch()
    import torch

    from picktune_retrain import encoding
    from picktune_retrain.tuned import Tuned

    if not sets:
        raise ValueError("no held-out choice sets to measure the drift on")
    pair = Tuned.load(adapter, base_model=base_model, recipe=recipe)
    some = evenly(sets, MOST_SETS)
    kls, ratios = [], []
    with torch.no_grad():
        for place, one in enumerate(some):
            encoded = encoding.encode(one, pair.base.tokenizer, recipe)
            kl, ratio = _reply(pair, encoded.prompt, encoded.replies[encoded.chosen])
            kls.append(kl)
            ratios.append(ratio)
            if progress is not None:
                progress(place + 1, len(some))
        general = [_text(pair, text) for text in TEXTS]
    return Drift(
        sets=len(some),
        kl=fmean(kls),
        chosen=fmean(ratios),
        general_base=fmean(base for base, _ in general),
        general_adapter=fmean(tuned for _, tuned in general),
    )


def _reply(pair: Tuned, prompt: Sequence[int], reply: Sequence[int]) -> tuple[float, float]:
    import torch

    tuned, base = pair.hidden([*prompt, *reply[:-1]], len(reply))
    targets = torch.tensor(reply, device=tuned.device)
    kl = ratio = 0.0
    for start in range(0, len(reply), _ROWS):
        rows = slice(start, start + _ROWS)
        after, before = pair.log_probs(tuned[rows], tuned=True), pair.log_probs(base[rows], tuned=False)
        kl += float((after.exp() * (after - before)).sum())
        picks = targets[rows, None]
        ratio += float((after.gather(1, picks) - before.gather(1, picks)).sum())
    return kl / len(reply), ratio / len(reply)


def _text(pair: Tuned, text: str) -> tuple[float, float]:
    import torch

    ids = pair.base.tokenizer(text, add_special_tokens=False)["input_ids"]
    tuned, base = pair.hidden(ids[:-1], len(ids) - 1)
    targets = torch.tensor(ids[1:], device=tuned.device)[:, None]
    after, before = pair.log_probs(tuned, tuned=True), pair.log_probs(base, tuned=False)
    return tuple(-float(one.gather(1, targets).mean()) for one in (before, after))  # type: ignore[return-value]
