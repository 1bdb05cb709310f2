"""Choice sets as the rows of OpenAI's fine-tuning files, supervised and preference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from picktune.interchange.exchange import answerable, said
from picktune.interchange.openai_preference import FineTuningRow, Input
from picktune.records import ChoiceSet

Method = Literal["dpo", "sft"]


def rows_of(sets: Iterable[ChoiceSet], method: Method) -> Iterator[bytes]:
    """Lines of JSON: for ``dpo`` the picked reply with each other, for ``sft`` the picked reply alone.

    Nothing for a conversation with a tool's answer, for the call that it answers is not kept.
    """
    for one in sets:
        if not answerable(one.messages) or any(message.role == "tool" for message in one.messages):
            continue
        picked = one.replies[one.chosen]
        if method == "sft":
            if picked.strip():
                yield msgspec.json.encode({"messages": (*one.messages, *said(picked))}) + b"\n"
            continue
        for other in dict.fromkeys(one.replies):
            if other != picked and picked.strip() and other.strip():
                row = FineTuningRow(
                    input=Input(messages=one.messages),
                    preferred_output=said(picked),
                    non_preferred_output=said(other),
                )
                yield msgspec.json.encode(row) + b"\n"
