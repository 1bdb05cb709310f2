"""The redactor that is used: our own rules and argus-redact together."""

from __future__ import annotations

from collections.abc import Sequence

from picktune.errors import PayloadTooLarge
from picktune.redaction import chinese, english
from picktune.redaction.argus import Argus, windows
from picktune.redaction.base import KINDS, Found, Kind, settled

LOCALES = ("en", "zh")
LONGEST = 2_000_000
_WINDOW = 20_000
_RULES = {"en": english.find, "zh": chinese.find}


class RuleRedactor:
    """A ``Redactor`` of rules; with ``argus``, what that finds counts too."""

    def __init__(
        self,
        *,
        kinds: Sequence[Kind] = KINDS,
        locales: Sequence[str] = LOCALES,
        argus: Argus | None = None,
    ) -> None:
        self._kinds = frozenset(kinds)
        self._rules = [_RULES[locale] for locale in locales]
        self._argus = argus

    def find(self, text: str, *, asked: str = "") -> list[Found]:
        """See ``Redactor``. Raises ``PayloadTooLarge`` for more than two million characters."""
        if len(text) > LONGEST:
            raise PayloadTooLarge(
                f"a text of {len(text):,} characters is too long to be redacted; at most {LONGEST:,} can be"
            )
        found = [] if self._argus is None else list(self._argus.find(text))
        for offset, part in windows(text, _WINDOW):
            for rules in self._rules:
                found += (
                    Found(start=offset + one.start, end=offset + one.end, kind=one.kind, sure=one.sure)
                    for one in rules(part, asked=asked)
                )
        return settled(one for one in found if one.kind in self._kinds)


def create_redactor(*, kinds: Sequence[Kind] = KINDS, locales: Sequence[str] = LOCALES) -> RuleRedactor:
    """Our rules with argus-redact; raises ``MissingExtra`` if that is not installed."""
    return RuleRedactor(kinds=kinds, locales=locales, argus=Argus(tuple(locales)))
