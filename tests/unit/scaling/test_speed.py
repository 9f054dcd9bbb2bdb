from __future__ import annotations

import pytest

from embeddings.scaling.speed import Speedometer


def observed(*counts: dict[str, int], is_busy: bool = True, start: float = 0.0) -> Speedometer:
    """One that has looked every second."""
    speed = Speedometer()
    for second, done in enumerate(counts):
        speed.observe(start + second, done, is_busy=is_busy)
    return speed


def test_per_worker__is_what_one_of_them_ends():
    speed = observed(*({"a": 10 * second, "b": 500 + 30 * second} for second in range(10)))

    assert speed.per_worker == pytest.approx(20.0)


@pytest.mark.parametrize("seconds", [0, 1, 3])
def test_per_worker__is_unknown_at_first(seconds):
    assert observed(*({"a": 10 * second} for second in range(seconds))).per_worker is None


def test_per_worker__is_unknown_where_nothing_ends():
    assert observed(*[{"a": 7}] * 30).per_worker is None


def test_per_worker__does_not_count_idle_time():
    speed = observed(*({"a": 10 * second} for second in range(10)))

    for second in range(10, 1_000):
        speed.observe(second, {"a": 90}, is_busy=False)

    assert speed.per_worker == pytest.approx(10.0)


def test_per_worker__forgets_what_was_long_ago():
    speed = observed(*({"a": 10 * second} for second in range(100)))

    for second in range(100, 130):
        speed.observe(second, {"a": 990 + 2 * (second - 99)}, is_busy=True)

    assert speed.per_worker == pytest.approx(2.0)


def test_per_worker__passes_over_who_was_not_there_before():
    speed = observed({"a": 0}, {"a": 10}, {"a": 20}, {"a": 30}, {"a": 40}, {"a": 50, "b": 7_000})

    assert speed.per_worker == pytest.approx(10.0)
