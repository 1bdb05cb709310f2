"""The decoding loop against transformers' own, over models of several shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from picktune.engines.decoder import Decoder
from picktune.engines.network import Network
from picktune.engines.prefixes import PrefixStore
from picktune.engines.rows import Row
from picktune.records import Message, Sampling
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

GREEDY = Sampling(temperature=0.0, max_tokens=24)
SIZES: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "initializer_range": 0.3,
}


@pytest.fixture(scope="module", params=["llama", "qwen3", "mistral-sliding", "gpt2"])
def folder(request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: Any) -> Path:
    if request.param == "llama":
        return tiny_model
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "vocab_size": len(tokenizer)}
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model: Any = {
            "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, **ends)),
            "mistral-sliding": lambda: MistralForCausalLM(MistralConfig(**SIZES, **ends, sliding_window=24)),
            "gpt2": lambda: GPT2LMHeadModel(
                GPT2Config(n_embd=48, n_layer=2, n_head=4, initializer_range=0.3, **ends)
            ),
        }[request.param]()
    made: Path = tmp_path_factory.mktemp("models") / request.param
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    return Network(str(folder), dtype="float32")


def row(network: Network, text: str, **options: Any) -> Row:
    messages = [
        Message(role="system", content="The shop closes at six."),
        Message(role="user", content=text),
    ]
    prompt, limit = network.encode(messages, options.get("sampling", GREEDY).max_tokens)
    given: dict[str, Any] = {"adapter": None, "sampling": GREEDY, "seed": 1} | options
    return Row(prompt=prompt, limit=limit, **given)


def finish(decoder: Decoder) -> None:
    while decoder.rows:
        decoder.step()


def reference(folder: Path, prompt: tuple[int, ...], count: int) -> list[int]:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([prompt])
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return list(made[0, len(prompt) :].tolist())


def test_greedy_rows_are_what_transformers_generates(network: Network, folder: Path) -> None:
    decoder = Decoder(network)
    rows = [row(network, text) for text in ("Hi", "Where is my parcel? " * 3, "Hi", "你好")]
    decoder.add(rows)
    finish(decoder)
    for one in rows:
        assert one.tokens == reference(folder, one.prompt, len(one.tokens))
    assert rows[0].tokens == rows[2].tokens


def test_rows_that_join_later_change_nothing(network: Network, folder: Path) -> None:
    decoder = Decoder(network)
    first = row(network, "a long question " * 6)
    decoder.add([first])
    joined = []
    for i in range(4):
        decoder.step()
        late = row(network, "Hi " * i)
        if decoder.fits(late, []):
            decoder.add([late])
            joined.append(late)
    finish(decoder)
    # A model whose cache cannot be rebuilt takes newcomers only when its batch is done.
    assert bool(joined) == network.elastic == ("sliding" not in folder.name)
    for one in (first, *joined):
        assert one.tokens == reference(folder, one.prompt, len(one.tokens))


def test_rows_may_end_at_different_times(network: Network, folder: Path) -> None:
    decoder = Decoder(network)
    rows = [
        row(network, f"number {i}", sampling=Sampling(temperature=0.0, max_tokens=1 + 3 * i))
        for i in range(9)
    ]
    decoder.add(rows)
    finish(decoder)
    for one in rows:
        assert one.finish is not None
        assert one.tokens == reference(folder, one.prompt, len(one.tokens))


def test_a_cancelled_row_leaves_the_others_alone(network: Network, folder: Path) -> None:
    decoder = Decoder(network)
    rows = [row(network, f"number {i}") for i in range(4)]
    decoder.add(rows)
    decoder.step()
    rows[1].cancelled = True
    finish(decoder)
    assert len(rows[1].tokens) == 2
    for one in (rows[0], rows[2], rows[3]):
        assert one.tokens == reference(folder, one.prompt, len(one.tokens))


def test_what_prompts_share_is_computed_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(str(tiny_model), dtype="float32")
    computed: list[int] = []
    forward = network.forward

    def counted(adapters: Any, tokens: Any, lengths: Any, cache: Any) -> Any:
        computed.append(sum(map(len, tokens)))
        return forward(adapters, tokens, lengths, cache)

    monkeypatch.setattr(network, "forward", counted)
    decoder = Decoder(network)
    rows = [row(network, f"question {i}") for i in range(8)]
    decoder.add(rows)
    assert sum(computed) < 0.5 * sum(len(one.prompt) for one in rows)
    computed.clear()
    finish(decoder)
    decoder.clear()
    computed.clear()
    decoder.add([row(network, "question 3")])
    assert sum(computed) <= 2


def test_what_is_known_of_a_prompt_is_its_own_adapters_only(tiny_model: Path, tiny_adapter: Any) -> None:
    network = Network(str(tiny_model), dtype="float32")
    v1, v2 = (network.read_adapter(name, tiny_adapter(name, seed)) for seed, name in enumerate(("v1", "v2")))
    fresh = []
    for adapter in (None, v1, v2):
        decoder = Decoder(network)
        one = row(network, "Hello", adapter=adapter)
        decoder.add([one])
        finish(decoder)
        fresh.append(one.tokens)
    assert len({tuple(tokens) for tokens in fresh}) == 3
    decoder = Decoder(network)
    for _ in range(2):
        again = [row(network, "Hello", adapter=adapter) for adapter in (v2, None, v1)]
        decoder.add(again)
        finish(decoder)
        assert [one.tokens for one in again] == [fresh[2], fresh[0], fresh[1]]
    decoder.forget(v1)
    assert decoder._prefixes.longest(v1, again[0].prompt) == (0, None)
    assert decoder._prefixes.longest(v2, again[0].prompt)[0] > 0


def test_the_store_of_prefixes_stays_in_its_limit(tiny_model: Path) -> None:
    network = Network(str(tiny_model), dtype="float32")
    decoder = Decoder(network)
    decoder._prefixes = PrefixStore(limit=200_000)
    for i in range(30):
        decoder.add([row(network, f"{i} " * 30)])
        finish(decoder)
        assert decoder._prefixes._size <= 200_000
    assert 0 < len(decoder._prefixes._kept) < 30


def test_a_batch_takes_no_more_than_it_can_hold(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picktune.engines.decoder.CACHE_TOKENS", 500)
    network = Network(str(tiny_model), dtype="float32")
    decoder = Decoder(network)
    huge, small = row(network, "x" * 900), row(network, "hi")
    assert decoder.fits(huge, [])
    assert not decoder.fits(huge, [small])
    decoder.add([huge])
    assert not decoder.fits(small, [])
    finish(decoder)
    assert decoder.fits(small, [])
