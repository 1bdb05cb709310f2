"""The options of ``picktune nightly`` that make up a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from picktune.errors import InvalidInput

from picktune_retrain import mixture
from picktune_retrain.records import Recipe

RECIPE = Recipe()
# What whole weights take is a tenth of what a LoRA takes, and virtual tokens take ten times as much.
RATES = {"lora": RECIPE.learning_rate, "full": RECIPE.learning_rate / 10, "prompt": RECIPE.learning_rate * 10}
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--epochs", type=click.IntRange(1, 100), default=RECIPE.epochs, show_default=True),
    click.option(
        "--max-steps",
        type=click.IntRange(1),
        metavar="STEPS",
        help="End the training after so many steps, whatever the epochs.",
    ),
    click.option("--batch", type=click.IntRange(1, 1024), default=RECIPE.batch, show_default=True),
    click.option(
        "--row-tokens",
        type=click.IntRange(64, 1_000_000),
        default=RECIPE.row_tokens,
        show_default=True,
        help="Tokens that go through the model at once; a step with more adds up the gradients of its rows.",
    ),
    click.option(
        "--checkpointing",
        is_flag=True,
        help="Keep the inputs of the layers only and compute the rest again: less memory, more time.",
    ),
    click.option(
        "--attention",
        type=click.Choice(["auto", "blocks", "sdpa", "flex"]),
        default=RECIPE.attention,
        show_default=True,
        help="What computes packed attention; what does not work here is passed over.",
    ),
    click.option("--rank", type=click.IntRange(1, 64), default=RECIPE.rank, show_default=True),
    click.option(
        "--learning-rate",
        type=click.FloatRange(0, 1, min_open=True),
        default=None,
        show_default=", ".join(f"{rate:g} with {name}" for name, rate in RATES.items()),
    ),
    click.option(
        "--max-prompt",
        type=click.IntRange(16),
        default=RECIPE.max_prompt,
        show_default=True,
        metavar="TOKENS",
        help="Longer prompts lose their oldest messages.",
    ),
    click.option(
        "--max-reply",
        type=click.IntRange(1),
        default=RECIPE.max_reply,
        show_default=True,
        metavar="TOKENS",
        help="Rows with a longer reply are not trained on; replies are never cut.",
    ),
    click.option("--seed", type=click.IntRange(0), default=RECIPE.seed, show_default=True),
    click.option(
        "--method",
        type=click.Choice(["lora", "qlora", "full", "freeze", "progressive", "prompt", "p-tuning", "prefix"]),
        default=RECIPE.method,
        show_default=True,
        help="What is trained: an adapter, a checkpoint, or virtual tokens.",
    ),
    click.option(
        "--targets",
        default=RECIPE.targets,
        show_default=True,
        help="The layers that LoRA adapts: all, attention, mlp, or names, as q_proj,v_proj.",
    ),
    click.option("--rslora", is_flag=True, help="Scale LoRA by alpha over the root of the rank."),
    click.option(
        "--quantised",
        type=click.Choice(["nf4", "int8"]),
        default=RECIPE.quantised,
        show_default=True,
        help="With qlora: what the base is kept in.",
    ),
    click.option(
        "--thawed",
        default=RECIPE.thawed,
        show_default=True,
        help="With freeze: how many of the last layers are trained, or names, as lm_head,layers.29.",
    ),
    click.option(
        "--stages",
        type=click.IntRange(1, 20),
        default=RECIPE.stages,
        show_default=True,
        help="With progressive: in how many stages the layers are let in.",
    ),
    click.option(
        "--virtual-tokens",
        type=click.IntRange(1, 1024),
        default=RECIPE.virtual_tokens,
        show_default=True,
        help="With prompt, p-tuning and prefix: how many stand before the prompt.",
    ),
    click.option(
        "--objective",
        default=RECIPE.objective,
        show_default=True,
        metavar="MIXTURE",
        help="What is learned: choice, dpo, kto or sft, or several with weights, as choice=1,sft=0.1.",
    ),
    click.option(
        "--pairs",
        type=click.Choice(["all", "one"]),
        default=RECIPE.pairs,
        show_default=True,
        help="With dpo: every pair of a choice set, or one at random.",
    ),
    click.option("--edits", is_flag=True, help="What people wrote is the best member of its choice set."),
    click.option(
        "--ties",
        type=click.Choice(["off", "set", "even"]),
        default=RECIPE.ties,
        show_default=True,
        help="Learn from ties too: as sets, or as evenly split choices.",
    ),
    click.option(
        "--beta",
        type=click.FloatRange(0, min_open=True),
        default=RECIPE.beta,
        show_default=True,
        help="How far the adapter may move from the base; with --length-normalised try 5.",
    ),
    click.option(
        "--label-smoothing",
        "epsilon",
        type=click.FloatRange(0, 1, max_open=True),
        default=RECIPE.epsilon,
        show_default=True,
        help="The share of picks that are taken for noise.",
    ),
    click.option(
        "--length-normalised", is_flag=True, help="Compare log-ratios a token, not of whole replies."
    ),
    click.option(
        "--length-penalty",
        type=click.FloatRange(0, 10),
        default=RECIPE.length_penalty,
        show_default=True,
        help="How many nats of a preference each token of a longer reply explains.",
    ),
    click.option(
        "--kto-weights",
        type=(click.FloatRange(0), click.FloatRange(0)),
        metavar="LIKED DISLIKED",
        help="With kto: weights of liked and disliked replies; by default both weigh the same in sum.",
    ),
    click.option(
        "--annotator-weight",
        "annotator_weights",
        multiple=True,
        metavar="NAME=WEIGHT",
        help="How much this annotator's rows count; 0 leaves them out. May be given several times.",
    ),
    click.option(
        "--balance",
        type=click.Choice(["none", "tag", "scenario"]),
        default=RECIPE.balance,
        show_default=True,
        help="Draw equally often from each tag, or from each scenario.",
    ),
    click.option(
        "--position-bias", is_flag=True, help="Take out how much the place of a reply sways those who pick."
    ),
)


def recipe_options(command: F) -> F:
    """Add the options to a command, which gets them by the names of the recipe's fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def recipe_of(flags: dict[str, Any]) -> Recipe:
    """Take the recipe's fields out of a command's options; raises ``InvalidInput`` if they contradict."""
    fields = {name: flags.pop(name) for name in list(flags) if name in Recipe.__struct_fields__}
    fields["objective"] = mixture.canonical(fields["objective"])
    fields["annotator_weights"] = dict(sorted(map(_weight, fields["annotator_weights"])))
    if fields["learning_rate"] is None:
        kinds = {"full": mixture.OWN_WEIGHTS, "prompt": mixture.PROMPT_METHODS}
        alike = (name for name, methods in kinds.items() if fields["method"] in methods)
        fields["learning_rate"] = RATES[next(alike, "lora")]
    # α = 2 r keeps the adapter's scale, and with it the learning rate, the same at every rank.
    recipe = Recipe(**fields, alpha=2 * fields["rank"])
    mixture.check(recipe)
    return recipe


def _weight(text: str) -> tuple[str, float]:
    name, _, given = text.rpartition("=")
    try:
        weight = float(given)
    except ValueError:
        weight = -1.0
    if not name or not 0 <= weight <= 1000:
        raise InvalidInput(
            f"--annotator-weight {text!r} is not understood; write it as ann=0.5, from 0 to 1000",
            field="annotator_weights",
        )
    return name, weight
