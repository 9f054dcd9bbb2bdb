"""Arithmetic of quotas. A window has 60 seconds, so that a limit of 60 fades by one a second."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embeddings.providers.base import Remaining
from embeddings.quotas import waits
from embeddings.quotas.waits import per_window, seconds_to_wait, seconds_until_free, when_to_ask_again

# Our own windows.


@pytest.mark.parametrize(
    ("state", "cost", "seconds"),
    [
        # (previous, seconds it has left, present, seconds it has left), of a limit of 60.
        pytest.param((0, 0.0, 0, 0.0), 60, 0, id="nothing used"),
        pytest.param((0, 0.0, 59, 100.0), 1, 0, id="just enough"),
        pytest.param((60, 30.0, 0, 90.0), 30, 0, id="half of the previous is still counted"),
        pytest.param((60, 30.0, 0, 90.0), 31, 0.002, id="… until just now"),
        pytest.param((60, 30.0, 0, 90.0), 33, 2, id="… and two more fade in two seconds"),
        pytest.param((60, 30.0, 10, 90.0), 33, 12, id="… beside what the present has"),
        pytest.param((60, 30.0, 10, 90.0), 50, 29, id="until less than one is left of the previous"),
        pytest.param((0, 0.0, 60, 120.0), 1, 60, id="the window has just begun, and is used up"),
        pytest.param((0, 0.0, 60, 70.0), 1, 10, id="… ends in ten seconds"),
        pytest.param((0, 0.0, 60, 70.0), 6, 15, id="… and five seconds later five more have faded"),
        pytest.param((0, 0.0, 60, 70.0), 60, 69, id="the whole quota needs an empty window"),
        pytest.param((60, 10.0, 30, 70.0), 32, 12, id="the present must fade, too"),
        pytest.param((0, 0.0, 90, 70.0), 31, 10 + 60 * 2 / 3, id="more was used than there is"),
        pytest.param((0, 0.0, -1, 100.0), 60, 0, id="given back twice"),
    ],
)
def test_seconds_until_free__by_hand(state: waits.State, cost: int, seconds: float) -> None:
    assert seconds_until_free(state, 60, cost) == pytest.approx(seconds, abs=0.003)
    assert (seconds_until_free(state, 60, cost) == 0) == (seconds == 0)


@given(
    previous=st.integers(0, 1000),
    present=st.integers(0, 1000),
    left=st.floats(0, 60),
    limit=st.integers(1, 1000),
    cost=st.integers(1, 1000),
)
def test_seconds_until_free__is_the_first_moment_at_which_it_is_free(
    previous: int, present: int, left: float, limit: int, cost: int
) -> None:
    assume(cost <= limit)
    seconds = seconds_until_free((previous, left, present, left + 60), limit, cost)

    def used(later: float) -> int:
        """What counts `later` seconds from now, by the definition of the sliding window."""
        if later < left:
            return math.floor(previous * (left - later) / 60) + present
        return math.floor(present * max(0.0, 60 - (later - left)) / 60)

    assert 0 <= seconds <= 120
    assert used(seconds) + cost <= limit
    assert seconds == 0 or used(seconds - 0.003) + cost > limit


@pytest.mark.parametrize(
    ("needed", "seconds"), [([0.0], 0.05), ([0.01, 0.0], 0.05), ([0.0, 7.0], 7.0), ([9.0, 7.0], 9.0)]
)
def test_when_to_ask_again__is_when_the_last_quota_is_free_and_not_at_once(needed: list[float], seconds: float) -> None:
    assert when_to_ask_again(needed) == seconds


@pytest.mark.parametrize(
    ("window", "per_minute", "expected"), [(60, 3000, 3000), (60, 1, 1), (2, 3000, 100), (2, 1, 1)]
)
def test_per_window__is_the_part_of_a_minute_and_never_nothing(
    monkeypatch: pytest.MonkeyPatch, window: int, per_minute: int, expected: int
) -> None:
    monkeypatch.setattr(waits, "WINDOW_SECONDS", window)

    assert per_window(per_minute) == expected


# What a provider says.


@pytest.mark.parametrize(
    ("left", "needed", "seconds"),
    [
        pytest.param(None, 100, 0, id="it says nothing"),
        pytest.param(Remaining(1000, 100, 54.0), 100, 0, id="enough is left"),
        pytest.param(Remaining(1000, 100, 54.0), 101, 0.06, id="one is missing of 900 that come in 54 s"),
        pytest.param(Remaining(1000, 0, 60.0), 500, 30, id="half of the quota is back in half of the time"),
        pytest.param(Remaining(1000, 0, 60.0), 1000, 60, id="all of it"),
        pytest.param(Remaining(1000, 0, 60.0), 5000, 60, id="more than there ever is"),
        pytest.param(Remaining(1000, 1000, 0.0), 5000, 0, id="more than there ever is, and it is whole"),
        pytest.param(Remaining(1000, 0, 0.0), 500, 0, id="whole at once"),
        pytest.param(Remaining(1000, -1000, 60.0), 500, 45, id="overdrawn"),
        pytest.param(Remaining(1000, 0, 60.0), 0, 0, id="nothing is needed"),
        pytest.param(Remaining(1000, 0, 60.0), -5, 0, id="less than nothing is needed"),
        pytest.param(Remaining(1000, 2000, 60.0), 3000, 0, id="more is left than there is"),
        pytest.param(Remaining(0, 0, 60.0), 5, 0, id="a quota of nothing"),
        pytest.param(Remaining(-5, -5, 60.0), 5, 0, id="a quota of less"),
        pytest.param(Remaining(1000, 0, -60.0), 5, 0, id="whole in the past"),
        pytest.param(Remaining(1000, 0, math.inf), 5, 0, id="never whole"),
        pytest.param(Remaining(1000, 0, math.nan), 5, 0, id="no time"),
    ],
)
def test_seconds_to_wait__by_hand(left: Remaining | None, needed: int, seconds: float) -> None:
    assert seconds_to_wait(left, needed) == pytest.approx(seconds)


@given(
    limit=st.integers(),
    left=st.integers(),
    reset=st.floats(),
    needed=st.integers(),
)
def test_seconds_to_wait__is_never_longer_than_until_the_quota_is_whole(
    limit: int, left: int, reset: float, needed: int
) -> None:
    seconds = seconds_to_wait(Remaining(limit, left, reset), needed)

    assert 0 <= seconds <= max(0.0, reset) * (1 + 1e-9) or (seconds == 0 and math.isnan(reset))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ((0, 0.0, 7, 70.0), 7),
        # Half of the previous window's count, rounded down.
        ((9, 30.0, 2, 90.0), 6),
    ],
)
def test_used__adds_what_is_left_of_the_previous_window(state, expected):
    assert waits.used(state) == expected
