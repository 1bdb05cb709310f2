"""Rows: whatever begins alike stands there once, and every token knows where it is predicted from."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.packing import PackedRow, bundles, pack

token = st.integers(1, 3)  # few tokens, so that beginnings are often alike
sets = st.lists(
    st.builds(
        EncodedSet,
        slate_id=st.just("s"),
        prompt=st.lists(token, min_size=1, max_size=12).map(tuple),
        replies=st.lists(st.lists(token, min_size=1, max_size=6).map(tuple), min_size=1, max_size=4).map(
            tuple
        ),
        chosen=st.just(0),
    ),
    min_size=1,
    max_size=4,
)


def one_set(prompt: tuple[int, ...], *replies: tuple[int, ...]) -> EncodedSet:
    return EncodedSet(slate_id="s", prompt=prompt, replies=replies, chosen=0)


def path_to(row: PackedRow, place: int) -> list[int]:
    """What the token at this place sees, itself included, in the order in which it stands in the row."""
    segment = next(s for s in row.layout.segments if s.start <= place < s.stop)
    places = [i for start, stop in segment.seen for i in range(start, stop) if i <= place]
    assert row.positions[0, places].tolist() == list(range(len(places)))
    return [int(row.ids[0, i]) for i in places]


def test_a_row_holds_the_prompt_once() -> None:
    row = pack([one_set((7, 8, 9), (1, 2, 3), (4,), (5, 6))], shared=2)
    assert row.ids.tolist() == [[7, 8, 9, 1, 2, 5]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert row.targets.tolist() == [1, 2, 3, 4, 5, 6]
    assert row.sources.tolist() == [2, 3, 4, 2, 2, 5]
    assert row.owners.tolist() == [0, 0, 0, 1, 2, 2]
    assert row.replies == (3,)


def test_sets_share_the_beginning_of_their_prompts() -> None:
    row = pack([one_set((7, 8, 9), (1, 2)), one_set((7, 8, 6), (1, 3)), one_set((5, 5), (4, 4))], shared=2)
    assert row.ids.tolist() == [[7, 8, 9, 1, 6, 1, 5, 5, 4]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 2, 3, 0, 1, 2]]
    assert [segment.seen for segment in row.layout.segments] == [
        ((0, 2),), ((0, 4),), ((0, 2), (4, 6)), ((6, 9),)
    ]  # fmt: skip
    assert row.layout.longest == 4


@given(sets, st.integers(1, 5))
@settings(deadline=None)
def test_every_token_is_predicted_from_all_that_precedes_it(sets: list[EncodedSet], shared: int) -> None:
    row = pack(sets, shared=shared)
    expected = [
        (owner, [*prompt, *reply[:i]], reply[i])
        for owner, (prompt, reply) in enumerate((one.prompt, reply) for one in sets for reply in one.replies)
        for i in range(len(reply))
    ]
    found = zip(row.owners.tolist(), row.sources.tolist(), row.targets.tolist(), strict=True)
    assert [(owner, path_to(row, source), target) for owner, source, target in found] == expected
    assert len(row.ids[0]) == row.layout.segments[-1].stop
    if shared == 1:  # then no two tokens of the row have the same past
        paths = [tuple(path_to(row, place)) for place in range(len(row.ids[0]))]
        assert len(set(paths)) == len(paths)


@given(sets, st.integers(1, 4), st.integers(1, 60))
def test_rows_hold_all_sets_in_order_within_their_limits(
    sets: list[EncodedSet], limit: int, tokens: int
) -> None:
    rows = list(bundles(sets, limit, tokens))
    assert [one for row in rows for one in row] == sets
    for row in rows:
        assert 1 <= len(row) <= limit
        assert len(row) == 1 or sum(one.tokens for one in row) <= tokens
