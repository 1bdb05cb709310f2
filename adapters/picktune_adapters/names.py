"""Names of adapter versions: they are folder names too, so they can never lead anywhere else."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime

from picktune_adapters.errors import InvalidAdapterName

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# Each of these already means something where an adapter is named.
RESERVED = frozenset({"base", "champion", "challenger"})


def is_name(name: str) -> bool:
    """Whether an adapter version may be called that."""
    return _NAME.fullmatch(name) is not None and name.lower() not in RESERVED


def check_name(name: str) -> str:
    """The name itself; raises ``InvalidAdapterName`` if no adapter version may be called that."""
    if not is_name(name):
        raise InvalidAdapterName(name)
    return name


def next_name(used: Collection[str], now: datetime) -> str:
    """The day and a number that is higher than any used on that day, as in ``2026-11-24-1``."""
    day = f"{now:%Y-%m-%d}"
    numbers = [int(name[len(day) + 1 :]) for name in used if re.fullmatch(rf"{day}-[0-9]{{1,9}}", name)]
    return f"{day}-{max(numbers, default=0) + 1}"
