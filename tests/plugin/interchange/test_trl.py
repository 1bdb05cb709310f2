"""What is written for TRL is what TRL takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from picktune.interchange import EXPORTERS
from picktune.records import DecidedSlate, Message

Decide = Callable[..., DecidedSlate]
MESSAGES = (
    Message(role="system", content="Be kind."),
    Message(role="user", content="订单在哪里？\n=1+1"),
    Message(role="assistant", content="Your number, please."),
    Message(role="user", content="4711 👩‍💻"),
)


@pytest.fixture(scope="module")
def trl() -> Any:
    pytest.importorskip("datasets", reason="needs the extra 'bench'")
    return pytest.importorskip("trl.data_utils", reason="needs the extra 'bench'")


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize(
    ("format", "said"),
    [
        ("trl-preference", {"chosen": "Tuned one.", "rejected": "Base one."}),
        ("trl-edits", {"chosen": "Mended.", "rejected": "Tuned one."}),
        ("sft", {"completion": "By hand."}),
        ("trl-kto", {"completion": "Base one.", "label": False}),
    ],
)
def test_trl_takes_the_rows(
    trl: Any, tokenizer: Any, decide: Decide, format: str, said: dict[str, Any]
) -> None:
    from datasets import Dataset

    exporter = EXPORTERS[format]
    evidence = [
        decide("chosen", 1, messages=MESSAGES),
        decide("none_good", messages=MESSAGES, edited_text="By hand."),
        decide("chosen", 1, messages=MESSAGES, edited_text="Mended."),
    ]
    lines = [exporter.encode(row) for one in evidence for row in exporter.rows(one)]
    dataset = Dataset.from_list([json.loads(line) for line in lines])
    assert len(dataset) == len(lines) > 0
    assert all(trl.is_conversational(example) for example in dataset)
    text = trl.maybe_apply_chat_template(dataset[0], tokenizer)
    prompt = "".join(f"<|im_start|>{one.role}\n{one.content}<|im_end|>\n" for one in MESSAGES)
    assert text["prompt"] == f"{prompt}<|im_start|>assistant\n"
    for name, value in said.items():
        assert text[name] == (f"{value}<|im_end|>\n" if isinstance(value, str) else value)
