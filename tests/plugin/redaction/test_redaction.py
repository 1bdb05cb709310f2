"""Placeholders: the same for the same value, back to what was said, and nothing stored if that fails."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from picktune.errors import RedactionFailed
from picktune.redaction.redaction import Redaction
from picktune.redaction.redactor import RuleRedactor
from picktune.redaction.vault import Vault


def test_a_value_has_one_placeholder_in_a_conversation(redaction: Redaction) -> None:
    texts = ["my name is Mary, call 555 123 4567", "it is MARY, or 555 987 6543, not 555-123-4567"]
    first, second = redaction.texts("a", texts)
    assert first == "my name is [NAME_1], call [PHONE_1]"
    assert second == "it is [NAME_1.2], or [PHONE_2], not [PHONE_1.2]"
    assert redaction.text("b", "call 555 987 6543") == "call [PHONE_1]"


def test_a_name_said_later_is_taken_out_of_what_was_said_before(redaction: Redaction) -> None:
    assert redaction.texts("a", ["Kavitha again", "my name is Kavitha"]) == [
        "[NAME_1] again",
        "my name is [NAME_1]",
    ]


def test_what_a_model_repeats_is_taken_out_and_its_placeholders_stay(redaction: Redaction) -> None:
    redaction.text("a", "my name is Kavitha")
    assert redaction.text("a", "Dear [NAME_1], or Kavitha", placeholders=True) == "Dear [NAME_1], or [NAME_1]"


def test_what_a_person_wrote_like_a_placeholder_comes_back_as_that(redaction: Redaction) -> None:
    redaction.text("a", "my name is Kavitha")
    stored = redaction.text("a", "what is [NAME_1]?")
    assert stored == "what is [LITERAL_1]?"
    assert redaction.restore("a", stored) == "what is [NAME_1]?"


def test_another_process_continues_the_numbers(tmp_path: Path, redactor: RuleRedactor) -> None:
    one, other = (Redaction(redactor, Vault(tmp_path / "vault.db")) for _ in range(2))
    assert one.text("a", "call 555 123 4567") == "call [PHONE_1]"
    assert other.text("a", "or 555 987 6543, or 555 123 4567") == "or [PHONE_2], or [PHONE_1]"
    for each in (one, other):
        each.vault.close()


def test_a_vault_forgets_in_time_and_to_the_last_byte(tmp_path: Path, redactor: RuleRedactor) -> None:
    path, now = tmp_path / "vault.db", datetime(2026, 11, 24, tzinfo=UTC)
    redaction = Redaction(redactor, Vault(path), keep_days=30, now=lambda: now)
    stored = redaction.text("a", "my name is Wilhelmina and my phone is 555 123 4567")
    redaction.text("b", "my name is Bartholomew")
    assert redaction.forget(["a"]) == 2
    assert redaction.restore("a", stored or "") == stored
    now += timedelta(days=31)
    redaction.text("c", "hello")
    assert not redaction.vault.entries("b")
    redaction.vault.close()
    left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Wilhelmina" not in left
    assert b"Bartholomew" not in left
    assert b"555 123" not in left


def test_a_vault_is_its_owners_alone(tmp_path: Path, redactor: RuleRedactor) -> None:
    redaction = Redaction(redactor, Vault(tmp_path / "vault.db"))
    redaction.text("a", "my name is Wilhelmina")
    assert (tmp_path / "vault.db").stat().st_mode & 0o777 == 0o600
    redaction.vault.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_vault_that_cannot_be_used_fails(
    tmp_path: Path, redactor: RuleRedactor, content: bytes | None
) -> None:
    path = tmp_path / "vault.db"
    path.mkdir() if content is None else path.write_bytes(content)
    redaction = Redaction(redactor, Vault(path))
    with pytest.raises(RedactionFailed, match="cannot be used"):
        redaction.text("a", "hello")


def test_a_redactor_that_breaks_fails(tmp_path: Path) -> None:
    class Broken:
        def find(self, text: str, *, asked: str = "") -> list[object]:
            raise RuntimeError("my ssn is 123456789")

    redaction = Redaction(Broken(), Vault(tmp_path / "vault.db"))  # type: ignore[arg-type]
    with pytest.raises(RedactionFailed) as failed:
        redaction.text("a", "hello")
    assert "ssn" not in str(failed.value)
    redaction.vault.close()


def test_the_vault_is_apart_from_the_log(redaction: Redaction, tmp_path: Path) -> None:
    redaction.text("a", "my name is Wilhelmina")
    tables = sqlite3.connect(tmp_path / "home" / "vault.db")
    assert tables.execute("SELECT placeholder, value FROM entries").fetchall() == [("[NAME_1]", "Wilhelmina")]
    tables.close()
