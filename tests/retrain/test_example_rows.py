"""Which examples a recipe makes out of a dataset's rows, and in which steps they are learned from."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from msgspec import structs
from picktune.records import ChoiceSet, Message
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.examples import Examples, batches, examples, label_weights
from picktune_retrain.mixture import weights_of
from picktune_retrain.records import Extra, Labelled, Recipe, Scenario, Tie, Written

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def common(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "slate_id": name,
        "conversation_id": name,
        "messages": (Message(role="user", content=f"What of {name}?"),),
        "annotator": "ann",
        "role": "agent",
        "decided_at": NOW,
        **fields,
    }


def choice(name: str, **fields: Any) -> ChoiceSet:
    return ChoiceSet(**common(name, replies=("Yes.", "No.", "Maybe."), chosen=1, **fields))


def made(tiny_model: Any, recipe: Recipe, sets: list[ChoiceSet], extras: list[Extra]) -> Examples:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    return examples(sets, extras, tokenizer, recipe, weights_of(recipe.objective))


def encoded(number: int, kind: Any = "set", group: str = "", **fields: Any) -> EncodedSet:
    return EncodedSet(
        slate_id=f"{kind}{number}",
        prompt=(number, 1),
        replies=((2, 3),),
        chosen=0,
        kind=kind,
        group=group,
        **fields,
    )


def test_an_edit_is_the_best_of_its_set_and_the_pick_still_counts(tiny_model: Any) -> None:
    edit = Written(**common("a", completion="Surely.", shown=("Yes.", "No.", "Maybe.")))
    found = made(tiny_model, Recipe(edits=True), [choice("a")], [edit]).sets
    assert [len(one.replies) for one in found] == [3, 4]
    assert found[1].chosen == 3
    assert not found[1].placed  # nobody saw the edit anywhere
    assert found[1].replies[:3] == found[0].replies
    assert len(made(tiny_model, Recipe(), [choice("a")], [edit]).sets) == 1
    same = Written(**common("b", completion="Yes.", shown=("Yes.", "")))
    assert made(tiny_model, Recipe(edits=True), [], [same]).sets == []


def test_pairs_are_all_of_a_set_or_one_drawn_from_the_seed(tiny_model: Any) -> None:
    sets = [choice(f"c{i}") for i in range(20)]
    sets.append(structs.replace(choice("twice"), replies=("No.", "No.", "Yes.")))
    everything = made(tiny_model, Recipe(objective="dpo"), sets, []).sets
    assert [one.rejected for one in everything] == [(0, 2)] * 20 + [(2,)]
    one = made(tiny_model, Recipe(objective="dpo", pairs="one"), sets, []).sets
    again = made(tiny_model, Recipe(objective="dpo", pairs="one"), sets, []).sets
    assert one == again
    assert {len(single.replies) for single in one} == {2}
    assert len({single.replies[1] for single in one}) == 2
    assert all(single.replies[0] == whole.replies[1] for single, whole in zip(one, everything, strict=True))
    # With choice in the mixture the whole set is scored anyway.
    both = made(tiny_model, Recipe(objective="choice,dpo", pairs="one"), sets, []).sets
    assert {(len(single.replies), len(single.rejected)) for single in both} == {(3, 1)}


def test_an_annotator_counts_as_much_as_the_recipe_says(tiny_model: Any) -> None:
    sets = [choice("a"), choice("b", annotator="bob"), choice("c", annotator="cy", weight=3.0)]
    extras: list[Extra] = [
        Labelled(**common("d", reply="Hm.", desirable=False, source="thumb", annotator="bob")),
        Written(**common("e", completion="Hm.", shown=(), annotator="cy")),
        Tie(**common("f", replies=("A", "B"))),
    ]
    recipe = Recipe(objective="choice,kto,sft", ties="even", annotator_weights={"bob": 0.0, "cy": 0.5})
    found = made(tiny_model, recipe, sets, extras)
    assert [(one.slate_id, one.weight) for one in found.all] == [
        ("a", 1.0),
        ("c", 1.5),
        ("f", 1.0),
        ("e", 0.5),
    ]


def test_every_example_is_learned_from_once_an_epoch() -> None:
    found = Examples(
        sets=[encoded(i) for i in range(10)],
        labels=[encoded(i, "label") for i in range(7)],
        texts=[encoded(i, "text") for i in range(3)],
    )
    steps = batches(found, Recipe(batch=2))
    assert len(steps) == 5
    assert sorted(one.slate_id for step in steps for row in step for one in row) == sorted(
        one.slate_id for one in found.all
    )
    assert all({one.kind for one in row} == {row[0].kind} for step in steps for row in step)
    assert [sum(row[0].kind == "set" for row in step) for step in steps] == [1] * 5
    # No label stands alone: 7 in twos are 2, 2 and 3.
    labels = [len([one for row in step for one in row if one.kind == "label"]) for step in steps]
    assert sorted(labels, reverse=True) == [3, 2, 2, 0, 0]
    assert sum(len(row) for step in steps for row in step if row[0].kind == "text") == 3


def test_a_label_is_set_beside_a_reply_to_another_prompt() -> None:
    labels = [encoded(i // 2, "label", group=str(i)) for i in range(6)]  # two each to a prompt
    (step,) = batches(Examples(sets=[], labels=labels, texts=[]), Recipe(batch=6))
    assert all(len(one.replies) == 2 for row in step for one in row)
    (step,) = batches(Examples(sets=[], labels=labels[:2], texts=[]), Recipe(batch=6))
    assert all(len(one.replies) == 1 for row in step for one in row)


def test_both_labels_weigh_the_same_in_sum_unless_told() -> None:
    labels = [encoded(i, "label", desirable=i < 2) for i in range(8)]
    assert label_weights(labels, Recipe()) == (3.0, 1.0)
    assert label_weights(labels, Recipe(kto_weights=(1.0, 2.0))) == (1.0, 2.0)
    assert label_weights(labels[2:], Recipe()) == (1.0, 1.0)


def test_balanced_sampling_draws_equally_often_from_each_group() -> None:
    sets = [encoded(i, group="big") for i in range(90)] + [encoded(90 + i, group="small") for i in range(10)]
    steps = batches(Examples(sets=sets, labels=[], texts=[]), Recipe(batch=4, balance="tag"))
    drawn = Counter(one.group for step in steps for row in step for one in row)
    assert drawn == {"big": 50, "small": 50}
    plain = batches(Examples(sets=sets, labels=[], texts=[]), Recipe(batch=4))
    assert Counter(one.group for step in plain for row in step for one in row) == {"big": 90, "small": 10}


def test_groups_are_the_rarest_tag_or_the_scenario(tiny_model: Any) -> None:
    sets = [choice("a", tags=("refund", "vip")), choice("b", tags=("refund",)), choice("c")]
    recipe = Recipe(balance="tag")
    assert [one.group for one in made(tiny_model, recipe, sets, []).sets] == ["vip", "refund", ""]
    extras: list[Extra] = [Scenario(slate_id="b", scenario="lost parcel")]
    recipe = Recipe(balance="scenario")
    assert [one.group for one in made(tiny_model, recipe, sets, extras).sets] == ["", "lost parcel", ""]
    assert [one.group for one in made(tiny_model, Recipe(), sets, extras).sets] == [""] * 3
