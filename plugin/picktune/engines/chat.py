"""Chat prompts as token ids: what the embedded engine and the trainer both feed to the model.

Nothing here imports a tokenizer: it works on any Hugging Face tokenizer object that it is handed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import structs

from picktune.errors import EngineError
from picktune.records import Message

# A noncharacter: no text for interchange holds it, and no template either.
_CUT = "\ufdd0"


def encode_chat(
    tokenizer: Any, messages: Sequence[Message], *, add_generation_prompt: bool = True
) -> list[int]:
    """The token ids of ``messages`` in the tokenizer's chat template, with the opening of the reply.

    What people wrote stays text: ``<|im_start|>`` typed by a user is tokenised as the letters that it is, and
    never as the control token. Messages without such strings get exactly the ids that the tokenizer's own
    ``apply_chat_template`` gives. Raises ``EngineError`` if the template refuses the conversation.
    """
    control = control_tokens(tokenizer)
    text = _render(tokenizer, [_defused(message, control) for message in messages], add_generation_prompt)
    # Cut inside what only looks like a control token: neither half is one.
    pieces = text.split(_CUT)
    return [token for piece in pieces for token in tokenizer(piece, add_special_tokens=False)["input_ids"]]


def fit_chat(tokenizer: Any, messages: Sequence[Message], limit: int) -> tuple[list[int], bool]:
    """``encode_chat`` in at most ``limit`` tokens, and whether anything had to be left out.

    The oldest messages go first; system messages at the start and the last message stay. If those alone are
    too long, the last message loses its beginning, and only after that the system message its own.
    """
    ids = encode_chat(tokenizer, messages)
    if len(ids) <= limit:
        return ids, False
    head = 0
    while head < len(messages) - 1 and messages[head].role == "system":
        head += 1
    system, rest = list(messages[:head]), list(messages[head:])

    def without(dropped: int) -> list[int]:
        return encode_chat(tokenizer, [*system, *rest[dropped:]])

    dropped = _least(1, len(rest) - 1, lambda count: len(without(count)) <= limit) if len(rest) > 1 else 0
    ids = without(dropped)
    if len(ids) <= limit:
        return ids, True

    last = rest[-1]

    def cut(characters: int) -> list[int]:
        return encode_chat(tokenizer, [*system, structs.replace(last, content=last.content[characters:])])

    ids = cut(_least(1, len(last.content), lambda count: len(cut(count)) <= limit)) if last.content else ids
    return ids[-limit:], True


def well_formed(text: str) -> str:
    """The text with a question mark for each lone surrogate, which no encoding can express."""
    return text.encode("utf-8", "replace").decode()


def control_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """A pattern for every string that the tokenizer turns into a control token, the longest first."""
    added = {str(token) for token in tokenizer.get_added_vocab()} | set(tokenizer.all_special_tokens)
    # Runs of blanks are ordinary vocabulary in some tokenizers, and one letter cannot be cut.
    names = sorted((name for name in added if name.strip() and len(name) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names))) if names else None


def _defused(message: Message, control: re.Pattern[str] | None) -> dict[str, str]:
    content = well_formed(message.content).replace(_CUT, "")
    if control is not None:
        content = control.sub(lambda found: f"{found[0][0]}{_CUT}{found[0][1:]}", content)
    return {"role": message.role, "content": content}


def _render(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:
        # Templates are programs of other people; they raise whatever they like.
        raise EngineError(
            f"the model's chat template refuses the conversation: {error}; "
            "check the order of its roles, or choose a model with another template"
        ) from error
    return text


def _least(low: int, high: int, enough: Any) -> int:
    """The least number between ``low`` and ``high`` that is enough, or ``high`` if none is (bisection)."""
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low
