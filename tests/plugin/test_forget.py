"""Forgetting a person: nothing of them is left, the evidence stays, and it can be killed half-way."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from msgspec import structs
from picktune.comparisons import Comparison, Judgement, Side
from picktune.errors import Forgotten
from picktune.forget import forget, look
from picktune.held import document
from picktune.interchange import export_to
from picktune.lineage import DatasetHead, keep_lineage
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log.erase import Eraser, left_in
from picktune.log.verify import verify
from picktune.records import Conversation, Message, Pick, Reaction, Selection
from picktune.service import Service
from picktune.support import compare

pytestmark = pytest.mark.anyio

NAME = "wilhelmina-1024"
WORDS = "Quixotically, my parcel is late"


async def talk(service: Service, user: str | None, conversation: str, *, words: str = WORDS) -> str:
    """A turn of a user that an agent edited and the user liked."""
    slate = await service.draw(
        [Message(role="user", content=words)], user_ref=user, conversation_id=conversation
    )
    for viewer in ("mei", user or "mei"):
        await service.expose(slate.id, viewer)
    candidate = slate.candidates[0].id
    await service.pick(
        Pick(
            key="k", slate_id=slate.id, verdict="chosen", candidate_id=candidate, annotator="mei",
            edited_text=f"So sorry: {words}", comment=words, reasons=(words,), decided_at=service.now(),
        )
    )  # fmt: skip
    await service.react(
        Reaction(
            key="r", candidate_id=candidate, value="up", comment=words,
            annotator=user or "mei", reacted_at=service.now(),
        )
    )  # fmt: skip
    await service.score(candidate, 4, scale=service.scales()[0].name, annotator="mei", key="s", comment=words)
    return slate.id


def kill_half_way(code: str) -> None:
    """Run the code, and kill it soon after its first line."""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()


def files(service: Service) -> tuple[Path, ...]:
    path = service.settings.log_path
    return path, path.with_name(f"{path.name}-wal")


async def test_every_byte_goes_and_the_evidence_stays(
    service: Service, conversation: Callable[..., Conversation]
) -> None:
    mine = await talk(service, NAME, "c1")
    other = await talk(service, "other", "c2", words="Elsewhere")
    ticket = structs.replace(conversation("t1", WORDS, pending=(WORDS,)), user_ref=NAME, title=WORDS)
    await service.add_conversations([ticket])
    await service.expose(other, NAME)
    await service.set_consent("user", NAME, "train")
    before = compare(service.log.reader.decisions())
    assert left_in(files(service), NAME)

    settings = service.settings
    assert look(settings, "user", NAME).conversations == 2
    told = await asyncio.to_thread(lambda: forget(settings, "user", NAME, now=service.now()))

    assert (told.conversations, told.slates, told.decided_elsewhere, told.left_in) == (2, 1, 1, ())
    assert left_in(files(service), NAME) == left_in(files(service), "Quixotically") == []
    assert compare(service.log.reader.decisions()) == before
    checked = verify(settings.log_path)
    assert checked.sound, checked.findings
    assert checked.erased == {"slates": 1, "picks": 1, "reactions": 1}
    reader = service.log.reader
    assert {one.slate_id for one in reader.choice_sets()} == {other}
    assert {one.slate.id for one in reader.decided_slates(Selection())} == {other}
    gone = reader.conversation("t1")
    assert (gone.status, gone.messages, gone.pending, gone.user_ref) == ("closed", (), (), None)
    assert await service.add_conversations([ticket]) == 0  # imported again, it stays erased
    assert reader.conversation("t1").messages == ()
    assert (await service.slate(other)).turn.messages[0].content == "Elsewhere"
    assert look(settings, "user", NAME).slates == 0
    assert mine


async def test_nothing_joins_what_was_erased(service: Service) -> None:
    slate = await service.draw([Message(role="user", content=WORDS)], user_ref=NAME, conversation_id="c1")
    await service.expose(slate.id, "mei")
    late = structs.replace(slate, id="late", turn=structs.replace(slate.turn, id="late"), candidates=())
    await asyncio.to_thread(lambda: forget(service.settings, "user", NAME, now=service.now()))
    pick = Pick(
        key="k", slate_id=slate.id, verdict="none_good", edited_text=WORDS, annotator="mei",
        decided_at=service.now(),
    )  # fmt: skip
    with pytest.raises(Forgotten):
        await service.pick(pick)
    with pytest.raises(Forgotten):
        await service.react(
            Reaction(
                key="r", candidate_id=slate.candidates[0].id, value="up", comment=WORDS, annotator="mei",
                reacted_at=service.now(),
            )
        )  # fmt: skip
    with pytest.raises(Forgotten):
        await service.log.add_slate(structs.replace(late, complete=False))
    assert left_in(files(service), "Quixotically") == []
    assert verify(service.settings.log_path).sound


async def test_picks_arrive_while_somebody_is_forgotten(service: Service) -> None:
    for number in range(12):
        await talk(service, NAME, f"c{number}")
    slates = [
        await service.draw([Message(role="user", content=WORDS)], user_ref=NAME, conversation_id=f"d{n}")
        for n in range(12)
    ]
    for slate in slates:
        await service.expose(slate.id, "mei")

    async def decide(n: int) -> bool:
        await asyncio.sleep(n / 500)
        try:
            await service.pick(
                Pick(key="k", slate_id=slates[n].id, verdict="none_good", edited_text=WORDS, annotator="mei",
                     decided_at=service.now())
            )  # fmt: skip
        except Forgotten:
            return False
        return True

    erasing = asyncio.to_thread(lambda: forget(service.settings, "user", NAME, now=service.now()))
    await asyncio.gather(erasing, *(decide(n) for n in range(12)))
    assert left_in(files(service), "Quixotically") == []
    found = verify(service.settings.log_path)
    assert found.sound, found.findings


async def test_killed_half_way_it_goes_on(service: Service) -> None:
    for number in range(30):
        await talk(service, NAME, f"c{number}")
    home = service.settings.folder
    code = f"""
        import time
        from datetime import UTC, datetime
        from pathlib import Path
        from picktune.log.erase import Eraser
        eraser = Eraser(Path({str(home / "picktune.db")!r}))
        for one in eraser.traces("user", {NAME!r}).conversations:
            eraser.conversation(one, {NAME!r}, datetime.now(UTC))
            print(one, flush=True)
            time.sleep(0.02)
    """
    await asyncio.to_thread(kill_half_way, textwrap.dedent(code))
    half = look(service.settings, "user", NAME)
    assert 0 < half.conversations < 30
    assert verify(service.settings.log_path).sound
    await asyncio.to_thread(lambda: forget(service.settings, "user", NAME, now=service.now()))
    assert left_in(files(service), NAME) == left_in(files(service), "Quixotically") == []
    checked = verify(service.settings.log_path)
    assert checked.sound
    assert checked.erased["slates"] == 30


async def test_one_conversation_can_be_forgotten_and_a_shared_one_by_halves(service: Service) -> None:
    await talk(service, NAME, "c1")
    kept = await talk(service, NAME, "c2", words="Something else")
    await asyncio.to_thread(lambda: forget(service.settings, "conversation", "c1", now=service.now()))
    assert left_in(files(service), "Quixotically") == []
    assert {one.slate_id for one in service.log.reader.choice_sets()} == {kept}
    others = await talk(service, "other", "c2", words="Mine is fine")
    await asyncio.to_thread(lambda: forget(service.settings, "user", NAME, now=service.now()))
    assert {one.slate_id for one in service.log.reader.choice_sets()} == {others}
    assert verify(service.settings.log_path).sound


async def test_only_this_way_leads_to_erasing(service: Service) -> None:
    await talk(service, NAME, "c1")
    connection = sqlite3.connect(service.settings.log_path, isolation_level=None)
    erasing = "UPDATE picks SET comment = NULL, edited_text = NULL, reasons = '[]', texts_salt = NULL"
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute(erasing)
    connection.execute("INSERT INTO erasing VALUES (1)")
    for change in (
        "verdict = 'tie'",
        "comment = 'other'",
        "annotator = 'tom'",
        "hash = x'00'",
        "role = 'user'",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(f"UPDATE picks SET {change}")
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute("DELETE FROM picks")
    found = verify(service.settings.log_path)
    assert [one.id for one in found.findings] == ["erasing"]
    connection.close()


async def test_datasets_and_reports_go_and_adapters_are_named(service: Service) -> None:
    slate = await talk(service, NAME, "c1")
    home, now = service.settings.folder, service.now()
    head = DatasetHead(dataset_id="d" * 64, until=now, created_at=now, counts={"train": 1})
    keep_lineage(home, head, [("train", slate, now)])
    dataset = home / "datasets" / head.dataset_id
    dataset.mkdir(parents=True)
    (dataset / "train.jsonl").write_text(WORDS)
    (dataset / "manifest.json").write_bytes(msgspec.json.encode({
        "id": head.dataset_id, "until": now, "created_at": now, "counts": {"train": 1}}))  # fmt: skip
    night = home / "nights" / "n1"
    night.mkdir(parents=True)
    (night / "manifest.json").write_bytes(msgspec.json.encode({"dataset_id": head.dataset_id}))
    (night / "report.html").write_text(WORDS)
    (home / "backups").mkdir()
    (home / "backups" / "monday.db").write_text("old")
    told = await asyncio.to_thread(lambda: forget(service.settings, "user", NAME, now=now))
    assert told.datasets == (head.dataset_id,)
    assert not dataset.exists()
    assert told.reports == (str(night / "report.html"),)
    assert not (night / "report.html").exists()
    assert told.backups == (str(home / "backups" / "monday.db"),)


async def test_what_was_judged_as_a_whole_loses_its_words_and_keeps_its_verdict(service: Service) -> None:
    await talk(service, NAME, "c1")
    sides = tuple(
        Side(
            id=f"s{n}",
            messages=(Message(role="user", content=WORDS), Message(role="assistant", content=f"Reply {n}")),
            conversation_id="c1",
            arm=arm,
        )
        for n, arm in enumerate(("base", "challenger"))
    )
    await service.log.add_comparison(
        Comparison(id="w", title=WORDS, sides=sides, seed=1, created_at=service.now())
    )
    judgement = Judgement(
        key="0", comparison_id="w", verdict="chosen", side_id="s1", comment=WORDS, annotator="mei",
        decided_at=service.now(),
    )  # fmt: skip
    for judge in ("mei", NAME):
        await service.log.expose_comparison("w", judge, ("s0", "s1"), service.now())
        for version, verdict in enumerate(("chosen", "undone", "chosen")):
            side = "s1" if verdict == "chosen" else None
            changes = {"key": f"{version}", "verdict": verdict, "side_id": side, "annotator": judge}
            await service.judge(structs.replace(judgement, **changes))
    before = [one.judgement.verdict for one in service.log.reader.judged()]
    held = b"".join(document(service.settings, "user", NAME, service.now()))
    assert {b'"comparison"', b'"judgement"'} <= set(re.findall(rb'"kind":("[a-z_]+")', held))
    await asyncio.to_thread(lambda: forget(service.settings, "user", NAME, now=service.now()))
    assert left_in(files(service), NAME) == left_in(files(service), "Quixotically") == []
    assert [one.judgement.verdict for one in service.log.reader.judged()] == before
    assert service.log.reader.waiting_comparison("tom") == (None, 0)
    with pytest.raises(Forgotten):
        await service.judge(structs.replace(judgement, key="late"))
    assert verify(service.settings.log_path).sound


async def test_over_http_for_administrators_only(api: Any) -> None:
    await talk(api.service, NAME, "c1")
    assert (await api.post("/v1/forget", {"user_ref": NAME})).status_code == 403
    admin = api.new_key("root", "admin")
    told = (await api.post("/v1/held", {"user_ref": NAME}, key=admin)).json()
    assert {one["kind"] for one in told["held"]} == {"slate"}
    assert WORDS in str(told)
    dry = await api.post("/v1/forget", {"user_ref": NAME, "dry_run": True}, key=admin)
    assert (dry.status_code, dry.json()["slates"]) == (200, 1)
    done = await api.post("/v1/forget", {"user_ref": NAME}, key=admin)
    assert (done.status_code, done.json()["conversations"]) == (200, 1)
    assert (await api.post("/v1/held", {"user_ref": NAME}, key=admin)).json()["held"] == []
    audit = (api.service.settings.folder / "audit.jsonl").read_text()
    assert '"forgotten"' in audit
    assert NAME not in audit


def seed(home: Path) -> None:
    """A log with a conversation of the user's."""

    async def work() -> None:
        now = datetime(2026, 11, 24, tzinfo=UTC)
        async with SQLiteLog.open(home / "picktune.db") as log:
            await log.add_conversations(
                [
                    Conversation(
                        id="t1", title="A parcel", messages=(Message(role="user", content=WORDS),),
                        user_ref=NAME, created_at=now, updated_at=now,
                    )
                ]
            )  # fmt: skip

    asyncio.run(work())


def test_the_commands(run: Callable[..., Result], home: Path, tmp_path: Path) -> None:
    home.mkdir()
    seed(home)
    run("held", NAME, "--out", "all.json")
    document = msgspec.json.decode((tmp_path / "all.json").read_bytes())
    assert (document["of"], document["held"][0]["user_ref"]) == (NAME, NAME)
    assert document["held"][0]["messages"][0]["content"] == WORDS
    assert "would erase: conversations 1" in run("forget", NAME, "--dry-run").output
    run("forget", NAME, code=1)  # nobody says yes
    with SQLiteLogReader(home / "picktune.db") as reader:
        assert reader.conversation("t1").user_ref == NAME
    assert "erased" in run("forget", NAME, "--yes", "--vacuum").output
    assert "nothing is known of them" in run("forget", NAME, "--yes").output
    assert msgspec.json.decode(run("forget", "--conversation", "t1", "--yes", "--json").output)["slates"] == 0
    assert "sound" in run("verify").output
    assert NAME not in (home / "audit.jsonl").read_text()
    run("forget", code=2)
    run("held", NAME, "--conversation", "t1", code=2)
    assert not left_in((home / "picktune.db", home / "picktune.db-wal"), NAME)


def test_an_eraser_makes_no_log(tmp_path: Path) -> None:
    from picktune.errors import LogUnavailable

    with pytest.raises(LogUnavailable, match="there is no log"):
        Eraser(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


async def test_an_export_is_of_what_may_be_learned_from(service: Service) -> None:
    """What is read out in one query is what each slate says of itself, whoever withdrew or was forgotten."""
    kept = [await talk(service, user, f"c-{user}", words=f"Words of {user}") for user in ("u1", "u2", None)]
    reader = service.log.reader

    def exported(format: str) -> set[str]:
        lines: list[bytes] = []
        export_to(reader, format, lines.append)
        rows = [msgspec.json.decode(line) for line in b"".join(lines).splitlines()]
        assert all(len(row["chosen"]) == len(row["rejected"]) == 1 for row in rows)
        return {row["prompt"][-1]["content"] for row in rows}

    async def expect(*slates: str) -> None:
        found = list(reader.decided_slates(Selection()))
        assert [one.slate for one in found] == [reader.slate(one) for one in slates]
        assert {one.slate.turn.consent for one in found} <= {"train"}
        assert [one.pick for one in found] == [reader.picks(one)[-1] for one in slates]
        words = {one.slate.turn.messages[-1].content for one in found}
        assert exported("trl-edits") == exported("trl-preference") == words
        assert reader.count_selected(Selection())[0] == len(slates)

    await expect(*kept)
    logged = await talk(service, "u3", "c3", words="Not for training")
    await expect(*kept, logged)
    under_way = reader.decided_slates(Selection())
    first = next(under_way)
    await service.set_consent("user", "u3", "log")
    await service.set_consent("conversation", "c-u2", "log")
    assert [one.slate.id for one in (first, *under_way)] == [*kept, logged]  # as it stood when it began
    await expect(kept[0], kept[2])
    await asyncio.to_thread(forget, service.settings, "user", "u1", now=datetime.now(UTC))
    await expect(kept[2])
    await service.set_consent("user", "u3", "train")
    again = await talk(service, "u3", "c3", words="For training")
    await expect(kept[2], again)
