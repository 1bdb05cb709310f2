from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from picktune.engines.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock, failures: int = 3) -> Breaker:
    return Breaker(failures=failures, seconds=2.0, longest=30.0, rng=random.Random(1), clock=clock)


def test_opens_after_failures_in_a_row_and_lets_one_request_try() -> None:
    clock = Clock()
    one = breaker(clock)
    for _ in range(2):
        one.failed("boom")
    one.succeeded()
    for _ in range(2):
        one.failed("boom")
    assert (one.state, one.allows()) == ("closed", True)
    one.failed("boom")
    assert (one.state, one.allows(), one.reason, one.opened) == ("open", False, "boom", 1)
    assert 1.5 <= one.retry_in <= 2.5
    clock.now += 2.5
    assert (one.state, one.allows()) == ("half_open", True)
    one.trying()
    assert not one.allows()
    one.succeeded()
    assert (one.state, one.reason, one.allows()) == ("closed", None, True)


def test_a_trial_that_fails_opens_it_for_longer_up_to_a_limit() -> None:
    clock = Clock()
    one = breaker(clock, failures=1)
    waits = []
    for _ in range(7):
        one.trying()
        one.failed("boom")
        waits.append(one.retry_in)
        clock.now += one.retry_in
    assert waits[0] < waits[1] < waits[2] < waits[3]
    assert max(waits) <= 30.0 * 1.25
    one.succeeded()
    one.failed("again")
    assert one.retry_in <= 2.5


def test_a_trial_whose_client_goes_away_lets_the_next_one_try() -> None:
    clock = Clock()
    one = breaker(clock, failures=1)
    one.failed("boom")
    clock.now += 3
    one.trying()
    one.gave_up()
    assert one.allows()


@given(st.lists(st.sampled_from(["try", "ok", "fail", "gone", "wait"]), max_size=60))
def test_it_never_stays_shut(events: list[str]) -> None:
    clock = Clock()
    one = breaker(clock, failures=2)
    for event in events:
        if event == "try" and one.allows():
            one.trying()
        elif event == "ok":
            one.succeeded()
        elif event == "fail":
            one.failed("boom")
        elif event == "gone":
            one.gave_up()
        elif event == "wait":
            clock.now += 5
    one.gave_up()
    clock.now += 40
    assert one.allows()
