"""Every page: who may see it, in which language, under which path, and that text stays text."""

from __future__ import annotations

import re
import unicodedata
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.pages.render import breakable, html_lang
from starlette.applications import Starlette
from starlette.routing import Mount

PAGES = ("/workbench", "/workbench/one", "/support", "/adapters")
DATA = ("/workbench.json", "/conversation.json?id=one")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %}",
    "\u202egnip\u2066 \u200f\u061c",
    "\x00\x07 nul",
    "👩‍👩‍👧‍👦🇨🇳 e\u0301\u0327",
    "A" * 20_000,
    "</title></template></dialog>",
)


class Tags(HTMLParser):
    """What a browser would find: the tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.anyio
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_needs_a_session_and_says_how_to_get_one(site: Any, path: str) -> None:
    await site.service.add_conversations([site.conversation("one", "a secret question")])
    answer = await site.get(path)
    assert answer.status_code == 401
    assert "Sign in with a link" in answer.text
    assert "secret" not in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize("path", DATA)
async def test_the_scripts_data_needs_a_session_too(site: Any, path: str) -> None:
    answer = await site.client.get(site.prefix + path)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"


@pytest.mark.anyio
@pytest.mark.parametrize("path", [*PAGES, "/enter", "/left", "/workbench/no-such"])
async def test_no_page_holds_scripts_or_styles_of_its_own(site: Any, path: str) -> None:
    await site.sign_in("mei", "slate", "pick", "read", "admin")
    await site.service.add_conversations([site.conversation("one")])
    answer = await site.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    found = Tags(answer.text).tags
    assert all(attributes.get("src") for tag, attributes in found if tag == "script")
    assert [tag for tag, _ in found if tag == "style"] == []
    assert [
        name for _, attributes in found for name in attributes if name == "style" or name[:2] == "on"
    ] == []


@pytest.mark.anyio
async def test_whoever_may_only_read_sees_no_workbench(site: Any) -> None:
    await site.sign_in("auditor", "read")
    assert (await site.get("/support")).status_code == 200
    refused = await site.get("/workbench")
    assert refused.status_code == 403
    assert "You may not open this page" in refused.text


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/workbench/no-such", "/workbench/..%2f..%2fetc%2fpasswd"])
async def test_what_is_not_there_is_a_page_too(site: Any, path: str) -> None:
    await site.sign_in()
    answer = await site.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert f'href="{site.prefix}/workbench"' in answer.text


@pytest.mark.anyio
async def test_a_mistyped_address_is_a_page_for_people_and_an_error_for_programs(site: Any) -> None:
    await site.sign_in()
    for path in ("/workbnch", "/static/none.js"):
        page = await site.get(path, headers={"accept": "text/html,*/*"})
        assert page.status_code == 404
        assert "There is nothing here" in page.text
        assert 'aria-label="Main"' in page.text  # with the way back
    assert (await site.get("/workbnch")).json()["error"]["code"] == "not_found"


@pytest.mark.anyio
async def test_a_page_that_fails_says_so_calmly_and_the_log_says_why(
    site: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is a secret")

    await site.sign_in()
    monkeypatch.setattr("picktune.pages.desk.read_queue", fail)
    answer = await site.get("/workbench")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "secret" not in answer.text
    assert "the disk is a secret" in caplog.text


@pytest.mark.anyio
async def test_a_log_that_is_away_is_said_on_the_page(site: Any) -> None:
    await site.sign_in()
    site.service.log.reader.close()
    for path in ("/workbench", "/support"):
        answer = await site.get(path)
        assert answer.status_code == 503
        assert "is closed; open it again" in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize("text", HOSTILE)
async def test_what_customers_write_is_shown_as_text(site: Any, text: str) -> None:
    await site.sign_in()
    await site.service.add_conversations([site.conversation("one", "Hello")])
    plain = Tags((await site.get("/workbench/one")).text)
    shown = text.replace("\x00", "")
    await site.service.add_conversations(
        [site.conversation("two", shown, title=shown[:200], tags=(shown[:200], "tag"))]
    )
    answer = await site.get("/workbench/two")
    page = Tags(answer.text)
    assert escape(shown.strip()[:40], quote=False).split("&")[0] in answer.text
    assert shown in page.text.replace("\r", "\n")
    # The hostile page has the tags of the harmless one and those of one more row, and none besides.
    assert {tag for tag, _ in page.tags} - {"wbr"} == {tag for tag, _ in plain.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 1


@pytest.mark.anyio
async def test_the_language_is_switched_on_every_page_and_remembered(site: Any) -> None:
    await site.sign_in()
    await site.service.add_conversations([site.conversation("one")])
    for path in (*PAGES, "/enter"):
        answer = await site.get(path, q="x")
        assert re.search(r'href="\?q=x&amp;lang=zh" lang="zh-Hans"', answer.text), path
    answer = await site.get("/support", lang="zh")
    assert "支持率" in answer.text
    assert '<html lang="zh-Hans">' in answer.text
    assert f"Path={site.prefix}" in answer.headers["set-cookie"]
    assert "工作台" in (await site.get("/workbench")).text


@pytest.mark.anyio
async def test_a_sign_in_token_never_lives_on_in_a_link(site: Any) -> None:
    answer = await site.get("/enter", token="x.y.z")
    assert answer.status_code == 401
    assert "This link does not work" in answer.text
    assert "x.y.z" not in answer.text


@pytest.mark.anyio
async def test_all_addresses_lie_below_wherever_the_pages_are_mounted(site: Any) -> None:
    outer = Starlette(routes=[Mount("/desk", app=site.app)])
    transport = httpx.ASGITransport(outer, root_path="/behind")
    async with httpx.AsyncClient(transport=transport, base_url="http://desk.test") as client:
        cookie = (await site.sign_in()).headers["set-cookie"].split(";")[0]
        await site.service.add_conversations([site.conversation("one")])
        answer = await client.get("/behind/desk/picktune/workbench/one", headers={"cookie": cookie})
        assert answer.status_code == 200, answer.text
        links = re.findall(r'(?:href|src|action|data-queue|data-list)="(/[^"]*)"', answer.text)
        assert links
        assert [link for link in links if not link.startswith("/behind/desk/picktune/")] == []
        script = next(link for link in links if link.endswith("workbench.js"))
        assert (await client.get(script)).headers["content-type"].startswith("text/javascript")


@pytest.mark.anyio
async def test_static_files_need_no_session_and_nothing_else_is_served(site: Any) -> None:
    answer = await site.get("/static/workbench.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    again = await site.get("/static/workbench.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    for path in ("/static/../pages.py", "/static/%2e%2e/render.py", "/static/", "/static/none.js"):
        assert (await site.client.get(site.prefix + path)).status_code in {404, 405}


@given(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.text("ab\u0301\u200d👩<&é", min_size=150, max_size=900)
)
def test_breaks_change_nothing_of_a_text_but_where_it_may_be_broken(text: str) -> None:
    html = breakable(text)
    assert unescape(html.replace("<wbr>", "")) == text
    assert Tags(html).tags in ([], [("wbr", {})] * html.count("<wbr>"))
    for piece in html.split("<wbr>")[1:]:
        assert unicodedata.category(unescape(piece)[0]) not in {"Mn", "Me", "Mc", "Cf"}


def test_an_endless_word_gets_breaks_and_others_get_none() -> None:
    assert breakable("A" * 200).count("<wbr>") == 3
    assert breakable("A" * 199) == "A" * 199
    assert "<wbr>" not in breakable("中" * 5000)


def test_a_locale_becomes_a_language_tag() -> None:
    assert [html_lang(one) for one in ("en", "zh", "zh_CN", "pt_BR")] == ["en", "zh-Hans", "zh-Hans", "pt-BR"]


def test_the_documentation_names_every_key_of_the_help() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "workbench.md").read_text("utf-8")
    template = (root / "plugin" / "picktune" / "pages" / "templates" / "keys.html").read_text("utf-8")
    caps = {cap for row in re.findall(r"\(\(('[^)]*)\)", template) for cap in re.findall(r"'([^']+)'", row)}
    assert len(caps - {"–"}) >= 18
    assert [cap for cap in caps if f"`{cap}`" not in page and cap != "–"] == []
