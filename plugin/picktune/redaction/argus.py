"""argus-redact as a finder: formats with their check digits, in English and Chinese, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from picktune.errors import MissingExtra
from picktune.redaction.base import Found, Kind

# Its own types by ours. What it also knows (gender, hobbies, illnesses) does not name a person.
TYPES: dict[str, Kind] = {
    "person": "name",
    "phone": "phone",
    "phone_landline": "phone",
    "email": "email",
    "credit_card": "card",
    "bank_card": "card",
    "iban": "account",
    "ssn": "ssn",
    "itin": "ssn",
    "id_number": "id",
    "hk_id": "id",
    "macau_id": "id",
    "tw_id": "id",
    "taiwan_arc": "id",
    "social_security": "id",
    "military_id": "id",
    "passport": "passport",
    "us_passport": "passport",
    "license_plate": "plate",
    "address": "address",
    "date_of_birth": "birth",
    "wechat": "wechat",
    "qq": "qq",
    "ip_address": "ip",
    "openai_api_key": "secret",
    "anthropic_api_key": "secret",
    "aws_access_key": "secret",
    "github_token": "secret",
    "jwt": "secret",
    "ssh_private_key": "secret",
}
# Its replacements are not used; masks would only collide, and warn of it.
_QUIETLY: dict[str, Any] = {
    "mode": "fast",
    "report": True,
    "types": list(TYPES),
    "config": {name: {"strategy": "remove"} for name in TYPES},
}
_WINDOW = 8_000
_OVERLAP = 400


class Argus:
    """Its first layer only: expressions compiled into it. Raises ``MissingExtra`` if it is not installed."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        try:
            self._redact: Any = import_module("argus_redact").redact
        except ImportError as error:
            raise MissingExtra("redaction with argus-redact", "pii") from error
        self._languages = list(languages)

    def find(self, text: str) -> Iterator[Found]:
        """What it finds, window by window, so that time stays in proportion to the length of the text."""
        for offset, part in windows(text, _WINDOW):
            report = self._redact(part, lang=self._languages, **_QUIETLY)
            for one in report.entities:
                start, end = one["start"], one["end"]
                if part[start:end] != one["original"]:
                    # It looks at a normalised text; one that differs in length has the place wrong.
                    start = part.find(one["original"])
                    end = start + len(one["original"])
                    if start < 0:
                        continue
                yield Found(start=offset + start, end=offset + end, kind=TYPES[one["type"]])


def windows(text: str, size: int) -> Iterator[tuple[int, str]]:
    """The text in parts of at most ``size``, cut at white space where there is some.

    Each begins a little before the one before it ends, so what lies across a cut is whole in one of them.
    """
    start = 0
    while True:
        end = start + size
        if end >= len(text):
            yield start, text[start:]
            return
        end = _space(text, start + size // 2, end)
        yield start, text[start:end]
        start = _space(text, end - 2 * _OVERLAP, end - _OVERLAP)


def _space(text: str, first: int, last: int) -> int:
    """The place after the last white space there, or ``last``."""
    cut = max(text.rfind(" ", first, last), text.rfind("\n", first, last))
    return cut + 1 if cut >= 0 else last
