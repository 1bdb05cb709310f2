from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune_adapters.errors import InvalidAdapterName
from picktune_adapters.names import check_name, is_name, next_name

NOW = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["a", "2026-11-24-1", "v1.0_b", "A" * 100])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../up",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "a\x00",
        "a\n",
        "-rf",
        "_x",
        "名字",
        "a b",
        "A" * 101,
        "base",
        "champion",
        "Challenger",
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidAdapterName) as caught:
        check_name(name)
    assert caught.value.field == "name"
    assert repr(name) in str(caught.value)


@given(st.text(max_size=120))
def test_a_name_never_leads_out_of_its_folder(name: str) -> None:
    if is_name(name):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
        assert "/" not in name
        assert not name.startswith(".")


@given(st.lists(st.integers(min_value=1, max_value=10**6), max_size=20))
def test_the_next_name_is_new_and_higher_than_any_of_that_day(numbers: list[int]) -> None:
    used = [f"2026-11-24-{number}" for number in numbers] + ["2026-11-23-99", "2026-11-24-x", "2026-11-24"]
    name = next_name(used, NOW)
    assert name not in used
    assert name == f"2026-11-24-{max(numbers, default=0) + 1}"
    assert is_name(name)
