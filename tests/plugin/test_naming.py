"""A reply that says which model wrote it is found, told, and drawn again if that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from picktune.errors import EngineError, InvalidInput
from picktune.naming import NAMED, Naming
from picktune.records import Message
from picktune.service import Service

NAMING = Naming(["/models/SmolLM2-135M-Instruct", "2026-11-24-a", "v1", "Sunny"])
ASK = [Message(role="user", content="Who are you?")]


@pytest.mark.parametrize(
    "text",
    [
        "I am Qwen, made by Alibaba.",
        "Hello! I’m an AI assistant called SmolLM.",
        "As a large language model trained by Google, I cannot look into your account.",
        "I am a model, and I was developed\nby OpenAI.",
        "My name is Sunny.",
        "You are talking to SmolLM2-135M-Instruct.",
        "2026-11-24-a at your service",
        "我是通义千问，由阿里云开发。",
        "我是一个由OpenAI训练的语言模型",
        "您好，我叫豆包",
        "这个模型由深度求索公司开发",
    ],
)
def test_who_names_itself_is_found(text: str) -> None:
    assert NAMING.found(text)
    assert NAMING.found(text.upper())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I am sorry, we do not sell Google phones.",
        "I am glad that your Gemini watch arrived.",
        "As Google Pay is down, please pay by card.",
        "Your Microsoft account is locked; it was made by you.",
        "I am Phillip, and this is Yin.",
        "It is sunny, v1 of the form is gone, and the phi in it too.",
        "我是客服小王",
        "您可以用百度搜索",
        "我们由腾讯客服为您服务",
    ],
)
def test_who_speaks_of_others_is_not(text: str) -> None:
    assert NAMING.found(text) is None


@pytest.mark.timeout(30)
def test_a_long_text_takes_no_long_time() -> None:
    assert NAMING.found("I am a " * 50_000 + "我是" * 50_000 + "model " * 50_000) is None


class Chatty:
    """Makes every second reply of the engine name itself, until it has done so ``times``."""

    def __init__(self, engine: Any, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.asked = 0
        plain = engine.generate

        async def generate(*args: Any, **more: Any) -> list[Any]:
            nonlocal times
            said = await plain(*args, **more)
            self.asked += len(said)
            for place in range(0, len(said), 2):
                if times > 0:
                    times -= 1
                    said[place] = structs.replace(said[place], text=f"I am Qwen. {said[place].text}")
            return said

        monkeypatch.setattr(engine, "generate", generate)


@pytest.mark.anyio
async def test_it_is_flagged(service: Service, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Chatty(engine, monkeypatch, times=1)
    slate = await service.draw(ASK)
    assert slate.turn.tags == (NAMED,)
    assert slate.complete
    assert (await service.stored_slate(slate.id)).turn.tags == (NAMED,)
    assert (await service.draw(ASK)).turn.tags == ()
    assert service.metrics.registry.get_sample_value("picktune_self_named_slates_total") == 1
    with pytest.raises(InvalidInput, match="given by Picktune only"):
        await service.draw(ASK, tags=[NAMED])


@pytest.mark.anyio
async def test_it_is_drawn_again_and_then_left_out(
    service: Service, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "settings", structs.replace(service.settings, self_naming="filter"))
    said = Chatty(engine, monkeypatch, times=1)
    slate = await service.draw(ASK, policy="2+2")
    assert (len(slate.candidates), slate.complete, said.asked) == (4, True, 5)
    Chatty(engine, monkeypatch, times=3)
    slate = await service.draw(ASK, policy="2+2")
    assert not slate.complete
    assert all("Qwen" not in one.text for one in slate.candidates)
    assert slate.turn.tags == ()
    Chatty(engine, monkeypatch, times=1000)
    with pytest.raises(EngineError):
        await service.draw(ASK, policy="1")


@pytest.mark.anyio
async def test_off_is_off(service: Service, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "settings", structs.replace(service.settings, self_naming="off"))
    Chatty(engine, monkeypatch, times=1)
    assert (await service.draw(ASK)).turn.tags == ()
