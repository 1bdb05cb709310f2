"""The hash chain over a real log: whatever is done to its rows with SQL is found, and named."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from picktune.errors import InvalidInput, LogUnavailable
from picktune.log import SQLiteLog, rows, schema, sealing
from picktune.log.chain import GENESIS, LINK, PICKS, REACTIONS
from picktune.log.stored import chain_rows
from picktune.log.verify import Finding, Verification, inspect, verify
from picktune.records import Candidate
from sqlite_utils import Database

pytestmark = pytest.mark.anyio

COUNT = 9
Tamper = Callable[[sqlite3.Connection], object]


async def fill(path: Path, make: Any) -> None:
    """Nine picks and nine reactions, with edits, undone decisions, and two annotators on a slate."""
    async with SQLiteLog.open(path) as log:
        for number in range(3):
            slate = await make.shown(log, viewers=("ann", "bob"))
            await log.record(
                make.pick(slate, edited_text=f"Reply {number}, written", reasons=("kurz", "礼貌"))
            )
            await log.record(make.pick(slate, "undone", comment="oops"))
            await log.record(make.pick(slate, "none_good", annotator="bob", role="expert", dwell_ms=7))
            for place in range(3):
                await log.react(make.reaction(slate, place, comment=f"number {place}"))


@pytest.fixture
async def filled(path: Path, make: Any) -> Path:
    await fill(path, make)
    return path


@pytest.fixture(scope="module")
def log_bytes(new_make: Any) -> Iterator[bytes]:
    """A filled log as it lies in memory, for tests that spoil many copies of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picktune.db"
        asyncio.run(fill(path, new_make()))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        yield path.read_bytes()


def opened(content: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(content)
    return connection


def spoiled(content: bytes, tamper: Tamper) -> Verification:
    """What is found after somebody took the triggers away, did something, and put them back."""
    with closing(opened(content)) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        tamper(connection)
        for _, sql in guards:
            connection.execute(sql)
        return inspect(connection)


def named(found: Verification, table: str) -> set[object]:
    return {one.id for one in found.findings if one.table == table}


def packed(value: Any) -> bytes:
    """MessagePack, written down a second time after its specification."""
    if value is None:
        return b"\xc0"
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, int):
        if -32 <= value < 0:
            return struct.pack(">b", value)
        sizes = "BHIQ" if value >= 0 else "bhiq"
        if 0 <= value < 128:
            return bytes([value])
        for place, size in enumerate(sizes):
            try:
                return bytes([(0xCC if value >= 0 else 0xD0) + place]) + struct.pack(f">{size}", value)
            except struct.error:
                continue
    if isinstance(value, str):
        text = value.encode()
        if len(text) < 32:
            return bytes([0xA0 | len(text)]) + text
        kind = (b"\xd9", ">B") if len(text) < 256 else (b"\xda", ">H")
        return kind[0] + struct.pack(kind[1], len(text)) + text
    if isinstance(value, bytes):
        return b"\xc4" + struct.pack(">B", len(value)) + value
    assert isinstance(value, list | tuple)
    assert len(value) < 65536
    head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + struct.pack(">H", len(value))
    return head + b"".join(map(packed, value))


def test_the_hashes_are_those_of_the_documentation(log_bytes: bytes) -> None:
    """Computed once more from docs/log.md alone, with nothing of ours."""
    connection = opened(log_bytes)
    connection.row_factory = sqlite3.Row

    def all_of(sql: str, *values: object) -> list[Any]:
        return connection.execute(sql, values).fetchall()

    for slate in all_of("SELECT * FROM slates"):
        (turn,) = all_of("SELECT * FROM turns WHERE id = ?", slate["turn_id"])
        candidates = all_of("SELECT * FROM candidates WHERE slate_id = ? ORDER BY place", slate["id"])
        texts = [turn["user_ref"], turn["messages"], *(one["text"] for one in candidates)]
        assert slate["texts_hash"] == sha256(slate["salt"] + packed(texts)).digest()
        names = ("slate_id", "place", "id", "arm", "kind", "model", "position", "tokens", "finish_reason")
        replies = [
            [*(one[name] for name in (*names, "also")), one["propensity"], one["latency"]]
            for one in candidates
        ]
        plain = [slate[name] for name in rows.SLATE.split(", ")]
        of_turn = [turn[name] for name in ("id", "conversation_id", "tags", "locale", "created_at")]
        whole = ["slates", *plain, *of_turn, replies, slate["texts_hash"]]
        assert slate["hash"] == sha256(packed(whole)).digest()
    last = bytes(32)
    for pick in all_of("SELECT * FROM picks ORDER BY id"):
        (slate,) = all_of("SELECT * FROM slates WHERE id = ?", pick["slate_id"])
        (exposure,) = all_of(
            "SELECT * FROM exposures WHERE slate_id = ? AND viewer = ?", pick["slate_id"], pick["annotator"]
        )
        who = sha256(pick["who_salt"] + packed([pick["annotator"], pick["key"]])).digest()
        words = [pick["edited_text"], pick["reasons"], pick["comment"]]
        texts = sha256(pick["texts_salt"] + packed(words)).digest()
        assert (who, texts) == (pick["who_hash"], pick["texts_hash"])
        columns = ("slate_id", "version", "verdict", "candidate_id", "role", "dwell_ms", "decided_at")
        plain = ["picks", pick["id"], *(pick[name] for name in columns)]
        about = [slate["hash"], exposure["places"], exposure["shown_at"]]
        assert pick["previous"] == last
        last = sha256(last + packed([*plain, who, texts, *about])).digest()
        assert pick["hash"] == last
    (end,) = all_of("SELECT * FROM chains WHERE name = 'picks'")
    assert (end["length"], end["hash"]) == (COUNT, last)
    connection.close()


async def test_a_log_that_nobody_touched_is_sound(filled: Path) -> None:
    found = verify(filled)

    assert found.sound
    assert found.chained
    assert found.rows == {"slates": 3, "picks": COUNT, "reactions": COUNT}
    assert found.erased == {"slates": 0, "picks": 0, "reactions": 0}
    assert found.heads["picks"].startswith("picks:9:")


async def test_numbers_that_sqlite_keeps_otherwise(log: SQLiteLog, path: Path, make: Any) -> None:
    """A whole number in a column of floats, and the two zeros."""
    slate = make.slate()
    candidates = tuple(
        Candidate(
            id=f"c{place}",
            arm="base",
            kind="base",
            model=None,
            text="",
            position=place,
            propensity=value,
            tokens=-(2**40),
            latency=-0.0,
        )
        for place, value in enumerate((1, 0.1, 1e300, -0.0))
    )
    slate = type(slate)(
        **{**{name: getattr(slate, name) for name in slate.__struct_fields__}, "candidates": candidates}
    )
    await log.add_slate(slate)
    await log.add_exposure(make.exposure(slate))
    await log.record(make.pick(slate, comment="a\0b\ufffd", reasons=("",)))

    assert verify(path).findings == ()


async def test_two_servers_make_one_chain(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as one, SQLiteLog.open(path) as other:
        slates = [await make.shown(one) for _ in range(20)]
        await asyncio.gather(*((one, other)[i % 2].record(make.pick(s)) for i, s in enumerate(slates)))
        await asyncio.gather(*((one, other)[i % 2].react(make.reaction(s)) for i, s in enumerate(slates)))

    assert verify(path).sound
    assert verify(path).heads["picks"].startswith("picks:20:")


async def test_a_refused_decision_leaves_no_gap(log: SQLiteLog, path: Path, make: Any) -> None:
    slates = [await make.shown(log) for _ in range(6)]
    outcomes = await asyncio.gather(
        *(log.record(make.pick(slate, annotator=("ann", "nobody")[i % 2])) for i, slate in enumerate(slates)),
        return_exceptions=True,
    )

    assert [isinstance(one, BaseException) for one in outcomes] == [False, True] * 3
    assert verify(path).sound


CHANGES = [
    *(("picks", column) for column in f"{rows.PICK}, {LINK}".split(", ")),
    *(("reactions", column) for column in f"{rows.REACTION}, {LINK}".split(", ")),
]


@settings(max_examples=100, deadline=None)
@given(change=st.sampled_from(CHANGES), id=st.integers(1, COUNT), data=st.data())
def test_any_changed_value_is_found_and_named(
    log_bytes: bytes, change: tuple[str, str], id: int, data: st.DataObject
) -> None:
    table, column = change

    def tamper(connection: sqlite3.Connection) -> None:
        (before,) = connection.execute(f"SELECT {column} FROM {table} WHERE id = ?", (id,)).fetchone()
        values = (
            st.integers(0, 2**60)
            if column in ("version", "dwell_ms", "decided_at", "reacted_at")
            else (st.binary(max_size=40) if isinstance(before, bytes) else st.text(max_size=5))
        )
        if column in ("verdict", "value"):
            values = st.sampled_from(["chosen", "tie", "skip"] if table == "picks" else ["up", "down"])
        new = data.draw(values.filter(lambda value: value != before))
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (new, id))
        except sqlite3.IntegrityError:
            assume(False)  # a version or a key that is another row's

    assert id in named(spoiled(log_bytes, tamper), table)


@settings(max_examples=30, deadline=None)
@given(
    table=st.sampled_from(["picks", "reactions"]), begin=st.integers(1, COUNT), count=st.integers(1, COUNT)
)
def test_any_removed_row_is_found_and_named(log_bytes: bytes, table: str, begin: int, count: int) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute(f"DELETE FROM {table} WHERE id >= ? AND id < ?", (begin, begin + count))

    found = spoiled(log_bytes, tamper)

    assert [(one.kind, one.id) for one in found.findings if one.table == table] == [("removed", begin)]


@settings(max_examples=30, deadline=None)
@given(
    table=st.sampled_from(["picks", "reactions"]),
    pair=st.sets(st.integers(1, COUNT), min_size=2, max_size=2),
)
def test_any_two_rows_that_changed_places_are_found_and_named(
    log_bytes: bytes, table: str, pair: set[int]
) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        one, other = pair
        for old, new in ((one, 1000), (other, one), (1000, other)):
            connection.execute(f"UPDATE {table} SET id = ? WHERE id = ?", (new, old))

    assert pair <= named(spoiled(log_bytes, tamper), table)


@settings(max_examples=40, deadline=None)
@given(
    table=st.sampled_from(["picks", "reactions"]),
    like=st.integers(1, COUNT),
    id=st.sampled_from([-3, 0, COUNT + 1, COUNT + 5]),
    link=st.sampled_from(["copied", "random", "computed"]),
)
def test_any_row_that_was_slipped_in_is_found_and_named(
    log_bytes: bytes, table: str, like: int, id: int, link: str
) -> None:
    """Even if its hashes were computed as the log would have computed them."""
    chain = PICKS if table == "picks" else REACTIONS

    def tamper(connection: sqlite3.Connection) -> None:
        ((_, row, columns, about),) = chain_rows(connection, chain, "WHERE r.id = ?", (like,))
        values = dict(zip(chain.columns.split(", "), row, strict=True)) | {"key": "forged"}
        if table == "picks":
            values["version"] = 50
        if link == "random":
            columns = tuple(os.urandom(32) for _ in columns)
        elif link == "computed":
            first, last = (
                (GENESIS, GENESIS)
                if id < 1
                else connection.execute("SELECT name, hash FROM chains WHERE name = ?", (table,)).fetchone()
            )
            columns = chain.link(last, id, tuple(values.values()), about)
            assert first
        every = (id, *values.values(), *columns)
        connection.execute(
            f"INSERT INTO {table} (id, {chain.columns}, {LINK}) VALUES ({', '.join('?' * len(every))})", every
        )

    found = spoiled(log_bytes, tamper)

    assert [(one.kind, one.id) for one in found.findings if one.table == table] == [("inserted", id)]


@pytest.mark.parametrize(
    ("statement", "kind", "table"),
    [
        ("UPDATE candidates SET arm = 'champion' WHERE slate_id = :slate AND place = 0", "changed", "slates"),
        ("UPDATE candidates SET text = 'Ours is best.' WHERE slate_id = :slate", "changed", "slates"),
        ("UPDATE candidates SET propensity = 0.25 WHERE slate_id = :slate", "changed", "slates"),
        ("DELETE FROM candidates WHERE slate_id = :slate AND place = 3", "changed", "slates"),
        (
            "INSERT INTO candidates SELECT slate_id, 4, 'new', arm, kind, model, text, position, propensity, "
            "tokens, latency, finish_reason, also FROM candidates WHERE slate_id = :slate AND place = 0",
            "changed",
            "slates",
        ),
        ("UPDATE slates SET complete = 0 WHERE id = :slate", "changed", "slates"),
        ("UPDATE slates SET hash = NULL WHERE id = :slate", "changed", "slates"),
        ("UPDATE slates SET salt = NULL WHERE id = :slate", "changed", "slates"),
        ("UPDATE turns SET tags = '[\"vip\"]'", "changed", "slates"),
        ("UPDATE turns SET messages = CAST(x'ff' AS TEXT)", "changed", "slates"),
        ("DELETE FROM turns", "dangling", "slates"),
        ("UPDATE exposures SET places = '[3,2,1,0]' WHERE slate_id = :slate", "changed", "picks"),
        ("DELETE FROM exposures WHERE slate_id = :slate", "dangling", "picks"),
        ("DELETE FROM slates WHERE id = :slate", "dangling", "picks"),
        ("UPDATE picks SET comment = CAST(x'fffe' AS TEXT) WHERE slate_id = :slate", "changed", "picks"),
        ("UPDATE picks SET who_salt = NULL WHERE slate_id = :slate", "changed", "picks"),
        ("UPDATE picks SET texts_salt = NULL WHERE slate_id = :slate", "changed", "picks"),
        ("DELETE FROM chains WHERE name = 'reactions'", "removed", "reactions"),
        ("DELETE FROM chains", "removed", "picks"),
    ],
)
def test_what_a_decision_rests_on_is_covered_too(
    log_bytes: bytes, statement: str, kind: str, table: str
) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        (slate_id,) = connection.execute("SELECT slate_id FROM picks WHERE id = 4").fetchone()
        connection.execute(statement, {"slate": slate_id} if ":slate" in statement else {})

    found = spoiled(log_bytes, tamper)

    assert (kind, table) in {(one.kind, one.table) for one in found.findings}
    assert all(one.message.isprintable() for one in found.findings)


def test_a_reply_of_another_slate_is_found(log_bytes: bytes) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE picks SET candidate_id = (SELECT candidate_id FROM picks WHERE id = 7) WHERE id = 1"
        )

    found = spoiled(log_bytes, tamper)

    assert {(one.kind, one.id) for one in found.findings} == {("dangling", 1), ("changed", 1)}
    assert found.findings[0].message == "pick 1 names a reply that is not on its slate"


def erase(connection: sqlite3.Connection) -> None:
    """Forget bob, and what was said on the first slate."""
    slate_id, turn_id = connection.execute("SELECT id, turn_id FROM slates ORDER BY rowid").fetchone()
    connection.execute("UPDATE picks SET annotator = 'erased-1', key = 'erased-' || id, who_salt = NULL "
                       "WHERE annotator = 'bob'")  # fmt: skip
    connection.execute("UPDATE exposures SET viewer = 'erased-1' WHERE viewer = 'bob'")
    for table, columns in (("picks", "edited_text = NULL,"), ("reactions", "")):
        connection.execute(
            f"UPDATE {table} SET {columns} comment = NULL, reasons = '[]', texts_salt = NULL "
            f"WHERE slate_id = ?",
            (slate_id,),
        )
    connection.execute("UPDATE turns SET messages = '[]', user_ref = NULL WHERE id = ?", (turn_id,))
    connection.execute("UPDATE candidates SET text = '' WHERE slate_id = ?", (slate_id,))
    connection.execute("UPDATE slates SET salt = NULL WHERE id = ?", (slate_id,))


def test_erasing_keeps_the_chain_whole_and_is_seen(log_bytes: bytes) -> None:
    found = spoiled(log_bytes, erase)

    assert found.findings == ()
    assert found.erased == {"slates": 1, "picks": 5, "reactions": 3}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE picks SET comment = 'I never said that' WHERE id = 1",
        "UPDATE picks SET reasons = '[\"rude\"]' WHERE id = 1",
        "UPDATE picks SET verdict = 'skip' WHERE id = 1",
        "UPDATE picks SET key = 'mine' WHERE id = 3",
        "UPDATE candidates SET text = 'Not said.' WHERE id = (SELECT candidate_id FROM picks WHERE id = 1)",
        'UPDATE turns SET messages = \'[{"role":"user","content":"Not said."}]\'',
    ],
)
def test_nothing_can_be_put_where_something_was_erased(log_bytes: bytes, statement: str) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        erase(connection)
        connection.execute(statement)

    assert {one.kind for one in spoiled(log_bytes, tamper).findings} == {"changed"}


def test_a_guard_that_is_gone_or_is_another_is_found(log_bytes: bytes) -> None:
    connection = opened(log_bytes)
    connection.execute("DROP TRIGGER picks_are_never_changed")
    connection.execute("DROP VIEW shown")
    connection.execute("DROP VIEW sent")
    connection.execute("CREATE VIEW sent AS SELECT 1")
    connection.execute("CREATE VIEW my_own AS SELECT 1")
    connection.execute("CREATE TRIGGER mine AFTER INSERT ON slates BEGIN SELECT 1; END")

    found = inspect(connection)
    connection.close()

    assert found.findings == (
        Finding(kind="unguarded", id="mine", message="the trigger mine is not one of the log"),
        Finding(
            kind="unguarded",
            id="picks_are_never_changed",
            message="the trigger picks_are_never_changed is missing",
        ),
        Finding(kind="unguarded", id="sent", message="the view sent was changed"),
        Finding(kind="unguarded", id="shown", message="the view shown is missing"),
    )


async def test_a_chain_that_was_written_anew_is_known_by_an_end_noted_elsewhere(
    filled: Path, make: Any
) -> None:
    head = verify(filled).heads["picks"]
    await fill(filled, make)
    assert verify(filled, expect=head).sound

    connection = sqlite3.connect(filled, isolation_level=None)
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE picks SET verdict = 'skip', candidate_id = NULL WHERE id = 4")
    connection.execute("DELETE FROM chains WHERE name = 'picks'")
    sealing._link_rows(connection, PICKS)
    for _, sql in guards:
        connection.execute(sql)
    connection.close()

    assert verify(filled).sound  # whoever can write the file can also hash it: hence the note
    (finding,) = verify(filled, expect=head).findings
    assert "written anew, or cut short" in finding.message


@pytest.mark.parametrize(
    "head", ["", "picks", "picks:x:00", "picks:1:zz", f"turns:1:{'00' * 32}", "picks:1:00"]
)
async def test_an_end_that_is_none(filled: Path, head: str) -> None:
    with pytest.raises(InvalidInput, match="no end of a chain"):
        verify(filled, expect=head)


async def test_every_log_began_empty(filled: Path) -> None:
    assert verify(filled, expect=f"picks:0:{GENESIS.hex()}").sound


async def test_without_its_end_a_chain_is_not_continued(filled: Path, make: Any) -> None:
    connection = sqlite3.connect(filled)
    connection.execute("DELETE FROM chains")
    connection.commit()
    connection.close()

    async with SQLiteLog.open(filled) as log:
        slate = await make.shown(log)
        with pytest.raises(LogUnavailable, match="picktune verify"):
            await log.record(make.pick(slate))
        with pytest.raises(LogUnavailable, match="picktune verify"):
            await log.react(make.reaction(slate))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reactions SET value = 'down'",
        "DELETE FROM reactions",
        "INSERT OR REPLACE INTO reactions SELECT * FROM reactions",
        "INSERT INTO reactions (slate_id, candidate_id, annotator, key, value, reasons, role, reacted_at) "
        "SELECT slate_id, candidate_id, annotator, 'new', value, reasons, role, reacted_at FROM reactions",
        "INSERT INTO picks (slate_id, annotator, version, key, verdict, reasons, role, decided_at) "
        "SELECT slate_id, annotator, 2, 'new', 'undone', '[]', 'agent', 0 FROM picks WHERE annotator = 'bob'",
    ],
)
async def test_rows_go_through_the_log_or_not_at_all(filled: Path, statement: str) -> None:
    connection = sqlite3.connect(filled)
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute(statement)
    connection.close()

    assert verify(filled).sound


def old_log(filled: Path, path: Path) -> None:
    """The same rows in a file as it was before there was a chain."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    schema.migrations.apply(Database(connection), stop_before="hash_chain")
    connection.execute("ATTACH ? AS new", (str(filled),))
    for table in schema.TABLES:
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    connection.close()


async def test_a_log_from_before_the_chain_is_chained_as_it_is(
    filled: Path, tmp_path: Path, make: Any
) -> None:
    path = tmp_path / "old.db"
    old_log(filled, path)
    with pytest.raises(LogUnavailable, match=r"older Picktune.*hash_chain"):
        verify(path)
    connection = sqlite3.connect(path)
    before = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in schema.TABLES]
    connection.close()

    await SQLiteLog.open(path).close()

    assert verify(path).findings == ()
    assert verify(path).rows == {"slates": 3, "picks": COUNT, "reactions": COUNT}
    connection = sqlite3.connect(path)
    after = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in schema.TABLES]
    for old, new in zip(before, after, strict=True):
        assert [row[: len(old[0])] for row in new] == old
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute("UPDATE picks SET comment = 'x'")
    connection.close()
    await fill(path, make)
    assert verify(path).sound
    assert verify(path).heads["picks"].startswith("picks:18:")


async def test_more_rows_than_are_chained_at_a_time(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    old_log(filled, path)
    monkeypatch.setattr(sealing, "_BATCH", 2)

    await SQLiteLog.open(path).close()

    assert verify(path).sound


async def test_a_log_that_cannot_be_chained_stays_as_it_was(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old_log(filled, path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE reactions SET comment = CAST(x'ff' AS TEXT) WHERE id = 9")
    connection.commit()

    with pytest.raises(LogUnavailable, match="UTF-8"):
        SQLiteLog.open(path)

    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'chains'").fetchall() == []
    assert connection.execute("SELECT name FROM _sqlite_migrations").fetchall() == [("slates_and_decisions",)]
    connection.close()
