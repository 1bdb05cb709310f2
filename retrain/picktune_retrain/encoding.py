"""Choice sets as token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from picktune.engines.chat import control_tokens, fit_chat
from picktune.errors import InvalidInput
from picktune.records import ChoiceSet, Message

from picktune_retrain.records import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSet:
    """A choice set in token ids. Every reply ends with the end-of-turn token.

    ``kind`` is ``label`` for one reply that was liked or not (``desirable``), beside which a reply to another
    prompt may stand, and ``text`` for a demonstration. ``tied`` are the members that nobody preferred to one
    another; ``rejected`` those that DPO sets against the chosen one; ``placed`` is false where the replies
    are not those shown. ``group`` is what balanced sampling goes by.
    """

    slate_id: str
    prompt: tuple[int, ...]
    replies: tuple[tuple[int, ...], ...]
    chosen: int
    weight: float = 1.0
    truncated: int = 0
    kind: Literal["set", "label", "text"] = "set"
    tied: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()
    placed: bool = True
    desirable: bool = True
    group: str = ""

    @property
    def tokens(self) -> int:
        """The tokens of the prompt and of all replies."""
        return len(self.prompt) + sum(map(len, self.replies))

    @property
    def longest(self) -> int:
        """The tokens of the longest reply."""
        return max(map(len, self.replies), default=0)

    @property
    def same(self) -> tuple[bool, ...]:
        """Which replies say the very words of the picked one, or are tied with it."""
        return tuple(
            i in self.tied or reply == self.replies[self.chosen] for i, reply in enumerate(self.replies)
        )

    @property
    def beyond(self) -> tuple[object, ...]:
        """What training sees of it beside a choice set's own fields; empty for a plain one."""
        fields = self.kind, self.tied, self.rejected, self.placed, self.desirable, self.group
        return () if fields == ("set", (), (), True, True, "") else fields


def encode(choice: ChoiceSet, tokenizer: Any, recipe: Recipe) -> EncodedSet:
    """Token ids of a choice set: prompts lose their oldest messages first, replies nothing.

    Raises ``InvalidInput`` if ``chosen`` names no reply, and ``EngineError`` if the chat template refuses the
    messages.
    """
    if not 0 <= choice.chosen < len(choice.replies):
        raise InvalidInput(
            f"slate {choice.slate_id!r}: reply {choice.chosen} was chosen out of {len(choice.replies)}; "
            "leave this row out of the dataset",
            field="chosen",
        )
    prompt, replies, truncated = encode_replies(choice.messages, choice.replies, tokenizer, recipe)
    return EncodedSet(
        slate_id=choice.slate_id,
        prompt=prompt,
        replies=replies,
        chosen=choice.chosen,
        weight=choice.weight * recipe.annotator_weights.get(choice.annotator, 1.0),
        truncated=truncated,
    )


def encode_replies(
    messages: Sequence[Message], texts: Sequence[str], tokenizer: Any, recipe: Recipe
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], int]:
    """Token ids of a prompt and of replies to it, and 1 if the prompt lost its oldest messages, or else 0."""
    prompt, cut = fit_chat(tokenizer, messages, recipe.max_prompt)
    end = end_of_turn(tokenizer)
    replies = [(*encode_text(tokenizer, text), end) for text in texts]
    return tuple(prompt), tuple(replies), int(cut)


def fingerprint(sets: Sequence[EncodedSet]) -> str:
    """SHA-256 over all that the training sees of these sets, in their order."""
    digest = hashlib.sha256()
    for one in sets:
        digest.update(repr((one.prompt, one.replies, one.chosen, one.weight, *one.beyond)).encode())
    return digest.hexdigest()


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """The ids of words somebody wrote: what looks like a control token in them stays mere text."""
    control = control_tokens(tokenizer)
    # Cut after the first letter of such a token: neither half is one.
    cuts = (
        [0, *(found.start() + 1 for found in control.finditer(text)), len(text)]
        if control
        else [0, len(text)]
    )
    pieces = (text[start:stop] for start, stop in pairwise(cuts))
    return [token for piece in pieces for token in tokenizer(piece, add_special_tokens=False)["input_ids"]]


def end_of_turn(tokenizer: Any) -> int:
    """The token with which the chat template closes the assistant's turn; the end of text if it has none."""
    mark = "\ue000"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    after = tokenizer(text.partition(mark)[2], add_special_tokens=False)["input_ids"]
    specials = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    end: int = next((token for token in after if token in specials), tokenizer.eos_token_id)
    return end
