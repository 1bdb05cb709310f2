"""The choice likelihood: how likely the picked reply was among those shown, and what a set scores.

Importing this does not import torch; using it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs
from picktune.records import ChoiceSet, Record
from picktune_adapters.kinds import kind_of

from picktune_retrain.records import Recipe

if TYPE_CHECKING:
    from torch import Tensor

_SETS_A_ROW = 8


class Scores(Record, frozen=True, kw_only=True):
    """Log-probabilities of a set's replies in nats, summed over their tokens, in the order shown.

    ``adapter`` equals ``base`` where no adapter was given. ``tokens`` counts the end of the turn as well.
    """

    slate_id: str
    base: tuple[float, ...]
    adapter: tuple[float, ...]
    tokens: tuple[int, ...]


def choice_scores(
    policy: Tensor,
    reference: Tensor,
    *,
    beta: float,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """s_j = β (log π_θ(y_j|x) − log π_base(y_j|x)) + b_pos(j), from two tensors [K] in nats.

    ``lengths``, the replies' tokens [K], divides the log-ratios, as in Lambert et al. 2024, *Tülu 3*, section
    5.1.2; it is off unless given.
    """
    ratios = policy - reference
    scores = beta * (ratios if lengths is None else ratios / lengths)
    return scores if offsets is None else scores + offsets


def choice_loss(
    policy: Tensor,
    reference: Tensor,
    chosen: int,
    *,
    tokens: int,
    same: Sequence[bool] | None = None,
    beta: float,
    lam: float = 0.0,
    epsilon: float = 0.0,
    weight: float = 1.0,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
    even: bool = False,
) -> Tensor:
    """L = −w · log[(1−ε) · Σ_{j: y_j = y_c} softmax(s)_j + ε/K] + λ · NLL(y_c)/|y_c|, in nats.

    ``policy`` and ``reference`` are the replies' log-probabilities [K], ``tokens`` is |y_c|, ``same`` says
    which replies say the very words of the picked one or are tied with it (only it, unless given). With
    K = 2 and b = ε = λ = 0 this is DPO (Rafailov et al. 2023, eq. 7); with more replies it is the first
    choice of the Plackett–Luce model of its appendix A.3. ``lengths``: see ``choice_scores``. ``even`` takes
    the mean of log softmax(s)_j over the members in place of the log of their sum: the cross-entropy with a
    choice that is evenly split among them, which is least where they score alike.
    """
    shares = choice_scores(policy, reference, beta=beta, offsets=offsets, lengths=lengths).log_softmax(-1)
    alike = [j for j in range(len(shares)) if j == chosen or (same is not None and same[j])]
    if even:
        return -weight * shares[alike].mean(-1)
    log_share = shares[alike].logsumexp(-1)
    if epsilon:
        log_share = ((1.0 - epsilon) * log_share.exp() + epsilon / len(shares)).log()
    return -weight * log_share - lam * policy[chosen] / tokens


def score(
    sets: Iterable[ChoiceSet],
    *,
    base_model: str | Path | None,
    adapter: Path | None = None,
    recipe: Recipe,
    references: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Scores]:
    """Score every set's replies under the base and under an adapter, in the same layout.

    ``adapter`` is a PEFT folder, or that of a model of its own, trained from the base. ``references`` is a
    file that keeps what the base gives the replies: see ``references``.

    ``progress`` is called with the number of sets that are done and the number of all. Raises
    ``MissingExtra`` without torch, ``EngineDown`` without the base, ``AdapterCorrupt`` if the adapter does
    not fit, and ``InvalidInput`` or ``EngineError`` for a set that cannot be encoded.
    """
    from picktune_retrain.models import require_torch

    require_torch()
    from picktune_retrain import encoding, forward, models, packing
    from picktune_retrain.references import References
    from picktune_retrain.shelf import Shelf

    if recipe.method == "qlora":
        recipe = structs.replace(recipe, method="lora")  # it is the whole base that serves the adapter
    model = models.load(base_model, recipe)
    shelf = Shelf()
    encoded = [shelf.put(encoding.encode(one, model.tokenizer, recipe)) for one in sets]
    policy = model
    if adapter is not None and kind_of(adapter) == "checkpoint":
        policy = models.load(adapter, recipe)
        forward.choose_layout(policy, encoded)
    elif adapter is not None:
        models.load_adapter(model, adapter)
    forward.choose_layout(model, encoded)
    if model.packed != policy.packed:
        for unlike in (model, policy):
            unlike.network.set_attn_implementation("eager")
            unlike.packed = False
    scores: list[Scores] = []
    with References(references, model, recipe) as known:
        for row in packing.bundles(encoded, _SETS_A_ROW, recipe.row_tokens):
            base = known.of_row(row)
            tuned = base
            if adapter is not None:
                tuned = [tuple(one.tolist()) for one in forward.policy_log_probs(policy, row, grad=False)]
            for one, before, after in zip(row, base, tuned, strict=True):
                tokens = tuple(map(len, one.replies))
                scores.append(Scores(slate_id=one.slate_id, base=before, adapter=after, tokens=tokens))
            if progress is not None:
                progress(len(scores), len(encoded))
    return scores
