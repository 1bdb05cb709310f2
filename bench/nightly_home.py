"""What the benchmarks of the nightly run need: a tiny random model, and picks of a clear taste."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from picktune.log import SQLiteLog
from picktune.records import Candidate, Exposure, Message, Pick, Slate, Turn

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KIND = ("Sorry! Which order?", "Sorry! Your number?", "Sorry, which one is it?")
OTHERS = ("Please wait.", "Call the carrier.", "It is on its way.", "See our pages.", "Hm.")
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_model(folder: Path) -> Path:
    """A random two-layer Llama over bytes with a chat template, in ``folder``; nothing is downloaded."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokens = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=2048, **tokens)
    tokenizer.chat_template = CHAT
    torch.manual_seed(20)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            initializer_range=0.2,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=False,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


async def fill(home: Path, picks: int) -> None:
    """A log in ``home`` in which an apology is picked out of four replies, so many times."""
    async with SQLiteLog.open(home / "picktune.db") as log:
        for number in range(picks):
            rng, at = random.Random(number), BEGIN + timedelta(minutes=number)
            texts = [rng.choice(KIND), *rng.sample(OTHERS, 3)]
            rng.shuffle(texts)
            turn = Turn(
                id=f"turn-{number:06}",
                conversation_id=f"conversation-{number}",
                messages=(Message(role="user", content=f"Where is parcel {number}?"),),
                created_at=at,
            )
            candidates = tuple(
                Candidate(
                    id=f"candidate-{number:06}-{place}",
                    arm="base" if place % 2 else "other",
                    kind="base",
                    model=None,
                    text=text,
                    position=place,
                    propensity=0.5,
                    tokens=9,
                    latency=0.1,
                )
                for place, text in enumerate(texts)
            )
            slate = Slate(
                id=f"slate-{number:06}",
                turn=turn,
                candidates=candidates,
                policy="2+2",
                seed=number,
                complete=True,
                created_at=at,
            )
            order = tuple(one.id for one in candidates)
            await log.add_slate(slate)
            await log.add_exposure(Exposure(slate_id=slate.id, viewer="ann", order=order, shown_at=at))
            wanted = next(i for i, text in enumerate(texts) if text in KIND)
            await log.record(
                Pick(
                    key=f"key-{number}",
                    slate_id=slate.id,
                    verdict="chosen",
                    candidate_id=order[wanted],
                    annotator="ann",
                    role="agent",
                    decided_at=at,
                )
            )
