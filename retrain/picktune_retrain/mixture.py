"""Which objectives a recipe trains, with which weights, and what a dataset must hold for them."""

from __future__ import annotations

import math
from typing import Literal, get_args

from picktune.errors import InvalidInput

from picktune_retrain.records import ExtraKind, Recipe

Objective = Literal["choice", "dpo", "kto", "sft"]
# Methods that train the model's own weights, and make a model of its own.
OWN_WEIGHTS = ("full", "freeze", "progressive")
# Methods that train virtual tokens before the prompt.
PROMPT_METHODS = ("prompt", "p-tuning", "prefix")
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


def weights_of(objective: str) -> dict[Objective, float]:
    """``choice=1,sft=0.1`` as weights, in the order of ``OBJECTIVES``; a name alone weighs 1.

    Raises ``InvalidInput``, saying what is possible.
    """
    found: dict[str, float] = {}
    for part in objective.split(","):
        name, given, text = part.strip().partition("=")
        name = name.strip()
        try:
            weight = float(text) if given else 1.0
        except ValueError:
            weight = math.nan
        if name not in OBJECTIVES or name in found or not (math.isfinite(weight) and weight > 0):
            raise InvalidInput(
                f"{part.strip()!r} in the objective {objective!r} is not understood; name each of "
                f"{', '.join(OBJECTIVES)} at most once, with a weight above nought, as in choice=1,sft=0.1",
                field="objective",
            )
        found[name] = weight
    return {name: found[name] for name in OBJECTIVES if name in found}


def canonical(objective: str) -> str:
    """The same mixture, always written the same way, so that a night knows it again."""
    weights = weights_of(objective)
    if list(weights.values()) == [1.0]:
        return next(iter(weights))
    return ",".join(f"{name}={weight:g}" for name, weight in weights.items())


def check(recipe: Recipe) -> dict[Objective, float]:
    """The weights of a recipe's objectives; raises ``InvalidInput`` for what does not go together."""
    weights = weights_of(recipe.objective)
    sets = "choice" in weights or "dpo" in weights
    if "dpo" in weights and recipe.epsilon >= 0.5:
        raise InvalidInput(
            f"a label smoothing of {recipe.epsilon:g} would prefer the rejected reply of a pair; use less "
            "than 0.5 with dpo",
            field="epsilon",
        )
    if recipe.ties != "off" and "choice" not in weights:
        raise InvalidInput(
            f"ties are learned by the choice objective, and this one is {recipe.objective}; add choice to "
            "it, or leave ties off",
            field="ties",
        )
    if not sets and (recipe.edits or recipe.position_bias or recipe.length_normalised):
        raise InvalidInput(
            "edits, position_bias and length_normalised change how choice sets are learned, and the "
            f"objective {recipe.objective} learns none; add choice or dpo to it, or leave them off",
            field="objective",
        )
    if recipe.kto_weights is not None and not (
        all(math.isfinite(one) and one >= 0 for one in recipe.kto_weights) and sum(recipe.kto_weights) > 0
    ):
        raise InvalidInput(
            f"weights of {recipe.kto_weights} for liked and disliked replies are not understood; both are "
            "nought or more, and not both nought",
            field="kto_weights",
        )
    if recipe.method in OWN_WEIGHTS and recipe.dtype == "bfloat16":
        raise InvalidInput(
            f"{recipe.method} trains the model's own weights, which needs float32; leave dtype at auto",
            field="dtype",
        )
    return weights


def wanted(recipe: Recipe) -> frozenset[ExtraKind]:
    """What a dataset holds for this recipe beside its choice sets."""
    weights = weights_of(recipe.objective)
    kinds: dict[ExtraKind, bool] = {
        "labelled": "kto" in weights,
        "written": "sft" in weights or recipe.edits,
        "tie": recipe.ties != "off",
        "scenario": recipe.balance == "scenario",
    }
    return frozenset(kind for kind, needed in kinds.items() if needed)
