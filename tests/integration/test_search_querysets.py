"""What was found is a queryset: lazy, one statement, and all that querysets do works on it."""

from __future__ import annotations

import copy
import operator
import pickle

import pytest
from django.db import connection, transaction
from django.db.models import Avg, Count, Exists, F, Max, OuterRef, Q
from django.test.utils import CaptureQueriesContext

from embeddings import search
from embeddings.providers import get_provider
from tests.testapp.models import Author, Essay, Memo, PinnedPost, Place, Post, Restaurant

pytestmark = pytest.mark.django_db

MODES = ["semantic", "keyword", "hybrid"]
LOCAL = {
    "default": {
        "BACKEND": "embeddings.providers.local.LocalProvider",
        "MODEL": "l2_supercat_256",
        "DIMENSIONS": 256,
    }
}


@pytest.fixture(autouse=True)
def local_provider(settings):
    settings.EMBEDDING_PROVIDERS = LOCAL


@pytest.fixture
def essays(drain):
    ann, ben = Author.objects.create(name="Ann"), Author.objects.create(name="Ben")
    titles = ["a red apple", "a ripe pear", "an apple and a pear", "a claw hammer", "a steel saw"]
    essays = {title: Essay.objects.create(title=title, author=ann if "pear" in title else ben) for title in titles}
    drain()
    return essays


def found(queryset) -> list[str]:
    return [essay.title for essay in queryset]


@pytest.mark.parametrize("mode", MODES)
def test_search__is_lazy_and_one_statement(essays, mode, django_assert_num_queries):
    Essay.objects.search("apple", mode=mode)  # the query's vector and words are remembered

    with CaptureQueriesContext(connection) as before:
        result = Essay.objects.select_related("author").search("apple", mode=mode)
    with django_assert_num_queries(1):
        first, *_ = result[:3]
        assert first.author.name in {"Ann", "Ben"}

    assert not any("hnsw" in query["sql"] for query in before)
    assert "apple" in first.title
    assert first.score > 0


@pytest.mark.parametrize("mode", MODES)
def test_search__counts_and_exists(essays, mode):
    result = Essay.objects.search("apple", mode=mode)
    rows = len(result.all())

    assert result.count() == rows
    assert result.exists()
    assert result[1:].all().count() == rows - 1
    assert result.filter(pk=essays["a red apple"].pk).count() == 1
    assert not result.filter(pk=0).exists()


@pytest.mark.parametrize("mode", MODES)
def test_search__is_a_subquery(essays, mode):
    result = Essay.objects.search("apple", mode=mode)

    same = Essay.objects.filter(pk__in=result.values("pk"))
    best = Essay.objects.filter(pk__in=result.values("pk")[:1])
    authors = Author.objects.filter(essay__in=result.filter(title="an apple and a pear"))
    exists = Author.objects.filter(Exists(result.filter(author=OuterRef("pk"), title__contains="apple")))

    assert set(same) == set(result)
    assert list(best) == [result[0]]
    assert [author.name for author in authors] == ["Ann"]
    assert {author.name for author in exists} == {"Ann", "Ben"}
    assert set(result) == set(same)  # the original is as it was


@pytest.mark.parametrize("mode", MODES)
def test_search__filters_order_and_annotations_afterwards(essays, mode):
    result = Essay.objects.search("apple pear", mode=mode)

    by_author = result.filter(author__name="Ann").filter(Q(title__contains="apple") | Q(author__born=1))
    annotated = result.annotate(double=F("score") * 2).filter(score__gt=0).order_by("title", "-double")

    assert found(by_author) == ["an apple and a pear"]
    assert [essay.double for essay in annotated] == [essay.score * 2 for essay in annotated]
    assert found(annotated) == sorted(found(annotated))
    assert found(result.reverse()) == found(result)[::-1]
    assert result.first() == result[0]
    assert result.last() == list(result)[-1]
    assert result.get(title="a red apple").found_by in {"semantic", "keyword", "both"}


@pytest.mark.parametrize("mode", MODES)
def test_search__values_only_and_defer(essays, mode):
    result = Essay.objects.search("apple", mode=mode)

    rows = list(result.values("title", "score", "author__name"))
    pairs = list(result.values_list("title", "found_by"))
    deferred = result.defer("embedding")[0]
    slim = result.only("title")[0]

    assert [row["title"] for row in rows] == [title for title, _ in pairs] == found(result)
    assert rows[0].keys() == {"title", "score", "author__name"}
    assert "embedding" in deferred.get_deferred_fields()
    assert "body" in slim.get_deferred_fields()
    assert slim.score == rows[0]["score"]


@pytest.mark.parametrize("mode", MODES)
def test_search__of_values(essays, mode):
    rows = Essay.objects.values("title").search("apple", mode=mode)
    titles = Essay.objects.values_list("title", flat=True).search("apple", mode=mode)

    assert list(titles) == [row["title"] for row in rows] == found(Essay.objects.search("apple", mode=mode))
    assert rows[0].keys() >= {"title", "score"}


@pytest.mark.parametrize("mode", MODES)
def test_search__aggregates(essays, mode):
    result = Essay.objects.search("apple pear", mode=mode)

    assert result.aggregate(best=Max("score"))["best"] == pytest.approx(result[0].score)
    assert result[:2].aggregate(mean=Avg("score"))["mean"] == pytest.approx(sum(e.score for e in result[:2]) / 2)
    by_author = result.order_by().values("author__name").annotate(number=Count("pk"))
    assert sum(row["number"] for row in by_author) == result.count()


@pytest.mark.parametrize("mode", MODES)
def test_search__of_querysets_that_change_rows(essays, mode):
    many = Essay.objects.annotate(siblings=Count("author__essay")).filter(siblings=2)
    twice = Essay.objects.filter(author__essay__title__contains="a").distinct()
    joined = Essay.objects.filter(author__essay__title__contains="a")

    assert set(found(many.search("apple pear", mode=mode))) <= {"a ripe pear", "an apple and a pear"}
    assert [essay.siblings for essay in many.search("apple pear", mode=mode)][:1] == [2]
    assert set(found(twice.search("apple pear", mode=mode))) == set(
        found(Essay.objects.search("apple pear", mode=mode))
    )
    assert joined.search("pear", mode=mode)[0].score == Essay.objects.search("pear", mode=mode)[0].score


@pytest.mark.parametrize("mode", MODES)
def test_search__of_a_search(essays, mode):
    twice = Essay.objects.search("apple", mode="keyword").search("pear", mode=mode)

    assert set(found(twice)) <= {"a red apple", "an apple and a pear"}
    assert found(twice)[0] == "an apple and a pear"


def test_search__combined_with_others(essays):
    apples, saws = Essay.objects.search("apple", mode="keyword"), Essay.objects.filter(title__contains="saw")

    assert set(found(apples & Essay.objects.filter(title__contains="red"))) == {"a red apple"}
    assert set(apples.values_list("pk").union(saws.values_list("pk"))) == {
        (essay.pk,) for essay in essays.values() if "apple" in essay.title or "saw" in essay.title
    }
    for combine in (operator.or_, operator.xor):
        assert len(combine(saws, Essay.objects.filter(title__contains="hammer"))) == 2
        for one, other in ((apples, saws), (saws, apples), (apples, apples.all())):
            with pytest.raises(TypeError, match="then search"):
                combine(one, other)


@pytest.mark.parametrize("mode", MODES)
def test_search__writes_and_locks(essays, mode):
    result = Essay.objects.search("apple", mode=mode).filter(title__contains="apple")

    with transaction.atomic():
        assert len(result.select_for_update(of=("self",))) == 2
        assert (
            len(Essay.objects.select_for_update().search("apple", mode=mode))
            == Essay.objects.search("apple", mode=mode).count()
        )
    assert result.update(luck=7) == 2
    assert Essay.objects.filter(luck=7).count() == 2
    assert result.delete()[0] == 2


@pytest.mark.parametrize("mode", MODES)
def test_search__iterator_copy_and_explain(essays, mode):
    result = Essay.objects.search("apple", mode=mode)

    assert [essay.pk for essay in result.iterator(chunk_size=2)] == [essay.pk for essay in result]
    assert found(copy.deepcopy(result)) == found(result)
    assert "Limit" in result.explain()


@pytest.mark.parametrize("mode", MODES)
def test_search__pickled_is_what_was_found(essays, mode, django_assert_num_queries):
    result = Essay.objects.search("apple", mode=mode)[:2]

    with django_assert_num_queries(1):
        pickled = pickle.dumps(result)
    with django_assert_num_queries(0):
        assert found(pickle.loads(pickled)) == found(result)


@pytest.mark.parametrize("mode", MODES)
def test_search__of_nothing(essays, mode):
    assert list(Essay.objects.none().search("apple", mode=mode)) == []
    assert Essay.objects.filter(pk__in=[]).search("apple", mode=mode).count() == 0
    assert list(Essay.objects.filter(luck=99).search("apple", mode=mode)) == []


def test_search__after_a_slice_says_what_to_do(essays):
    with pytest.raises(TypeError, match="Search first, then slice"):
        Essay.objects.all()[:3].search("apple")


@pytest.mark.parametrize("mode", MODES)
def test_search__keys_of_other_types(mode):
    memo = Memo.objects.create(text="a red apple")
    Memo.objects.update(embedding=get_provider("default").embed(["a red apple"]).vectors[0])

    assert list(Memo.objects.search("apple", mode=mode)) == [memo]
    assert list(Memo.objects.filter(pk=memo.pk).search("apple", mode=mode)[:1]) == [memo]


@pytest.mark.parametrize("mode", MODES)
def test_search__proxies_and_children(drain, mode):
    Post.objects.create(title="a red apple")
    Restaurant.objects.create(name="The Apple", menu="pears")
    Place.objects.create(name="An apple tree")
    drain()

    assert isinstance(PinnedPost.objects.search("apple", mode=mode).get(), PinnedPost)
    children = search.search(Restaurant.objects.all(), "apple", mode=mode, field="embedding")
    assert [child.name for child in children] == ["The Apple"]
    menus = search.search(Restaurant.objects.all(), "pears", mode=mode, field="menu_embedding")
    assert [child.menu for child in menus] == ["pears"]


@pytest.mark.parametrize("candidates", [1, 3])
def test_search__candidates_bound_each_part(essays, candidates):
    assert len(Essay.objects.search("apple", mode="semantic", candidates=candidates)) == candidates
    assert len(Essay.objects.search("apple", candidates=candidates)) <= 2 * candidates
