from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embeddings import histogram

durations = st.lists(st.floats(min_value=0.011, max_value=10_000), min_size=1, max_size=60)
shares = st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0])


def counts_of(seconds: list[float]) -> list[int]:
    counts = histogram.empty()
    for duration in seconds:
        histogram.add(counts, duration)
    return counts


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-3.0, 0), (0.0, 0), (0.01, 0), (0.0101, 1), (0.02, 1), (0.021, 2), (10_485.76, 20), (10_486.0, 21), (1e9, 21)],
)
def test_add__counts_in_the_bucket(seconds, bucket):
    counts = counts_of([seconds])

    assert [number for number, count in enumerate(counts) if count] == [bucket]


def test_percentiles__lie_evenly_in_a_bucket():
    counts = counts_of([0.3] * 100)

    found = histogram.percentiles(counts, 0.0, 0.5, 1.0)

    assert found == pytest.approx((0.16, 0.24, 0.32))


def test_percentiles__of_nothing():
    assert histogram.percentiles(histogram.empty(), 0.5) is None
    assert histogram.percentiles([], 0.5) is None


def test_percentiles__beyond_the_last_bound():
    (found,) = histogram.percentiles(counts_of([1e6]), 1.0)

    assert found == 2 * histogram.BOUNDS[-1]


@given(durations, shares)
def test_percentiles__are_at_most_twice_and_at_least_half_the_true_one(seconds, share):
    counts = counts_of(seconds)

    (found,) = histogram.percentiles(counts, share)

    true = sorted(seconds)[max(math.ceil(len(seconds) * share) - 1, 0)]
    assert true / 2 <= found <= true * 2


@given(durations)
def test_percentiles__rise_with_the_share(seconds):
    found = histogram.percentiles(counts_of(seconds), 0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0)

    assert list(found) == sorted(found)


@given(durations, durations)
def test_merge__is_as_if_counted_together(first, second):
    merged = histogram.merge(counts_of(first), counts_of(second))

    assert merged == counts_of(first + second)
    assert histogram.merge([], merged) == merged
