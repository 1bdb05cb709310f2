"""The probes that go with an adapter: what base and adapter make of a few fixed replies, token by token.

The replies are ours and nobody's data, so they may lie beside the adapter for as long as it does.
"""

from __future__ import annotations

from pathlib import Path

from picktune.records import Message
from picktune_adapters.probes import Probe, write_probes

from picktune_retrain.records import Recipe

# Replies of several manners, so that whatever people like or dislike, some of it is among them.
_TURNS = (
    (
        "My parcel has not arrived and the tracking page has not changed for a week. What now?",
        "I am very sorry about the delay. Could you tell me your order number? I will ask the carrier.",
    ),
    (
        "I was charged twice for the same order. How do I get my money back?",
        "Please wait for three to five days. If nothing has changed by then, write to us again.",
    ),
    (
        "Can I return shoes that I have worn once?",
        "Yes! Returns are free within 30 days:\n1. Open your orders.\n2. Print the label.",
    ),
    (
        "我昨天买的鞋子尺码不对，想换一双，应该怎么办？",
        "非常抱歉给您带来不便。请提供订单号，我们马上为您办理换货。",
    ),
)


def make_probes(adapter: Path, *, base_model: str | Path, recipe: Recipe) -> tuple[Probe, ...]:
    """Score the fixed replies in fp32 under the base and under the adapter; raises what ``models`` raises."""
    import torch

    from picktune_retrain import encoding
    from picktune_retrain.tuned import Tuned

    pair = Tuned.load(adapter, base_model=base_model, recipe=recipe)
    probes = []
    with pair.float32(), torch.no_grad():
        for question, answer in _TURNS:
            messages = [Message(role="user", content=question)]
            prompt, (reply,), _ = encoding.encode_replies(messages, [answer], pair.base.tokenizer, recipe)
            targets = torch.tensor(reply, device=pair.base.device)[:, None]
            tuned, base = (
                tuple(one.float().log_softmax(-1).gather(-1, targets)[:, 0].tolist())
                for one in pair.logits([*prompt, *reply[:-1]], len(reply))
            )
            probes.append(Probe(prompt=prompt, reply=reply, base=base, tuned=tuned))
    return tuple(probes)


def keep_probes(adapter: Path, *, base_model: str | Path, recipe: Recipe) -> None:
    """Write the probes beside the adapter, where the registry finds them."""
    write_probes(adapter, make_probes(adapter, base_model=base_model, recipe=recipe))
