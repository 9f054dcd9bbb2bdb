from __future__ import annotations

from benchmarks.row import Row, Side, shown


def row(**goals: float) -> Row:
    return Row("saving", "a save", "ms", Side("ours", (2.0, 3.0, 8.0)), Side("theirs", (1.0, 1.0, 2.0)), **goals)


def test_ratio__is_the_median_of_the_rounds():
    assert row().ratios == [2.0, 3.0, 4.0]
    assert row().ratio == 3.0
    assert row().spread == (2.0, 4.0)


def test_is_met__compares_medians_with_limits():
    assert row().is_met
    assert row(ratio_at_most=3.0, ours_at_most=3.0).is_met
    assert not row(ratio_at_most=2.9).is_met
    assert not row(ratio_at_least=3.1).is_met
    assert not row(ours_at_most=2.9).is_met
    assert not row(ours_at_least=3.1).is_met


def test_goal__in_words():
    assert row().goal == ""
    assert row(ratio_at_most=1.6, ours_at_most=300).goal == "≤ 1.6 times, ≤ 300 ms"


def test_from_json__is_what_was_written():
    before = row(ratio_at_least=0.7)

    assert Row.from_json(before.as_json()) == before


def test_shown__three_digits():
    assert [shown(value) for value in (0, 0.01234, 1.605, 99.95, 1234567.8)] == [
        "0",
        "0.0123",
        "1.6",
        "100",
        "1,234,568",
    ]
