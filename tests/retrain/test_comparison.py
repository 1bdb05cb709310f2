"""The adapter beside its rivals, its base and the champion: the figures, and what the gate makes of them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.records import ChoiceSet, Message
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from picktune_retrain import nights
from picktune_retrain.comparison import Comparison, let_them_speak
from picktune_retrain.conduct import Conduct, conduct, refuses, repeats
from picktune_retrain.drift import Drift, measure_drift
from picktune_retrain.errors import StateCorrupt
from picktune_retrain.gate import Gate, admit, checks
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan, Summary
from picktune_retrain.records import Evaluation, Figures, Recipe
from picktune_retrain.replies import Golden, GoldenOutcome, SideBySide, golden_prompts, spread
from picktune_retrain.rivals import (
    Rival,
    TagFigures,
    against_champion,
    against_places,
    by_tag,
    learn_places,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def choice(
    number: int, chosen: int, *, shown: int = 4, tags: tuple[str, ...] = (), same: bool = False
) -> ChoiceSet:
    return ChoiceSet(
        slate_id=f"slate-{number}",
        conversation_id=f"conversation-{number}",
        messages=(Message(role="user", content=f"question {number}"),),
        replies=tuple(f"reply {i}" for i in range(shown)),
        chosen=chosen,
        annotator="ann",
        role="agent",
        tags=tags,
        decided_at=NOW,
    )


def likes(one: ChoiceSet, favourite: int | None, strength: float = 4.0) -> list[float]:
    """The rewards of an adapter that holds one reply for better by so many nats; ``None`` has no opinion."""
    return [strength * (i == favourite) for i in range(len(one.replies))]


# Rivals


def test_places_are_learned_with_one_imagined_pick_each() -> None:
    sets = [choice(i, 0) for i in range(6)] + [choice(9, 1, shown=2)]
    assert learn_places(sets) == {4: (0.7, 0.1, 0.1, 0.1), 2: (1 / 3, 2 / 3)}


def test_an_adapter_that_knows_only_places_gains_nothing_over_them() -> None:
    rng = random.Random(1)
    draws = [rng.choices(range(4), (0.7, 0.1, 0.1, 0.1))[0] for _ in range(400)]
    places = learn_places([choice(i, chosen) for i, chosen in enumerate(draws[:200])])
    sets = [choice(i, chosen) for i, chosen in enumerate(draws[200:])]
    blind = against_places(sets, [likes(one, 0, math.log(7)) for one in sets], places)
    assert abs(blind.gain) < 0.02
    assert blind.figures.accuracy == pytest.approx(draws[200:].count(0) / 200)
    knowing = against_places(sets, [likes(one, one.chosen) for one in sets], places)
    assert knowing.gain > knowing.gain_low > 0.5
    assert knowing.gain_high > knowing.gain


def test_how_many_replies_were_never_seen_before_leaves_places_to_chance() -> None:
    one = choice(1, 2, shown=3)
    rival = against_places([one], [likes(one, None)], {4: (0.25,) * 4})
    assert rival.figures.log_loss == pytest.approx(math.log(3))
    assert rival.gain == pytest.approx(0.0)


def test_the_champion_is_met_on_the_same_sets() -> None:
    sets = [choice(i, i % 4) for i in range(40)]
    good = [likes(one, one.chosen) for one in sets]
    poor = [likes(one, (one.chosen + 1) % 4) for one in sets]
    ahead = against_champion(sets, good, poor)
    behind = against_champion(sets, poor, good)
    assert ahead.gain == pytest.approx(4.0)
    assert behind.gain == pytest.approx(-4.0)
    assert behind.gain_high < 0 < ahead.gain_low
    assert ahead.figures.accuracy == 0.0


def test_a_tag_that_suffers_is_found() -> None:
    sets = [choice(i, i % 4, tags=("refunds",) if i % 2 else ("sizes", "sizes")) for i in range(40)]
    sets.append(choice(99, 0, tags=("rare",)))
    given = [likes(one, (one.chosen + ("refunds" in one.tags)) % 4) for one in sets]
    found = {one.tag: one for one in by_tag(sets, given)}
    assert set(found) == {"refunds", "sizes"}, "a handful of sets says nothing of a tag"
    assert found["sizes"].accuracy == 1.0
    assert found["refunds"].accuracy == 0.0
    assert found["refunds"].gain_high < 0 < found["sizes"].gain
    assert found["sizes"].sets == 20


# Conduct


@pytest.mark.parametrize(
    "text",
    [
        "I hope you're well. " * 4,
        "好的" * 4,
        "Yes.\nYes.\nYes.\n\nYes.\n",
        "Fine. " + "and so on, " * 9,
    ],
)
def test_a_loop_is_heard(text: str) -> None:
    assert repeats(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Thank you. " * 3,
        "-" * 200,
        "1000000000000",
        "Sorry about that! Which order is it? " * 2,
        "。" * 50,
    ],
)
def test_what_is_no_loop(text: str) -> None:
    assert not repeats(text)


def test_looking_for_loops_takes_no_time_to_speak_of() -> None:
    rng = random.Random(3)
    assert not repeats("".join(rng.choice("abcdefgh ") for _ in range(20_000)))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("I'm sorry, but I cannot help with that.", True),
        ("As an AI language model, I have no opinion.", True),
        ("I’m unable to assist with exchanges.", True),
        ("很抱歉，我无法提供这些信息。", True),
        ("I cannot find your order; could you send me the number?", False),
        ("我们无法今天发货，明天可以。", False),
        ("I can help with that.", False),
    ],
)
def test_refusals_in_the_usual_words(text: str, is_one: bool) -> None:
    assert refuses(text) is is_one


def test_shares_are_of_all_replies() -> None:
    made = conduct("base", ["", "ok", "I cannot help.", "no no no no no no"])
    assert made == Conduct(name="base", replies=4, letters=8.25, empty=0.25, repeating=0.25, refusing=0.25)


# Golden prompts


def test_golden_prompts_are_read_and_judged(tmp_path: Path) -> None:
    assert golden_prompts(tmp_path) == ()
    line = {
        "id": "polite",
        "messages": [{"role": "user", "content": "?"}],
        "must": ["sorry|抱歉"],
        "must_not": ["refund"],
    }
    (tmp_path / "golden.jsonl").write_text("\ufeff" + json.dumps(line, ensure_ascii=False) + "\n\n", "utf-8")
    (golden,) = golden_prompts(tmp_path)
    assert golden.passes("SORRY about that")
    assert golden.passes("非常抱歉")
    assert not golden.passes("sorry, no REFUND")
    assert not golden.passes("hm")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "line 1: Object missing required field `id`"),
        (b'\n{"id": "a", "messages": [{"role": "user", "content": "?"}], "must": ["("]}', "line 2"),
        (b'{"id": "a", "messages": []}', "length >= 1"),
        (b'{"id": "a", "messages": [{"role": "user", "content": "?"}]}\n' * 2, "there twice"),
        ("{'id': '好'}".encode("gbk"), "save it as UTF-8"),
    ],
)
def test_golden_prompts_that_cannot_be_used(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "golden.jsonl").write_bytes(content)
    with pytest.raises(StateCorrupt) as refused:
        golden_prompts(tmp_path)
    assert words in str(refused.value)


def test_prompts_are_spread_and_differ() -> None:
    sets = [choice(i // 2, 0) for i in range(20)]
    assert [one.slate_id for one in spread(sets, 4)] == ["slate-0", "slate-3", "slate-6", "slate-9"]
    assert len(spread(sets, 99)) == 10
    assert spread([], 5) == spread(sets, 0) == []


# The gate

GOOD = Evaluation(
    sets=12,
    adapter=Figures(accuracy=0.75, log_loss=0.9),
    base=Figures(accuracy=0.3, log_loss=1.3),
    chance=Figures(accuracy=0.25, log_loss=1.386),
    gain=0.486,
    gain_low=-0.05,
    accuracy_low=0.5,
)
SAID = SideBySide(
    slate_id="s", messages=(Message(role="user", content="?"),), picked="x" * 100, replies={"challenger": "y"}
)


def rival(name: str, gain: float) -> Rival:
    return Rival(name=name, figures=GOOD.base, gain=gain, gain_low=gain - 0.3, gain_high=gain + 0.3)


def spoken(name: str, **changes: Any) -> Conduct:
    sound = Conduct(name=name, replies=20, letters=110.0, empty=0.0, repeating=0.1, refusing=0.05)
    return structs.replace(sound, **changes)


FINE = Comparison(
    champion="2026-11-20-1",
    rivals=(rival("position", 0.4), rival("champion", -0.1)),
    by_tag=(
        TagFigures(tag="refunds", sets=6, accuracy=0.5, chance=0.25, gain=-0.1, gain_high=0.2),
        TagFigures(tag="sizes", sets=6, accuracy=0.9, chance=0.25, gain=0.6, gain_high=0.9),
    ),
    drift=Drift(sets=12, kl=0.24, chosen=-0.1, general_base=3.4, general_adapter=3.5),
    conduct=(spoken("base"), spoken("challenger", letters=90.0)),
    golden=(
        GoldenOutcome(id="kept", passed={"base": True, "challenger": True}, reply="a"),
        GoldenOutcome(id="never", passed={"base": False, "challenger": False}, reply="b"),
    ),
    replies=(SAID,),
)


def test_what_does_no_harm_is_admitted_with_a_reason_for_each_check() -> None:
    decision = admit(GOOD, comparison=FINE)
    assert decision.admitted
    assert len(decision.reasons) == 15
    assert any("not surely worse than the champion 2026-11-20-1" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"rivals": (rival("position", 0.0),)}, "position", "no better than looking at a reply's place"),
        ({"rivals": (rival("champion", -0.4),)}, "champion", "surely worse than the champion 2026-11-20-1"),
        (
            {"by_tag": (structs.replace(FINE.by_tag[0], gain_high=-0.1), FINE.by_tag[1])},
            "tag",
            "tag 'refunds' does worst, and surely worse",
        ),
        ({"drift": structs.replace(FINE.drift, kl=4.1)}, "kl", "too far from the base"),
        ({"drift": structs.replace(FINE.drift, kl=math.nan)}, "kl", "too far from the base"),
        ({"drift": structs.replace(FINE.drift, chosen=-1.1)}, "chosen", "sunk: -1.10"),
        ({"drift": structs.replace(FINE.drift, general_adapter=4.0)}, "general", "lost what the base knew"),
        (
            {"conduct": (spoken("base"), spoken("challenger", empty=0.25))},
            "empty",
            "answers with nothing",
        ),
        ({"conduct": (spoken("base"), spoken("challenger", repeating=0.35))}, "repeating", "repeats itself"),
        ({"conduct": (spoken("base"), spoken("challenger", refusing=0.3))}, "refusing", "refuses"),
        ({"conduct": (spoken("base"), spoken("challenger", letters=410.0))}, "length", "4.10 times"),
        ({"conduct": (spoken("base"), spoken("challenger", letters=20.0))}, "length", "0.20 times"),
        ({"conduct": (spoken("base"), spoken("challenger", letters=0.0))}, "length", "0.00 times"),
        (
            {"golden": (GoldenOutcome(id="hello", passed={"base": True, "challenger": False}, reply=""),)},
            "golden",
            "fails 1 golden prompts that the base passes: hello",
        ),
    ],
)
def test_each_of_them_can_refuse(changes: dict[str, Any], name: str, words: str) -> None:
    compared = structs.replace(FINE, **changes)
    assert [one.name for one in checks(GOOD, Gate(), compared) if not one.passed] == [name]
    decision = admit(GOOD, comparison=compared)
    assert not decision.admitted
    assert any(words in reason for reason in decision.reasons), decision.reasons


def test_a_base_that_talks_at_length_excuses_its_adapter() -> None:
    long = structs.replace(FINE, conduct=(spoken("base", letters=500.0), spoken("challenger", letters=700.0)))
    assert admit(GOOD, comparison=long).admitted


def test_one_odd_reply_of_a_few_is_an_accident() -> None:
    few = (spoken("base", replies=4, repeating=0.0), spoken("challenger", replies=4, repeating=0.5))
    assert admit(GOOD, comparison=structs.replace(FINE, conduct=few)).admitted


# On a real model


@pytest.fixture(scope="module")
def home(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, fill_log: Callable[..., Path]) -> Path:
    """A home after two nights; the first one's adapter is champion, and there is a golden prompt."""
    home = fill_log(tmp_path_factory.mktemp("compared") / "home")
    golden = {"id": "any", "messages": [{"role": "user", "content": "Where?"}], "must": ["."]}
    (home / "golden.jsonl").write_text(json.dumps(golden))
    settings = Settings(home=str(home), model=str(tiny_model), roles=("agent",))
    plan = Plan(recipe=Recipe(learning_rate=3e-3, epochs=1), gate=Gate(max_kl=9), replies=3)
    first = nightly(settings, plan)
    assert first.exit_code == Summary.ADMITTED, first
    assert first.adapter is not None
    Registry(settings.registry_path).promote(first.adapter.name, by="ann", reason="people like it", now=NOW)
    nightly(settings, structs.replace(plan, force=True))
    return home


def compared(home: Path, which: int) -> Comparison:
    folder = nights.all_nights(home)[which].folder
    made: Comparison = nights.read(folder / "compare.json", Comparison)
    return made


def test_a_night_sets_its_adapter_beside_the_champion(home: Path) -> None:
    first, second = compared(home, 0), compared(home, 1)
    assert first.champion is None
    assert [one.name for one in first.rivals] == ["position"]
    assert set(first.replies[0].replies) == {"base", "challenger"}
    assert second.champion is not None
    # The same picks and the same recipe make the same adapter: neither is better.
    (champion,) = [one for one in second.rivals if one.name == "champion"]
    assert champion.gain == pytest.approx(0.0, abs=1e-6)
    assert [one.name for one in second.conduct] == ["base", "champion", "challenger"]
    assert len(second.replies) == 3
    for one in second.replies:
        assert one.replies["champion"] == one.replies["challenger"]
    assert second.golden[0].id == "any"


def test_the_report_shows_it(home: Path) -> None:
    page = (nights.all_nights(home)[1].folder / "report.html").read_text("utf-8")
    for words in (
        "Side by side",
        "并排对比",
        "KL from the base",
        "Champion",
        "Golden prompts",
        "普通文本困惑度",
    ):
        assert words in page


def test_the_base_has_not_moved_from_itself_and_a_trained_adapter_has(home: Path, tiny_model: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    recipe = Recipe(learning_rate=3e-3)
    sets = [structs.replace(choice(i, 0), replies=("Sorry! Which order?", "Please wait.")) for i in range(4)]
    folder = Registry(home / "registry").folder(compared(home, 1).champion or "")
    moved = measure_drift(sets, base_model=tiny_model, adapter=folder, recipe=recipe)
    assert moved.kl > 0.01
    assert moved.chosen > 0.0, "what people picked in training has become likelier"
    still = home / "still"
    still.mkdir()
    (still / "adapter_config.json").write_bytes((folder / "adapter_config.json").read_bytes())
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({n: torch.zeros_like(w) for n, w in weights.items()}, still / "adapter_model.safetensors")
    base = measure_drift(sets, base_model=tiny_model, adapter=still, recipe=recipe)
    assert base.kl == pytest.approx(0.0, abs=1e-6)
    assert base.chosen == pytest.approx(0.0, abs=1e-6)
    assert base.general_adapter == base.general_base == moved.general_base
    assert 0 < base.general_base < 2 * math.log(5000)


def test_nothing_to_say_needs_no_model(tmp_path: Path) -> None:
    spoken = let_them_speak([choice(1, 0)], count=0, base_model="none", adapter=tmp_path, champion=None)
    assert spoken.replies == spoken.conduct == spoken.golden == ()
    assert Golden(id="a", messages=(Message(role="user", content="?"),)).passes("")
