"""Both languages say everything, and nothing is said that no page uses."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter

import pytest
from picktune import pages
from picktune.pages.i18n import LANGUAGES, Translator, catalog, translator
from starlette.requests import Request

FOLDER = Path(pages.__file__).parent
SOURCES = {
    path: path.read_text("utf-8")
    for kind in ("*.py", "templates/*.html", "static/*.js")
    for path in FOLDER.glob(kind)
}
# It is in pages of others, and brings its own words.
WIDGET = SOURCES.pop(next(path for path in SOURCES if path.name == "widget.js"))


def names(entry: str | dict[str, str]) -> set[str]:
    texts = [entry] if isinstance(entry, str) else list(entry.values())
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}


def used() -> tuple[set[str], set[str]]:
    """The keys that the sources name, and the beginnings of those that they put together."""
    whole, beginnings = set[str](), set[str]()
    for path, text in SOURCES.items():
        if path.suffix == ".js":
            whole |= {f"js.{word}" for word in re.findall(r'"([a-z_]+)"', text)}
            for ending in re.findall(r"t\(`\$\{[\w.]+\}(_\w+)`", text):
                whole |= {key for key in catalog("en") if key.startswith("js.") and key.endswith(ending)}
            continue
        whole |= set(re.findall(r"""\bt\(\s*['"]([\w.]+)['"](?:\)|,| if)""", text))
        whole |= set(re.findall(r"""else ['"]([a-z]+\.[a-z_]+)['"]""", text))
        beginnings |= set(re.findall(r"""\bt\(['"]([\w.]+[._])['"] ~""", text))
        beginnings |= set(re.findall(r"""\bt\(f['"]([\w.]+[._])\{""", text))
    return whole, beginnings


def test_the_catalogs_have_the_same_keys_and_the_same_gaps_to_fill() -> None:
    english, chinese = catalog("en"), catalog("zh")
    assert english.keys() == chinese.keys()
    assert {key: names(entry) for key, entry in english.items()} == {
        key: names(entry) for key, entry in chinese.items()
    }


# The same in both languages.
SAME = {"language.en", "support.from_to", "adapters.kind_lora"}


def test_every_key_that_is_used_exists() -> None:
    whole, beginnings = used()
    keys = set(catalog("en"))
    literal = {key for key in whole if not key.startswith("js.")}
    assert literal - keys == set()
    assert {start for start in beginnings if not any(key.startswith(start) for key in keys)} == set()
    for path, text in SOURCES.items():
        if path.suffix == ".js":
            said = {f"js.{key}" for key in re.findall(r'\bt\("(\w+)"', text)}
            assert said - keys == set(), path.name


def test_the_widget_says_everything_in_both_languages() -> None:
    words = WIDGET.partition("const WORDS = {")[2].partition("\n  };")[0]
    en, zh = (set(re.findall(r'(\w+): "', part)) for part in words.split("zh: {"))
    assert en == zh
    assert set(re.findall(r'#t\("(\w+)"', WIDGET)) <= en


def test_every_key_that_exists_is_used() -> None:
    whole, beginnings = used()
    # These sections hold more than what is put together, so what that is has to be said.
    beginnings -= {"support.", "adapters."}
    for kind in ("aa", "champion", "challenger", "former"):
        whole |= {f"support.{kind}", f"support.{kind}_text"}
    for kind in ("week", "tag", "scenario", "locale", "annotator", "role", "arms", "position"):
        whole.add(f"support.{kind}")
    for alias in ("champion", "challenger"):
        whole |= {f"adapters.{alias}", f"adapters.{alias}_text"}
    unused = {key for key in catalog("en") if key not in whole and not key.startswith(tuple(beginnings))}
    assert unused == set()


def test_no_message_is_empty_or_left_in_english() -> None:
    for key, entry in catalog("zh").items():
        for text in [entry] if isinstance(entry, str) else entry.values():
            assert text.strip()
            assert re.search(r"[\u4e00-\u9fff]", text) or key in SAME, key


def request(query: str = "", cookie: str = "", accept: str = "") -> Request:
    headers = [(b"cookie", cookie.encode()), (b"accept-language", accept.encode())]
    return Request({"type": "http", "query_string": query.encode(), "headers": headers})


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "language"),
    [
        ("lang=zh", "picktune_lang=en", "en", "zh"),
        ("", "picktune_lang=zh", "en", "zh"),
        ("", "", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "", "fr;q=0.9, en;q=0.3, zh;q=0.5", "zh"),
        ("", "", "en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("", "", "zh;q=0, en", "en"),
        ("", "", "fr", "en"),
        ("", "", ";;q=x,,", "en"),
        ("lang=xx", "picktune_lang=../etc", "", "en"),
    ],
)
def test_the_language_is_the_readers(query: str, cookie: str, accept: str, language: str) -> None:
    assert translator(request(query, cookie, accept)).language == language


def test_figures_and_times_are_written_as_the_language_writes_them() -> None:
    now = datetime(2026, 11, 24, 9, 5, tzinfo=UTC)
    english, chinese = Translator("en"), Translator("zh")
    assert english("support.wins", n=1, wins=1) == "1 of 1 choice"
    assert english("support.wins", n=1200, wins=900) == "900 of 1,200 choices"
    assert chinese("support.wins", n=1200, wins=900) == "1,200 次选择中 900 次"
    assert (english.percent(0.825, 1), english.percent(None)) == ("82.5%", "–")
    assert english.since(now - timedelta(hours=3), now) == "3 hr"
    assert chinese.since(now - timedelta(minutes=5), now) == "5分钟"
    assert chinese.moment(now) == "2026年11月24日 09:05 UTC"
    assert english.span(now, now + timedelta(days=2)) == ("Nov 24, 2026", "Nov 26, 2026")


def test_an_unknown_key_is_an_error_and_not_a_word_on_the_page() -> None:
    for language in LANGUAGES:
        with pytest.raises(LookupError):
            Translator(language)("no.such_key")
