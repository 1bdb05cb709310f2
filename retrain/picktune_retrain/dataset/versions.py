"""Files of a newer Picktune are told from damaged ones, and left as they are."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from picktune_retrain.errors import WrittenByNewer


class _Format(Struct):
    format: int = 1


def check_format(content: bytes, path: Path, known: int) -> None:
    """Raise ``WrittenByNewer`` if the file's ``format`` is above the one that is ``known``."""
    try:
        found = msgspec.json.decode(content, type=_Format).format
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return  # whoever reads it says what is wrong
    if found > known:
        raise WrittenByNewer(path, found, known)
