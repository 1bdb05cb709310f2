"""The queue: who has waited longest, filtered by language and words, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(site: Any) -> Any:
    await site.sign_in()
    await site.service.add_conversations(
        [
            site.conversation("en-1", "The parcel is late", title="Late parcel", tags=("shipping",)),
            site.conversation("zh-1", "快递三天没动了", title="快递没动", locale="zh"),
            site.conversation("en-2", "I want my money back", title="Refund", tags=("refund",)),
            site.conversation("fr-1", "Bonjour", title="Salut", locale="fr"),
        ]
    )
    return site


async def ids(site: Any, **query: str) -> list[str]:
    answer = await site.get("/workbench.json", **query)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


async def test_the_longest_waiting_comes_first_whatever_its_language(desk: Any) -> None:
    assert await ids(desk) == ["en-1", "zh-1", "en-2", "fr-1"]


async def test_a_language_and_words_filter_together(desk: Any) -> None:
    assert await ids(desk, locale="zh") == ["zh-1"]
    assert await ids(desk, q="PARCEL late") == ["en-1"]
    assert await ids(desk, q="refund") == ["en-2"]
    assert await ids(desk, q="没动") == ["zh-1"]
    assert await ids(desk, q="parcel", locale="zh") == []
    assert await ids(desk, q="Be kind") == []  # the system prompt is the same for all


@pytest.mark.parametrize(
    "odd", [{"locale": "xx"}, {"page": "-1"}, {"page": "9" * 40}, {"page": "²"}, {"q": " "}]
)
async def test_odd_questions_are_ignored(desk: Any, odd: dict[str, str]) -> None:
    assert await ids(desk, **odd) == ["en-1", "zh-1", "en-2", "fr-1"]


async def test_counts_stand_beside_each_language(desk: Any) -> None:
    html = (await desk.get("/workbench")).text
    assert 'English <span class="count">2</span>' in html
    assert '中文 <span class="count">1</span>' in html
    assert 'All <span class="count">4</span>' in html


async def test_a_filter_stays_while_one_goes_from_conversation_to_conversation(desk: Any) -> None:
    html = (await desk.get("/workbench/en-1", locale="en")).text
    assert f'href="{desk.prefix}/workbench/en-2?locale=en"' in html
    assert f'data-next="{desk.prefix}/workbench/en-2?locale=en"' in html
    assert "zh-1" not in html


async def test_waiting_times_grow_and_are_said_in_the_readers_language(desk: Any) -> None:
    desk.clock.now += timedelta(hours=2)
    assert "2 hr" in (await desk.get("/workbench")).text
    assert "2小时" in (await desk.get("/workbench", lang="zh")).text


async def test_many_conversations_come_page_by_page(desk: Any) -> None:
    await desk.service.add_conversations([desk.conversation(f"more-{n:03}") for n in range(60)])
    assert len(await ids(desk)) == 50
    assert (await ids(desk, page="2"))[-1] == "more-059"
    assert await ids(desk, page="3") == []
    assert 'href="/picktune/workbench?page=2"' in (await desk.get("/workbench")).text
    assert len(await ids(desk, q="order")) == 50


async def test_the_data_says_how_the_open_conversation_stands(desk: Any) -> None:
    answer = await desk.get("/workbench.json", current="en-1")
    assert answer.json()["current"] == {"status": "open", "messages": 2}
    assert (await desk.get("/workbench.json", current="none")).json()["current"] is None
