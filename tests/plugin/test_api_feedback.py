"""``POST /feedback`` as TensorZero's clients send it: what each kind becomes in the log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from picktune.records import Selection
from picktune.service import create_service
from picktune.settings import RedactionSettings, Settings

pytestmark = pytest.mark.anyio
BY = {"tags": {"annotator": "tom"}}


@pytest.fixture
def feedback(api: Any) -> Any:
    """Send one and get the answer; ids are sent as UUIDs with dashes, as TensorZero has them."""

    async def send(metric: str, value: Any, *, status: int = 200, **more: Any) -> Any:
        for name in ("inference_id", "episode_id"):
            if name in more and len(more[name]) == 32:
                more[name] = str(UUID(more[name]))
        answer = await api.post("/v1/feedback", {"metric_name": metric, "value": value} | BY | more)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert UUID(answer.json()["feedback_id"])
        return answer.json()

    return send


async def test_a_boolean_on_a_reply_is_a_thumb(api: Any, service: Any, feedback: Any) -> None:
    slate = await api.slate(None)
    first, second = (one["id"] for one in slate["candidates"][:2])
    await feedback("thumbs_up", True, inference_id=first)
    await feedback("draft_accepted", False, inference_id=second, tags={"user_id": "u", "role": "agent"})
    await feedback("thumbs_up", True, inference_id=second, tags={})
    found = service.log.reader.reactions(slate["id"])
    assert [(one.candidate_id, one.value, one.reasons, one.annotator, one.role) for one in found] == [
        (first, "up", (), "tom", "user"),
        (second, "down", ("draft_accepted",), "u", "agent"),
        (second, "up", (), "all", "user"),  # the name of the API key
    ]


async def test_feedback_grows_into_one_decision(api: Any, service: Any, feedback: Any) -> None:
    slate = await api.slate(None)
    first, second = (one["id"] for one in slate["candidates"][:2])
    await feedback("comment", "slow", episode_id=slate["id"])
    await feedback("picked", True, inference_id=first)
    await feedback("picked", False, inference_id=second)
    await feedback("demonstration", [{"type": "text", "text": "As I would say it."}], inference_id=first)
    await feedback("demonstration", "As I would say it.", inference_id=first)  # nothing new
    await feedback("comment", "good", inference_id=first)
    versions = service.log.reader.picks(slate["id"], "tom")
    assert [one.verdict for one in versions] == ["skip", *["undone", "chosen"] * 3]
    (one,) = service.log.reader.decided_slates(Selection())
    assert (one.pick.candidate_id, one.pick.edited_text, one.pick.comment) == (
        first,
        "As I would say it.",
        "good",
    )
    await feedback("picked", True, inference_id=second)
    (one,) = service.log.reader.decided_slates(Selection())
    assert (one.pick.candidate_id, one.pick.edited_text, one.pick.comment) == (second, None, "good")
    await feedback("none_good", True, episode_id=slate["id"])
    await feedback("demonstration", "By hand.", inference_id=first)
    (one,) = service.log.reader.decided_slates(Selection())
    assert (one.pick.verdict, one.pick.edited_text) == ("none_good", "By hand.")


async def test_a_demonstration_alone_prefers_nothing(api: Any, service: Any, feedback: Any) -> None:
    slate = await api.slate(None)
    await feedback("demonstration", "Better.", inference_id=slate["candidates"][1]["id"])
    (one,) = service.log.reader.decided_slates(Selection())
    assert (one.pick.verdict, one.pick.candidate_id) == ("tie", slate["candidates"][1]["id"])
    assert [demonstration.completion for demonstration in service.log.reader.demonstrations()] == ["Better."]
    assert list(service.log.reader.choice_sets()) == []


async def test_a_key_keeps_it_once_and_dryrun_not_at_all(api: Any, service: Any, feedback: Any) -> None:
    slate = await api.slate(None)
    first = slate["candidates"][0]["id"]
    keyed = {"annotator": "tom", "key": "order-7"}
    for _ in range(2):
        await feedback("picked", True, inference_id=first, tags=keyed)
        await feedback("thumbs_up", True, inference_id=first, tags=keyed)
    await feedback("none_good", True, episode_id=slate["id"], dryrun=True)
    assert len(service.log.reader.picks(slate["id"])) == 1
    assert len(service.log.reader.reactions(slate["id"])) == 1
    await feedback("picked", True, inference_id="0" * 32, dryrun=True, status=404)


async def test_many_at_once_leave_one_decision(api: Any, service: Any, feedback: Any) -> None:
    slate = await api.slate(None)
    ids = [one["id"] for one in slate["candidates"]]
    await asyncio.gather(*(feedback("picked", True, inference_id=one) for one in ids))
    (one,) = service.log.reader.decided_slates(Selection())
    assert one.pick.candidate_id in ids
    versions = service.log.reader.picks(slate["id"], "tom")
    assert [one.verdict for one in versions] == ["chosen", *["undone", "chosen"] * (len(ids) - 1)]


async def test_a_number_is_an_experts_score(api: Any, service: Any, feedback: Any) -> None:
    slate = await api.slate(None)
    first = slate["candidates"][0]["id"]
    eve = {"annotator": "eve", "role": "expert"}
    await feedback("quality", 4, inference_id=first, tags=eve)
    assert (
        "no scale named"
        in (await feedback("taste", 4, inference_id=first, tags=eve, status=422))["error"]["message"]
    )
    assert (
        "quality:1-5"
        in (await feedback("quality", 4.5, inference_id=first, tags=eve, status=422))["error"]["message"]
    )
    await feedback("quality", 4, inference_id=first, status=403)


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        ({"metric_name": "picked", "value": True}, 422, "give either inference_id"),
        (
            {"metric_name": "picked", "value": True, "inference_id": "C", "episode_id": "S"},
            422,
            "give either",
        ),
        ({"metric_name": "picked", "value": True, "episode_id": "S"}, 422, "about one reply"),
        ({"metric_name": "tie", "value": True, "inference_id": "C"}, 422, "about the whole slate"),
        ({"metric_name": "tie", "value": 1, "episode_id": "S"}, 422, "true or false"),
        ({"metric_name": "comment", "value": True, "episode_id": "S"}, 422, "is a text"),
        ({"metric_name": "comment", "value": " ", "episode_id": "S"}, 422, "is a text"),
        ({"metric_name": "comment", "value": "x" * 20_001, "episode_id": "S"}, 422, "length"),
        ({"metric_name": "demonstration", "value": "t", "episode_id": "S"}, 422, "about one reply"),
        (
            {"metric_name": "demonstration", "value": [{"type": "tool"}], "inference_id": "C"},
            422,
            "is a text",
        ),
        ({"metric_name": "liked", "value": "very", "inference_id": "C"}, 422, "true or false"),
        ({"metric_name": "liked", "value": True, "inference_id": "nobody"}, 404, "no candidate"),
        ({"metric_name": "tie", "value": True, "episode_id": "nothing"}, 404, "no slate"),
        ({"metric_name": "tie", "value": True, "episode_id": "S", "tags": {"role": "boss"}}, 422, "tag role"),
        ({"metric_name": "tie", "value": True, "episode_id": "S", "colour": 1}, 422, "unknown field"),
    ],
)
async def test_what_is_refused(api: Any, service: Any, sent: dict[str, Any], status: int, says: str) -> None:
    slate = await api.slate(None)
    ids = {"C": slate["candidates"][0]["id"], "S": slate["id"]}
    body = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in sent.items()}
    answer = await api.post("/v1/feedback", body)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    assert service.log.reader.picks(slate["id"]) == []
    assert service.log.reader.reactions(slate["id"]) == []


async def test_a_browser_gives_feedback_on_what_it_was_shown(api: Any, service: Any) -> None:
    slate = await api.slate(None)
    headers = await api.signed_in("mei")
    body = {"metric_name": "picked", "value": True, "inference_id": slate["candidates"][0]["id"]}
    refused = await api.post("/v1/feedback", body, headers=headers, key=None)
    assert refused.json()["error"]["code"] == "not_shown"
    await api.post(f"/v1/slates/{slate['id']}/exposures", {}, headers=headers, key=None)
    assert (await api.post("/v1/feedback", body, headers=headers, key=None)).status_code == 200
    other = await api.post("/v1/feedback", body | BY, headers=headers, key=None)
    assert other.status_code == 403
    assert (await api.post("/v1/feedback", body | BY, key=api.new_key("reader", "read"))).status_code == 403


async def test_what_is_redacted_stays_what_it_was(api: Any, engine: Any, tmp_path: Path) -> None:
    """A second feedback repeats the words of the first: their placeholders must not become literals."""
    settings = Settings(home=str(tmp_path / "redacting"), redaction=RedactionSettings(on=True), poll=0.02)
    service = create_service(settings, engine=engine)
    await service.until_ready(10)
    api = type(api)(service)
    try:
        slate: Any = await api.slate(None)
        first = slate["candidates"][0]["id"]
        for metric, value in (
            ("picked", True),
            ("demonstration", "Call 555-867-5309 please"),
            ("comment", "good"),
        ):
            body = {"metric_name": metric, "value": value, "inference_id": first} | BY
            assert (await api.post("/v1/feedback", body)).status_code == 200
        stored = service.log.reader.picks(slate["id"], "tom")[-1]
        assert (stored.comment, stored.edited_text) == ("good", "Call [PHONE_1] please")
        (said,) = (await service.picks_as_said(await service.slate(slate["id"]), "tom"))[-1:]
        assert said.edited_text == "Call 555-867-5309 please"
    finally:
        await api.client.aclose()
        await service.close()
