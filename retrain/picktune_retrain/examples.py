"""What a training learns from: the rows of a dataset as token ids, by kind, in an order drawn from a seed."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from picktune.records import ChoiceSet

from picktune_retrain.encoding import EncodedSet, encode, encode_replies
from picktune_retrain.mixture import Objective
from picktune_retrain.packing import bundles
from picktune_retrain.records import Extra, Labelled, Recipe, Scenario, Tie, Written

# A row of examples of one kind, which goes through the model at once; a step's rows.
Row = list[EncodedSet]
Batch = list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Encoded rows by kind: choice sets (with edits and ties), liked and disliked replies, demonstrations.

    ``too_long`` rows were left out for a reply of more tokens than the recipe allows.
    """

    sets: list[EncodedSet]
    labels: list[EncodedSet]
    texts: list[EncodedSet]
    too_long: int = 0

    @property
    def all(self) -> list[EncodedSet]:
        """All of them, choice sets first."""
        return [*self.sets, *self.labels, *self.texts]


def examples(
    sets: Sequence[ChoiceSet],
    extras: Sequence[Extra],
    tokenizer: Any,
    recipe: Recipe,
    weights: dict[Objective, float],
    keep: Callable[[EncodedSet], EncodedSet] = lambda one: one,
) -> Examples:
    """The rows that these objectives learn from; those of annotators whose weight is nought are left out.

    So are those with a reply that is too long: half a reply says something else than the whole.

    An edited or hand-written reply, if the recipe wants it, is a choice set more, in which it is the best
    member. Beside the choice set of the pick itself that is the Plackett–Luce likelihood (Rafailov et al.
    2023, appendix A.3) of the ranking: the edit, then the pick, then the others.

    ``keep`` puts a choice set where it waits to be trained on, and gives it back as it is from there.
    """
    group = _grouping(chain(sets, extras), extras, recipe)
    chosen, labels, texts = [], [], []
    if "choice" in weights or "dpo" in weights:
        chosen = [
            keep(_paired(replace(encode(one, tokenizer, recipe), group=group(one)), recipe, weights))
            for one in sets
        ]
        for row in extras:
            made = None
            if isinstance(row, Written) and recipe.edits:
                made = _edit(row, tokenizer, recipe)
            elif isinstance(row, Tie) and recipe.ties != "off":
                made = _tie(row, tokenizer, recipe)
            if made is not None:
                chosen.append(keep(_paired(replace(made, group=group(row)), recipe, weights)))
    for row in extras:
        if isinstance(row, Labelled) and "kto" in weights:
            one = _single(row, row.reply, tokenizer, recipe)
            labels.append(replace(one, kind="label", desirable=row.desirable, group=group(row)))
        elif isinstance(row, Written) and "sft" in weights:
            one = _single(row, row.completion, tokenizer, recipe)
            texts.append(replace(one, kind="text", group=group(row)))
    counted = [[one for one in some if one.weight > 0] for some in (chosen, labels, texts)]
    fitting = [[one for one in some if one.longest <= recipe.max_reply] for some in counted]
    too_long = sum(map(len, counted)) - sum(map(len, fitting))
    return Examples(sets=fitting[0], labels=fitting[1], texts=fitting[2], too_long=too_long)


def batches(found: Examples, recipe: Recipe) -> list[Batch]:
    """An epoch's steps: in each, rows of the kinds of examples that take part in it.

    The kind with the most batches takes part in every step, the others are spread over them evenly, so that
    each example is learned from once an epoch.
    """
    labels = [_mismatched(chunk) for chunk in _pairable(_drawn(found.labels, recipe), recipe.batch)]
    drawn = Examples(
        sets=_drawn(found.sets, recipe), labels=list(chain(*labels)), texts=_drawn(found.texts, recipe)
    )
    return batches_of(drawn, recipe)


def batches_of(found: Examples, recipe: Recipe) -> list[Batch]:
    """The steps of an epoch that takes the examples as they stand, labels with their partners already."""
    sets = _chunks(found.sets, recipe.batch)
    labels = _pairable(found.labels, recipe.batch)
    texts = _chunks(found.texts, recipe.batch)
    steps: list[Batch] = [[] for _ in range(max(map(len, (sets, labels, texts))))]
    for kind in (sets, labels, texts):
        for i, chunk in enumerate(kind):
            steps[i * len(steps) // len(kind)] += bundles(chunk, recipe.batch, recipe.row_tokens)
    return steps


def label_weights(labels: Sequence[EncodedSet], recipe: Recipe) -> tuple[float, float]:
    """λ_D and λ_U: as the recipe says, or so that λ_D n_D = λ_U n_U with the smaller of them 1.

    Ethayarajh et al. 2024, *KTO*, section 4.2: λ_D n_D / λ_U n_U should be between 1 and 4/3.
    """
    if recipe.kto_weights is not None:
        return recipe.kto_weights
    liked = sum(one.desirable for one in labels)
    disliked = len(labels) - liked
    if not liked or not disliked:
        return 1.0, 1.0
    return max(1.0, disliked / liked), max(1.0, liked / disliked)


def _paired(one: EncodedSet, recipe: Recipe, weights: dict[Objective, float]) -> EncodedSet:
    """Which replies DPO sets against the chosen one; what no objective looks at is not even computed."""
    if "dpo" not in weights:
        return one
    same = one.same
    others = [i for i in range(len(one.replies)) if not same[i]]
    if recipe.pairs == "one" and others:
        others = [random.Random(f"{recipe.seed}:pair:{one.slate_id}").choice(others)]  # noqa: S311
        if "choice" not in weights:
            replies = one.replies[one.chosen], one.replies[others[0]]
            return replace(one, replies=replies, chosen=0, tied=(), rejected=(1,), placed=False)
    return replace(one, rejected=tuple(others))


def _edit(row: Written, tokenizer: Any, recipe: Recipe) -> EncodedSet | None:
    shown = [text for text in row.shown if text.strip()]
    prompt, replies, cut = encode_replies(row.messages, [*shown, row.completion], tokenizer, recipe)
    if all(reply == replies[-1] for reply in replies):
        return None
    return EncodedSet(
        slate_id=row.slate_id,
        prompt=prompt,
        replies=replies,
        chosen=len(replies) - 1,
        weight=_weight(row, recipe),
        truncated=cut,
        placed=False,
    )


def _tie(row: Tie, tokenizer: Any, recipe: Recipe) -> EncodedSet:
    prompt, replies, cut = encode_replies(row.messages, row.replies, tokenizer, recipe)
    return EncodedSet(
        slate_id=row.slate_id,
        prompt=prompt,
        replies=replies,
        chosen=0,
        weight=_weight(row, recipe),
        truncated=cut,
        tied=tuple(range(len(replies))),
    )


def _single(row: Labelled | Written, text: str, tokenizer: Any, recipe: Recipe) -> EncodedSet:
    prompt, replies, cut = encode_replies(row.messages, [text], tokenizer, recipe)
    return EncodedSet(
        slate_id=row.slate_id,
        prompt=prompt,
        replies=replies,
        chosen=0,
        weight=_weight(row, recipe),
        truncated=cut,
    )


def _weight(row: Labelled | Written | Tie, recipe: Recipe) -> float:
    return row.weight * recipe.annotator_weights.get(row.annotator, 1.0)


def _grouping(rows: Iterable[Any], extras: Sequence[Extra], recipe: Recipe) -> Callable[[Any], str]:
    """The group of a row: its rarest tag, or its scenario; none has a group of its own."""
    scenarios = {row.slate_id: row.scenario for row in extras if isinstance(row, Scenario)}
    counted = rows if recipe.balance == "tag" else ()
    counts = Counter(tag for row in counted for tag in getattr(row, "tags", ()))

    def group(row: Any) -> str:
        if recipe.balance == "scenario":
            return scenarios.get(row.slate_id, "")
        tags: Sequence[str] = row.tags if recipe.balance == "tag" else ()
        return min(tags, key=lambda tag: (counts[tag], tag), default="")

    return group


def _drawn(found: Sequence[EncodedSet], recipe: Recipe) -> list[EncodedSet]:
    """The examples in an order drawn from the seed; balanced, each group as often as any other.

    An epoch stays as long as it was: of big groups some examples wait, small ones come round again.
    """
    order = list(found)
    rng = random.Random(recipe.seed)  # noqa: S311
    rng.shuffle(order)
    if recipe.balance == "none" or len({one.group for one in order}) < 2:
        return order
    groups: dict[str, list[EncodedSet]] = defaultdict(list)
    for one in order:
        groups[one.group].append(one)
    names = sorted(groups)
    turns = math.ceil(len(order) / len(names))
    drawn = chain.from_iterable(
        (groups[name][turn % len(groups[name])] for name in names) for turn in range(turns)
    )
    kept = list(drawn)[: len(order)]
    rng.shuffle(kept)
    return kept


def _chunks(order: Sequence[EncodedSet], size: int) -> list[list[EncodedSet]]:
    return [list(order[start : start + size]) for start in range(0, len(order), size)]


def _pairable(order: Sequence[EncodedSet], size: int) -> list[list[EncodedSet]]:
    """Chunks in which no label stands alone, for it needs another one's reply."""
    chunks = _chunks(order, max(size, 2))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        alone = chunks.pop()
        chunks[-1] += alone
    return chunks


def _mismatched(chunk: list[EncodedSet]) -> list[EncodedSet]:
    """Each label with the reply of the one before it that has another prompt; see ``objectives.mismatched``.

    Where all prompts are the same there is no such reply, and the estimate of the divergence does without.
    """
    made = []
    for i, one in enumerate(chunk):
        before = (chunk[i - back] for back in range(1, len(chunk)))
        other = next((two for two in before if two.prompt != one.prompt), None)
        made.append(one if other is None else replace(one, replies=(one.replies[0], other.replies[0])))
    return made
