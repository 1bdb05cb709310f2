"""What a format that picks are written in has to offer, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from picktune.errors import InvalidInput
from picktune.interchange import (
    choice,
    lmarena,
    openai_preference,
    sft,
    spreadsheet,
    trl_kto,
    trl_preference,
)
from picktune.interchange.exchange import Takes
from picktune.records import DecidedSlate, ReactedReply

Evidence = DecidedSlate | ReactedReply


class Exporter(Protocol):
    """One format; a module is one if it has these names."""

    SUMMARY: str
    """One line for the help."""
    TAKES: Takes
    """What it makes rows of."""
    START: bytes
    """What a file begins with, before its first row."""

    def rows(self, evidence: Any, /) -> Iterator[Any]:
        """The rows that one decision or reaction gives: none, one or several records."""
        ...

    def encode(self, row: Any, /) -> bytes:
        """One row as it stands in the file, with its line end."""
        ...

    def read(self, path: Path, /) -> Iterator[Any]:
        """The rows of a file that was written so; raises ``InvalidInput``, naming the line."""
        ...


EXPORTERS: Mapping[str, Exporter] = {
    "choice": choice,
    "trl-preference": trl_preference,
    "trl-kto": trl_kto,
    "sft": sft,
    "openai-preference": openai_preference,
    "lmarena": lmarena,
    "csv": spreadsheet,
}


def exporter_named(name: str) -> Exporter:
    """The format of that name; raises ``InvalidInput``, naming the known ones."""
    try:
        return EXPORTERS[name]
    except KeyError:
        raise InvalidInput(
            f"no export format named {name!r}; choose one of {', '.join(EXPORTERS)}", field="format"
        ) from None
