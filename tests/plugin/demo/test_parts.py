"""The demonstration's parts: its configuration, its tickets, its outcome, and what ends it."""

from __future__ import annotations

import io
import itertools
import random
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from picktune.demo.auto import auto
from picktune.demo.night import Night, Trained, admit
from picktune.demo.outcome import Outcome, outcome_of, show
from picktune.demo.plan import Plan, write_config
from picktune.demo.processes import DemoFailed, free_port, run, serving, tail
from picktune.demo.work import rounds
from picktune.settings import load_settings
from picktune.support import support_rate
from picktune.tickets import sample_conversations
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry
from rich.console import Console

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NOT_ADMITTED = Night(exit_code=20, message="no gain", adapter=Trained(name="a-1", picks=9))


def plan(home: Path, **values: object) -> Plan:
    return msgspec.structs.replace(Plan(home=home, port=8399), **values)


def test_the_configuration_is_one_that_the_server_reads(tmp_path: Path) -> None:
    asked = plan(tmp_path / "a b", model='C:\\models\\"x"', fresh_slates=400, max_tokens=33)
    write_config(asked, roles=("model",))
    settings = load_settings(asked.config, {})
    assert settings.folder == (tmp_path / "a b").resolve()
    assert settings.model == asked.model
    assert settings.roles == ("model",)
    assert settings.policy == "2+2"
    assert settings.host == "127.0.0.1"
    assert settings.port == 8399
    assert settings.sampling.max_tokens == 33
    assert settings.annotator_cap >= 800
    assert asked.url == f"http://127.0.0.1:8399{settings.prefix}"


def test_every_round_has_all_tickets_once_as_conversations_of_their_own() -> None:
    known = sample_conversations("en", now=NOW, split="unseen")
    source = rounds(known, "demo", random.Random(0))
    first, second = (list(itertools.islice(source, len(known))) for _ in range(2))
    for one in (first, second):
        assert {ticket.messages for ticket in one} == {ticket.messages for ticket in known}
    ids = [ticket.id for ticket in first + second]
    assert len(set(ids)) == 2 * len(known)
    assert [ticket.messages for ticket in first] != [ticket.messages for ticket in second]


def test_an_adapter_that_was_not_admitted_ends_the_demonstration(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match=r"did not admit the adapter.*no gain") as failed:
        admit(plan(tmp_path), NOT_ADMITTED, Console(quiet=True))
    assert failed.value.exit_code == 20
    assert Registry(tmp_path / "registry").aliases() == Aliases()


def test_the_outcome_says_simulated_and_bears_its_figures(tmp_path: Path) -> None:
    empty = support_rate([], model="a-1")
    night = Night(exit_code=0, message="ok", adapter=Trained(name="a-1", picks=96), training_seconds=123.456)
    outcome = outcome_of(plan(tmp_path), night, empty, empty, seconds=600.04)
    line = msgspec.json.decode(msgspec.json.encode(outcome))
    assert line["simulated"] is True
    assert line["support_after"] is None
    assert line["interval"] == [0.0, 1.0]
    assert line["training_seconds"] == 123.5
    assert line["seconds"] == 600.0
    assert line["training_picks"] == 96
    assert line["admitted"] is True
    assert msgspec.convert(line, Outcome) == outcome
    console = Console(file=io.StringIO(), record=True, width=120)
    show(console, outcome, empty, empty)
    said = console.export_text()
    assert "simulated" in said
    assert "unseen" in said


@pytest.mark.anyio
async def test_a_home_with_an_adapter_is_not_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "registry" / "adapters" / "2026-11-24-1"
    registry = Registry(tmp_path / "registry")
    registry.versions()
    folder.mkdir(parents=True)
    (folder / "version.json").write_text(
        '{"name":"2026-11-24-1","base_model":"b","sha256":"0","rank":8,"run_id":"r","dataset_id":"d","picks":1,'
        '"created_at":"2026-11-24T09:00:00Z"}'
    )
    with pytest.raises(DemoFailed, match="holds an earlier demonstration; name another folder with --home"):
        await auto(plan(tmp_path), Console(quiet=True))


@pytest.mark.anyio
async def test_a_commands_lines_and_code_are_handed_on(tmp_path: Path) -> None:
    write_config(plan(tmp_path), roles=("model",))
    lines: list[str] = []
    code = await run(["nightly", "--json"], plan(tmp_path).config, line=lines.append)
    assert code != 0
    assert "exit_code" in lines[-1]


@pytest.mark.anyio
async def test_a_server_that_ends_leaves_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    (tmp_path / "broken.toml").write_text("port = 'none'")
    async with serving(tmp_path / "broken.toml", log) as process:
        assert await process.wait() != 0
    assert "port" in tail(log)


def test_the_tail_of_a_log_is_its_end_and_a_missing_one_is_said(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    assert "cannot be read" in tail(log)
    log.write_text("\n".join(f"line {i}" for i in range(100)))
    assert "line 99" in tail(log)
    assert "line 74" not in tail(log)


def test_free_ports_are_free() -> None:
    assert 1024 <= free_port() <= 65535


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
