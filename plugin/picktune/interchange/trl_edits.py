"""TRL's preference rows out of edits: what a person sent, over the reply as it was drawn.

The columns are those of ``trl-preference``, so that its reader takes them, and an import too.
"""

from __future__ import annotations

from collections.abc import Iterator

from picktune.interchange.exchange import Takes, answerable, said
from picktune.interchange.jsonl import encode
from picktune.interchange.trl_preference import PreferenceRow, read
from picktune.records import DecidedSlate

__all__ = ["START", "SUMMARY", "TAKES", "encode", "read", "rows"]

SUMMARY = "TRL preference pairs (DPOTrainer) out of edits: chosen as it was sent, rejected as it was drawn"
TAKES: Takes = ("decisions",)
START = b""


def rows(decided: DecidedSlate) -> Iterator[PreferenceRow]:
    """The edited reply over the original; nothing where it was left as it was, or written by hand.

    The same decisions as in the log's view ``edit_preferences``, if a reply can follow the prompt.
    """
    prompt, text, original = decided.slate.turn.messages, decided.pick.edited_text, decided.picked
    if text is not None and original is not None and text != original.text and answerable(prompt):
        yield PreferenceRow(prompt=prompt, chosen=said(text), rejected=said(original.text))
