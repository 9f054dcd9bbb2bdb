"""How many requests are in flight follows what the provider's answers say."""

from __future__ import annotations

import pytest

from embeddings.pipeline.in_flight import InFlight

TOKENS = 1_000


@pytest.fixture(autouse=True)
def _of_eight(settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CONCURRENCY": 8}


def answer(provider: InFlight, count: int, *, seconds_alone: float = 0.2, at_once: int = 1_000) -> list[int]:
    """The limit after each of so many answers of a provider that works on `at_once` requests at a time."""
    limits = []
    for _ in range(count):
        in_flight = provider.limit
        provider.answered(TOKENS, seconds_alone * max(1.0, in_flight / at_once), in_flight)
        limits.append(provider.limit)
    return limits


def test_answered__has_one_more_with_each_up_to_the_setting():
    assert answer(InFlight(), 9) == [2, 3, 4, 5, 6, 7, 8, 8, 8]


def test_answered__grows_by_rounds_once_a_threshold_is_known():
    assert answer(InFlight(threshold=3), 10) == [2, 3, 3, 3, 3, 4, 4, 4, 4, 5]


def test_answered__does_not_grow_where_fewer_are_in_flight():
    provider = InFlight()

    for _ in range(5):
        provider.answered(TOKENS, 0.2, 1)

    assert provider.limit == 2


@pytest.mark.parametrize(("at_once", "fewest", "most"), [(1, 1, 4), (2, 2, 6), (100, 8, 8)])
def test_answered__settles_near_what_the_provider_works_on_at_once(at_once, fewest, most):
    settled = answer(InFlight(), 300, at_once=at_once)[100:]

    assert fewest <= min(settled)
    assert max(settled) <= most


def test_answered__takes_no_notice_of_differences_in_milliseconds():
    assert answer(InFlight(), 20, seconds_alone=0.003, at_once=1)[-1] == 8


def test_answered__compares_requests_of_one_size():
    provider = InFlight()
    provider.answered(100, 0.1, 1)
    answer(provider, 20)

    for _ in range(20):
        provider.answered(100_000, 3.0, provider.limit)

    assert provider.limit == 8


def test_refused__halves_once_for_all_that_was_sent_before():
    provider = InFlight()
    answer(provider, 9)

    for _ in range(3):
        provider.refused(0.2)

    assert (provider.limit, provider.threshold) == (4, 4)


def test_refused__again_and_again_leaves_one():
    provider = InFlight()
    answer(provider, 9)

    for _ in range(6):
        provider.refused(-0.001)

    assert provider.limit == 1


def test_limit__follows_the_setting_at_once(settings):
    provider = InFlight()
    answer(provider, 9)

    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "CONCURRENCY": 3}

    assert provider.limit == 3
