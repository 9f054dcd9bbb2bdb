from __future__ import annotations

from math import log2

import pytest

from tests.quality.measures import ndcg, recall


def test_recall__counts_what_is_among_the_first():
    assert recall(["a", "x", "b"], {"a", "b", "c", "d"}) == 0.5
    assert recall(["a", "x", "b"], {"a", "b"}, k=2) == 0.5
    assert recall(["a", "x", "b"], {"b", "a"}) == 1
    assert recall(["x"], {"a"}) == 0
    assert recall([], {"a"}) == 0


def test_recall__is_full_where_more_are_expected_than_fit():
    assert recall(["a", "b"], {"a", "b", "c", "d"}, k=2) == 1


def test_ndcg__best_order_is_one():
    assert ndcg(["a", "b", "c"], {"c": 1, "a": 2, "b": 2}) == 1
    assert ndcg(["b", "a", "c", "x"], {"c": 1, "a": 2, "b": 2}) == 1


def test_ndcg__by_hand():
    # found: 0 + 1/log2(3) + 2/log2(4) = 0.6309 + 1; ideal: 2/log2(2) + 1/log2(3) = 2 + 0.6309
    assert ndcg(["x", "good", "exact"], {"exact": 2, "good": 1}) == pytest.approx(1.6309 / 2.6309, abs=1e-4)
    assert ndcg(["x", "a"], {"a": 2}) == pytest.approx(1 / log2(3))


def test_ndcg__only_the_first_count():
    assert ndcg(["x", "a"], {"a": 2}, k=1) == 0
    assert ndcg(["a", "b"], {"a": 2, "b": 2, "c": 1}, k=1) == 1


def test_ndcg__nothing_found():
    assert ndcg([], {"a": 2}) == 0
    assert ndcg(["x"], {"a": 2}) == 0
