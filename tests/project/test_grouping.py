from __future__ import annotations

import pytest

from embeddings.search import Hit
from project.content.grouping import Group, each_alone, grouped
from project.content.models import Article, Note


def article(pk: int, source: str, score: float) -> Hit:
    return Hit(Article(pk=pk, source=source), score, "both")


def keys(groups: list[Group]) -> list[tuple[str, list[int]]]:
    return [(group.source, [hit.object.pk for hit in group.hits]) for group in groups]


def test_grouped__in_the_order_of_their_best():
    found = [article(1, "a", 0.9), article(2, "b", 0.5), article(3, "a", 0.1)]

    assert keys(grouped(found)) == [("a", [1, 3]), ("b", [2])]


def test_grouped__three_good_ones_go_before_one_a_little_better():
    found = [article(1, "a", 0.50), article(2, "b", 0.49), article(3, "b", 0.48), article(4, "b", 0.47)]

    groups = grouped(found)

    assert keys(groups) == [("b", [2, 3, 4]), ("a", [1])]
    assert groups[0].weight == pytest.approx(0.49 + 0.15 * 0.48 + 0.1 * 0.47)


def test_grouped__a_large_source_gains_nothing_by_its_size():
    found = [article(0, "a", 0.5), *(article(pk, "b", 0.3) for pk in range(1, 50))]

    assert keys(grouped(found))[0] == ("a", [0])


def test_grouped__without_a_source_each_alone():
    found = [article(1, "", 0.5), article(2, "", 0.4)]

    assert keys(grouped(found)) == [("", [1]), ("", [2])]


def test_grouped__what_has_no_source_is_not_behind_for_it():
    found = [article(1, "", 0.50), article(2, "b", 0.49), article(3, "b", 0.48), article(4, "b", 0.47)]

    assert keys(grouped(found)) == [("", [1]), ("b", [2, 3, 4])]


def test_grouped__other_models_have_no_source():
    found = [Hit(Note(pk=1), 0.5, "both"), Hit(Note(pk=2), 0.4, "both"), article(1, "", 0.3)]

    assert keys(grouped(found)) == [("", [1]), ("", [2]), ("", [1])]


def test_each_alone__keeps_the_order():
    found = [article(1, "a", 0.1), article(2, "b", 0.9), article(3, "a", 0.5)]

    assert keys(each_alone(found)) == [("a", [1]), ("b", [2]), ("a", [3])]


@pytest.mark.parametrize(("count", "shown", "hidden"), [(1, 1, 0), (3, 3, 0), (4, 3, 1), (9, 3, 6)])
def test_group__shows_three_and_counts_the_rest(count, shown, hidden):
    (group,) = grouped(article(pk, "a", 1 / (pk + 1)) for pk in range(count))

    assert [hit.object.pk for hit in group.shown] == list(range(shown))
    assert group.hidden == hidden
