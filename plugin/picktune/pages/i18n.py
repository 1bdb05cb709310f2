"""The languages of the pages: message catalogs, and Babel for numbers, dates and waiting times."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale, dates, numbers
from starlette.requests import Request

COOKIE = "picktune_lang"
LANGUAGES = {"en": "English", "zh": "简体中文"}
_BABEL = {"en": "en", "zh": "zh_Hans_CN"}
_HTML = {"en": "en", "zh": "zh-Hans"}
_FOLDER = Path(__file__).parent / "locales"

Entry = str | dict[str, str]


@cache
def catalog(language: str) -> Mapping[str, Entry]:
    """The messages of a language by dotted key; a message with plural forms is a table of them."""
    flat: dict[str, Entry] = {}
    _flatten("", tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8")), flat)
    return flat


def _flatten(prefix: str, table: Mapping[str, Any], into: dict[str, Entry]) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and "other" not in value:
            _flatten(f"{prefix}{key}.", value, into)
        else:
            into[prefix + key] = value


class Translator:
    """Speaks one language: messages by key, and figures and times as that language writes them."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.tag = _HTML[language]
        self._locale = Locale.parse(_BABEL[language])
        self._catalog = catalog(language)

    def __call__(self, key: str, **values: object) -> str:
        """The message of that key with its ``{names}`` filled in; ``n`` chooses the plural form.

        Raises ``LookupError`` for a key that the catalog lacks, so that no page shows a raw key.
        """
        entry = self._catalog[key]
        if isinstance(entry, dict):
            count = values.get("n", 0)
            form = self._locale.plural_form(count if isinstance(count, int | float) else 0)
            entry = entry.get(form) or entry["other"]
        shown = {
            name: self.number(value) if isinstance(value, int) and not isinstance(value, bool) else value
            for name, value in values.items()
        }
        return entry.format(**shown) if shown else entry

    def has(self, key: str) -> bool:
        """Whether the catalog knows the key: for tags and verdicts that come from elsewhere."""
        return key in self._catalog

    def number(self, value: float) -> str:
        """A figure with the language's separators."""
        return numbers.format_decimal(value, locale=self._locale)

    def percent(self, share: float | None, digits: int = 0) -> str:
        """A share from 0 to 1 as per cent; a dash if there is none."""
        if share is None:
            return "–"
        pattern = "#,##0." + "0" * digits + "%" if digits else "#,##0%"
        return numbers.format_percent(share, format=pattern, locale=self._locale)

    def moment(self, at: datetime) -> str:
        """A date with its time, in UTC."""
        at = at.astimezone(UTC)
        day = dates.format_date(at, "medium", locale=self._locale)
        return f"{day} {dates.format_time(at, 'short', tzinfo=UTC, locale=self._locale)} UTC"

    def span(self, first: datetime, last: datetime) -> tuple[str, str]:
        """The two ends of a time axis, as short as tells them apart, in UTC."""
        first, last = first.astimezone(UTC), last.astimezone(UTC)
        if first.date() == last.date():
            ends = [dates.format_time(at, "short", tzinfo=UTC, locale=self._locale) for at in (first, last)]
        else:
            ends = [dates.format_date(at, "medium", locale=self._locale) for at in (first, last)]
        return ends[0], ends[1]

    def since(self, at: datetime, now: datetime) -> str:
        """How long ago that was, without a direction: ``5 min``."""
        return dates.format_timedelta(
            now - at, threshold=1.2, granularity="minute", format="short", locale=self._locale
        )

    def script_strings(self) -> str:
        """The messages that the pages' JavaScript speaks, as JSON."""
        strings = {key[3:]: entry for key, entry in self._catalog.items() if key.startswith("js.")}
        return json.dumps(strings, ensure_ascii=False)


def translator(request: Request) -> Translator:
    """The reader's language: ``?lang=``, then the cookie, then ``Accept-Language``, then English."""
    for wish in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return Translator(wish)
    return Translator(_accepted(request.headers.get("accept-language", "")))


def _accepted(header: str) -> str:
    wishes: list[tuple[float, str]] = []
    for part in header.split(",")[:20]:
        tag, _, parameter = part.strip().partition(";")
        quality = parameter.strip().removeprefix("q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        wishes.append((weight, tag.partition("-")[0].lower()))
    # A stable sort: of two equal wishes the one that was named first.
    for weight, primary in sorted(wishes, key=lambda wish: -wish[0]):
        if primary in LANGUAGES and weight > 0:
            return primary
    return "en"
