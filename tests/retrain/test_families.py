"""Llama, Qwen, GLM and Gemma, tiny and random: each in its own chat format, trained packed and served."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from picktune.engines.local import LocalEngine
from picktune.records import ChoiceSet, Message, Sampling
from picktune_adapters.check import check_adapter
from picktune_retrain.choice import score
from picktune_retrain.encoding import encode, end_of_turn
from picktune_retrain.evaluate import evaluate
from picktune_retrain.records import Recipe
from picktune_retrain.train import train

NOW = datetime(2026, 11, 24, tzinfo=UTC)
RECIPE = Recipe(dtype="float32", rank=4, learning_rate=5e-3, batch=4, epochs=4, lam=0.0)
SEPARATE = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


class Family(NamedTuple):
    """A model type with what is its own: configuration, control tokens, chat format, adapted layers."""

    model_type: str
    options: dict[str, Any]
    tokens: tuple[str, ...]
    begin: str
    turn: str  # of a message, with {role} and {content}
    opening: str  # of the reply
    end: str
    layers: set[str]
    assistant: str = "assistant"


FAMILIES = {
    "llama": Family(
        "llama",
        {},
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
        SEPARATE,
    ),
    "qwen2": Family(
        "qwen2",
        {},
        ("<|im_start|>", "<|im_end|>"),
        "",
        "<|im_start|>{role}\n{content}<|im_end|>\n",
        "<|im_start|>assistant\n",
        "<|im_end|>",
        SEPARATE,
    ),
    "qwen3": Family(
        "qwen3",
        {"head_dim": 16},
        ("<|im_start|>", "<|im_end|>"),
        "",
        "<|im_start|>{role}\n{content}<|im_end|>\n",
        "<|im_start|>assistant\n",
        "<|im_end|>",
        SEPARATE,
    ),
    "glm": Family(
        "glm",
        {"head_dim": 16, "partial_rotary_factor": 0.5},
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        "[gMASK]<sop>",
        "<|{role}|>\n{content}",
        "<|assistant|>\n",
        "<|endoftext|>",  # its format closes no turn: the next one's role does
        {"q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"},
    ),
    "glm4": Family(
        "glm4",
        {"head_dim": 16, "partial_rotary_factor": 0.5},
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        "[gMASK]<sop>",
        "<|{role}|>\n{content}",
        "<|assistant|>\n",
        "<|endoftext|>",
        {"q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"},
    ),
    "gemma": Family(
        "gemma3_text",
        # Its embeddings are its head too: random ones would repeat the last token whatever the layers say.
        {"head_dim": 16, "sliding_window": 512, "query_pre_attn_scalar": 16, "tie_word_embeddings": False},
        ("<bos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<start_of_turn>{role}\n{content}<end_of_turn>\n",
        "<start_of_turn>model\n",
        "<end_of_turn>",
        SEPARATE,
        "model",
    ),
}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Family, Path]:
    """A family, and the folder of a tiny random model of it."""
    family = FAMILIES[request.param]
    return family, build(family, tmp_path_factory.mktemp("families") / request.param)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def template(family: Family) -> str:
    role = f"('{family.assistant}' if m['role'] == 'assistant' else m['role'])"
    before, _, rest = family.turn.partition("{role}")
    between, _, after = rest.partition("{content}")
    said = "".join(f"{{{{ {text!r} }}}}" if text else "" for text in (before,))
    said += f"{{{{ {role} }}}}{{{{ {between!r} }}}}{{{{ m['content'] }}}}{{{{ {after!r} }}}}"
    opening = f"{{% if add_generation_prompt %}}{{{{ {family.opening!r} }}}}{{% endif %}}"
    return f"{{{{ {family.begin!r} }}}}{{% for m in messages %}}{said}{{% endfor %}}{opening}"


def build(family: Family, folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    vocabulary = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<|endoftext|>", *family.tokens])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|endoftext|>", pad_token="<|endoftext|>", model_max_length=1024
    )
    tokenizer.chat_template = template(family)
    config = AutoConfig.for_model(
        family.model_type,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(family.end),
        pad_token_id=tokenizer.pad_token_id,
        **family.options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(20)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def choice_sets(count: int, start: int = 0) -> list[ChoiceSet]:
    sets = []
    for i in range(start, start + count):
        rng = random.Random(i)
        replies = [
            rng.choice(("Sorry! Which?", "Sorry, which one?")),
            "Wait.",
            rng.choice(("No.", "Call us.")),
        ]
        rng.shuffle(replies)
        sets.append(
            ChoiceSet(
                slate_id=f"s{i}",
                conversation_id=f"c{i}",
                messages=(
                    Message(role="system", content="You help the customers of a shop, in one sentence."),
                    Message(role="user", content=f"Where is parcel {i}?"),
                ),
                replies=tuple(replies),
                chosen=next(j for j, reply in enumerate(replies) if reply.startswith("Sorry")),
                annotator="a",
                role="agent",
                decided_at=NOW,
            )
        )
    return sets


def test_its_own_format_goes_in(made: tuple[Family, Path]) -> None:
    from transformers import AutoTokenizer

    family, folder = made
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (one,) = choice_sets(1)
    row = encode(one, tokenizer, RECIPE)
    text = tokenizer.decode(list(row.prompt))
    turns = [family.turn.format(role=m.role, content=m.content) for m in one.messages]
    assert text == family.begin + "".join(turns) + family.opening
    assert tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)) == family.end
    assert {reply[-1] for reply in row.replies} == {end_of_turn(tokenizer)}
    # What somebody types that looks like a control token stays text.
    trick = encode(
        ChoiceSet(
            slate_id="t", conversation_id="t", messages=(Message(role="user", content=family.tokens[-1]),),
            replies=(family.tokens[-1], "No."), chosen=0, annotator="a", role="agent", decided_at=NOW,
        ), tokenizer, RECIPE,
    )  # fmt: skip
    control = tokenizer.convert_tokens_to_ids(family.tokens[-1])
    assert control not in trick.replies[0][:-1]
    assert list(trick.prompt).count(control) == family.turn.count(family.tokens[-1]) + family.opening.count(
        family.tokens[-1]
    )


def test_it_learns_packed_and_is_served(
    made: tuple[Family, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    family, folder = made
    with caplog.at_level(logging.WARNING):
        train(
            choice_sets(24), choice_sets(3, 90), dataset_id="d", base_model=folder, recipe=RECIPE,
            folder=tmp_path / "v1", now=NOW,
        )  # fmt: skip
    assert not [r for r in caplog.records if "row for each reply" in r.message]  # the self-check let it pack
    config = json.loads((tmp_path / "v1" / "adapter_config.json").read_text("utf-8"))
    assert {name.rsplit(".", 1)[-1] for name in config["target_modules"]} == family.layers
    shape = check_adapter(tmp_path / "v1", base=folder)
    assert len(shape.modules) == 2 * len(family.layers)

    unseen = choice_sets(9, 200)
    scores = score(unseen, base_model=folder, adapter=tmp_path / "v1", recipe=RECIPE)
    judged = evaluate(unseen, scores, beta=RECIPE.beta)
    assert judged.adapter.accuracy > 2 * judged.chance.accuracy

    async def reply(name: str | None) -> str:
        (one,) = await engine.generate(
            unseen[0].messages, model=name, n=1, sampling=Sampling(temperature=0.0, max_tokens=12), seed=1
        )
        return one.text

    engine = LocalEngine(folder, dtype="float32")

    async def serve() -> list[str]:
        await engine.start()
        try:
            await engine.load("v1", tmp_path / "v1")
            return [await reply(None), await reply("v1"), await reply(None)]
        finally:
            await engine.close()

    base, tuned, again = asyncio.run(serve())
    assert base == again != tuned
