"""What is counted is what happened; only operators may read it, and it names no text and no person."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.engines import Generation
from picktune.engines.base import Queueing
from picktune.engines.local import LocalEngine
from picktune.errors import AdapterNotFound, EngineBusy, EngineDown
from picktune.metrics import why_of
from picktune.policy import policy_named
from picktune.records import Message, Pick, Reaction, Sampling, Turn
from picktune.service import Service, create_service
from picktune.settings import Settings
from picktune.slate import draw
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECRET = "Xyzzy-4711"
ASK = (Message(role="user", content=f"Where is {SECRET}?"),)


async def scraped(api: Any) -> dict[str, float]:
    """Every sample by its name and labels, as ``picks_total agent chosen`` (labels by name), no buckets."""
    key = getattr(api, "operator", None)
    if key is None:
        key = api.operator = api.new_key("operator", "admin")
    answer = await api.get("/metrics", key=key)
    assert answer.status_code == 200, answer.text
    return {
        " ".join([one.name.removeprefix("picktune_"), *one.labels.values()]): one.value
        for family in plain_metrics(answer.text)
        for one in family.samples
        if not one.name.endswith(("_bucket", "_created"))
    }


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


async def test_only_operators_may_read_it(api: Any) -> None:
    assert (await api.get("/metrics", key=None)).status_code == 401
    refused = await api.get("/metrics")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert (await api.get("/metrics", key=None, headers=await api.signed_in())).status_code == 403
    allowed = await api.get("/metrics", key=api.new_key("operator", "admin"))
    assert allowed.headers["content-type"].startswith("text/plain; version=")
    assert allowed.headers["cache-control"] == "no-store"


async def test_it_speaks_open_metrics_too(api: Any) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = await api.get("/metrics", key=api.new_key("operator", "admin"), headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {one.name for one in open_metrics(answer.text)} >= {"picktune_slates", "picktune_up"}


async def test_slates_picks_and_reactions_are_counted_once_each(api: Any, service: Service) -> None:
    before = await scraped(api)
    assert not [name for name in before if name.startswith(("slates_total", "picks_total"))]
    slates = [await service.draw(ASK, policy=policy) for policy in ("2+2", "2+2", "1")]
    await service.expose(slates[0].id, "mei")
    pick = Pick(
        key="k",
        slate_id=slates[0].id,
        verdict="chosen",
        candidate_id=slates[0].candidates[0].id,
        annotator="mei",
        role="agent",
        decided_at=service.now(),
    )
    reaction = Reaction(
        key="r", candidate_id=slates[2].candidates[0].id, value="up", annotator="u", reacted_at=service.now()
    )
    for _ in range(2):  # the second time, the answer to the first was lost on its way
        await service.pick(Pick(**{**fields(pick), "decided_at": service.now()}))
        await service.react(Reaction(**{**fields(reaction), "reacted_at": service.now()}))
    found = await scraped(api)
    assert found["slates_total true 2+2"] == 2
    assert found["slates_total true 1"] == 1
    assert found["picks_total agent chosen"] == 1
    assert found["reactions_total up"] == 1
    assert found["reply_seconds_count base"] == 9
    assert found["reply_seconds_sum base"] == pytest.approx(0.9)
    counts = [found[f"phase_seconds_count {phase}"] for phase in ("draw", "log_write", "pick")]
    assert counts == [3, 3, 2]
    assert found["slates_drawing"] == 0
    assert found["log_last_commit_timestamp_seconds"] > before["log_last_commit_timestamp_seconds"]
    assert 0 < found["log_commit_seconds"] < 5
    assert [found[f"up {part}"] for part in ("engine", "log", "registry")] == [1, 1, 1]


def fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


async def test_it_names_no_text_and_no_person(api: Any, service: Service) -> None:
    drawn = await api.slate(
        viewer=f"viewer {SECRET}", user_ref=f"user {SECRET}", tags=[SECRET], conversation_id=f"c {SECRET}"
    )
    decided = {
        "key": SECRET,
        "slate_id": drawn["id"],
        "verdict": "chosen",
        "candidate_id": drawn["candidates"][0]["id"],
        "edited_text": f"Dear {SECRET}",
        "comment": SECRET,
        "annotator": f"viewer {SECRET}",
    }
    assert (await api.post("/v1/picks", decided)).status_code == 200
    await api.post("/v1/slates", {"messages": [{"role": "user", "content": SECRET}], "policy": SECRET})
    text = (await api.get("/metrics", key=api.new_key("operator", "admin"))).text
    assert "picktune_picks_total" in text
    assert SECRET not in text
    assert drawn["id"] not in text
    assert drawn["candidates"][0]["text"] not in text


async def test_draws_that_fail_are_counted_by_their_code(api: Any, service: Service, engine: Any) -> None:
    for error in (EngineBusy("full"), EngineBusy("full"), EngineDown("gone")):
        engine.error = error
        with pytest.raises(type(error)):
            await service.draw(ASK)
    found = await scraped(api)
    assert (found["draws_failed_total engine_busy"], found["draws_failed_total engine_down"]) == (2, 1)
    assert "phase_seconds_count draw" not in found


async def test_what_is_being_drawn_is_seen(api: Any, service: Service, engine: Any) -> None:
    engine.gate = asyncio.Event()
    drawing = [asyncio.create_task(service.draw(ASK)) for _ in range(3)]
    await until(lambda: engine.calls == 6)
    assert (await scraped(api))["slates_drawing"] == 3
    engine.gate.set()
    await asyncio.gather(*drawing)
    assert (await scraped(api))["slates_drawing"] == 0


def says(texts: Sequence[str]) -> list[Generation]:
    return [Generation(text=text, tokens=1, latency=0.1, finish_reason="stop") for text in texts]


class Ailing:
    """A base that speaks, and an adapter that ails in a way of its own."""

    def __init__(self, ails: Callable[[], Any]) -> None:
        self._ails = ails

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        if model is None:
            return says([f"base {i} {seed}" for i in range(n)])
        found = self._ails()
        return await found if asyncio.iscoroutine(found) else found  # type: ignore[no-any-return]


def raising(error: Exception) -> Callable[[], Any]:
    def ail() -> None:
        raise error

    return ail


@pytest.mark.parametrize(
    ("why", "ails"),
    [
        ("late", lambda: asyncio.sleep(5)),
        ("too_few", lambda: says(["one"])),
        ("repeated", lambda: says(["same", "same"])),
        ("failed", raising(RuntimeError("boom"))),
        ("engine_down", raising(EngineDown("gone"))),
        ("adapter_not_found", raising(AdapterNotFound("v1", []))),
    ],
)
async def test_why_a_slate_is_incomplete(why: str, ails: Callable[[], Any], service: Service) -> None:
    slate = await draw(
        Turn(id="t", conversation_id="c", messages=ASK, created_at=NOW),
        policy_named("2+2"),
        Ailing(ails),
        Aliases(challenger="v1"),
        rng=random.Random(1),
        now=NOW,
        timeout=0.2,
    )
    assert {why_of(failure) for failure in slate.failures} == {why}
    service.metrics.drew(slate)
    counted = service.metrics.registry.get_sample_value("picktune_incomplete_total", {"why": why})
    assert counted == len(slate.failures)


async def test_adapters_that_speak_and_that_are_refused(
    api: Any, service: Service, engine: Any, tiny_adapter: Any
) -> None:
    registry = Registry(service.settings.registry_path)
    for name in ("good", "bad"):
        folder: Path = tiny_adapter(name)
        registry.add(folder, name=name, base_model="tiny", run_id="r", dataset_id="d", picks=1, now=NOW)
    registry.move("champion", "good", by="test", reason="test", now=NOW)
    await until(lambda: service.aliases.champion == "good")
    slate = await service.draw(ASK)
    found = await scraped(api)
    assert (found["serving good champion"], found["adapters_refused"]) == (1, 0)
    assert found["reply_seconds_count champion"] == len(slate.candidates) - 2
    engine.refuses["bad"] = EngineDown("out of slots")
    registry.move("challenger", "bad", by="test", reason="test", now=NOW)
    await until(lambda: service.refusals.get("engine_down", 0) > 0)
    await asyncio.sleep(1.05)  # readiness is asked for at most once a second
    found = await scraped(api)
    assert found["adapters_refused"] == 1
    assert found["adapter_refusals_total engine_down"] >= 1
    assert "serving bad challenger" not in found


async def test_what_the_log_could_not_take_is_seen(tmp_path: Path, engine: Any) -> None:
    from prometheus_client import generate_latest

    home = tmp_path / "home"
    home.write_text("in the way")
    service = create_service(Settings(home=str(home), poll=0.02), engine=engine)
    await service.until_ready(10)
    slate = await service.draw(ASK)
    await service.expose(slate.id, "mei")
    readiness = await service.readiness()
    assert (readiness.unkept, readiness.log.ok, service.lost, service.log_seconds) == (2, False, 0, None)
    assert b"picktune_log_last_commit_timestamp_seconds 0.0" in generate_latest(service.metrics.registry)
    await service.close()


async def test_services_in_one_process_count_for_themselves(
    service: Service, tmp_path: Path, engine: Any
) -> None:
    other = create_service(Settings(home=str(tmp_path / "other"), poll=0.02), engine=engine)
    await other.until_ready(10)
    await other.draw(ASK)
    labels = {"policy": "2+2", "complete": "true"}
    counts = [
        one.metrics.registry.get_sample_value("picktune_slates_total", labels) for one in (other, service)
    ]
    assert counts == [1, None]
    await other.close()


def test_the_embedded_engine_tells_its_queue(tiny_model: Path) -> None:
    engine = LocalEngine(tiny_model)
    assert isinstance(engine, Queueing)
    assert engine.waiting == 0
