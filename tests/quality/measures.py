"""How good a ranking is: 0 is useless, 1 as good as it can be."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence


def recall(found: Sequence[str], expected: Collection[str], k: int = 10) -> float:
    """The share of `expected` that is among the first k found; of k of them, where more are expected."""
    return len(set(found[:k]) & set(expected)) / min(k, len(expected))


def ndcg(found: Sequence[str], grades: Mapping[str, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k found.

    The gain is the grade, the discount log2(place + 1): Järvelin and Kekäläinen, "Cumulated gain-based evaluation of
    IR techniques", ACM TOIS 20(4), 2002, with the discount from the first place on, as trec_eval has it.
    """
    ideal = sorted(grades.values(), reverse=True)
    return _dcg(grades.get(slug, 0) for slug in found[:k]) / _dcg(ideal[:k])


def _dcg(gains: Iterable[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))
