from __future__ import annotations

import pytest

from embeddings.scaling.policy import Bounds, Load, decide

# In a minute a worker ends 600 tasks.
SPEED = 10.0
BOUNDS = Bounds(fewest=1, most=8, target_seconds=60.0, idle_seconds=60.0)


def wanted(bounds: Bounds = BOUNDS, **load: object) -> int:
    return decide(Load(**{"per_worker": SPEED, "own": 1, **load}), bounds).wanted


@pytest.mark.parametrize(
    ("waiting", "own", "expected"),
    [
        (0, 1, 1),
        (600, 1, 1),  # It is done in the target time.
        (601, 1, 2),
        (100_000, 1, 2),  # Twice as many at once.
        (100_000, 2, 4),
        (1_900, 3, 4),  # No more than are needed.
        (100_000, 5, 8),  # Never more than the most.
        (100_000, 8, 8),
    ],
)
def test_decide__grows_to_what_ends_the_backlog_in_time(waiting, own, expected):
    assert wanted(waiting=waiting, own=own) == expected


def test_decide__waits_for_those_that_are_starting():
    assert wanted(waiting=100_000, own=2, starting=1) == 2


def test_decide__counts_workers_of_others():
    assert wanted(waiting=1_800, own=1, others=2) == 1
    assert wanted(waiting=2_400, own=1, others=2) == 2


@pytest.mark.parametrize("waiting", [0, 299, 301, 600])
def test_decide__shrinks_by_one_when_half_the_time_would_do(waiting):
    expected = 1 if waiting < 300 else 2

    assert wanted(waiting=waiting, own=2, surplus_seconds=60.0) == expected


def test_decide__shrinks_by_one_only():
    assert wanted(waiting=0, own=8, surplus_seconds=600.0) == 7


def test_decide__shrinks_only_after_the_idle_time():
    decision = decide(Load(own=2, per_worker=SPEED, surplus_seconds=59.0), BOUNDS)

    assert (decision.wanted, decision.is_surplus) == (2, True)


def test_decide__does_not_flap_at_the_same_backlog():
    for waiting in range(0, 6_000, 50):
        grown = next(own for own in range(1, 9) if wanted(waiting=waiting, own=own) == own)

        assert wanted(waiting=waiting, own=grown) == grown
        if grown > 1:  # One fewer would be too few, and it does not go there.
            shrunk = wanted(waiting=waiting, own=grown, surplus_seconds=600.0)
            assert wanted(waiting=waiting, own=shrunk) == shrunk


@pytest.mark.parametrize(("own", "expected"), [(0, 2), (1, 2), (2, 2), (3, 2)])
def test_decide__keeps_the_fewest(own, expected):
    bounds = Bounds(fewest=2, most=4)

    assert wanted(bounds, own=own, surplus_seconds=600.0) == expected


def test_decide__of_none():
    bounds = Bounds(fewest=0, most=4)

    assert wanted(bounds, own=0) == 0
    assert wanted(bounds, own=0, waiting=1) == 1
    assert wanted(bounds, own=0, has_errand=True) == 1
    assert wanted(bounds, own=0, waiting=1, others=1) == 0  # Somebody else's worker does it.
    assert wanted(bounds, own=1, surplus_seconds=60.0) == 0
    assert wanted(bounds, own=1, has_errand=True, surplus_seconds=60.0) == 1


def test_decide__does_not_grow_where_the_provider_is_the_limit():
    load = Load(held=100_000, limit="provider default is paused", own=2, per_worker=SPEED)

    decision = decide(load, BOUNDS)

    assert decision.wanted == 2
    assert decision.reason == "100,000 tasks wait, but provider default is paused: more workers would not help"


def test_decide__starts_none_for_what_is_paused():
    load = Load(held=50, limit="everything is paused", own=0, per_worker=SPEED)

    decision = decide(load, Bounds(fewest=0, most=4))

    assert decision.wanted == 0
    assert decision.reason == "50 tasks wait, but everything is paused: more workers would not help"


def test_decide__grows_for_what_is_not_limited():
    assert wanted(waiting=1_200, held=100_000, limit="provider slow is paused", own=1) == 2


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (
            Load(waiting=12_000, own=2, per_worker=95.0),
            "12,000 tasks wait, which 2 workers at 95 a second each end in about 63 s, and it is to take 60 s",
        ),
        (
            Load(waiting=1_200, own=1, per_worker=9.5, is_at_least=True),
            "1,200 or more tasks wait, which one worker at 9.5 a second ends in about 126 s, and it is to take 60 s",
        ),
        (
            Load(waiting=100_000, own=8, per_worker=95.0),
            "100,000 tasks wait, which 8 workers at 95 a second each end in about 132 s, but no more than 8 may run",
        ),
        (Load(own=2, surplus_seconds=61.0), "nothing waits, and fewer have been enough for 61 s"),
        (
            Load(waiting=1, own=2, surplus_seconds=61.0),
            "only 1 task waits, and fewer have been enough for 61 s",
        ),
    ],
)
def test_decide__says_why(load, reason):
    assert decide(load, BOUNDS).reason == reason
