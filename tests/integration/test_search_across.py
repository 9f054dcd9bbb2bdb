"""One search of several models."""

from __future__ import annotations

import pytest
from django.db.models import Value

from embeddings import search
from embeddings.exceptions import ConfigurationError
from tests.integration.conftest import dummy
from tests.testapp.models import Doc, Essay, Place, Post, Receipt, Word

pytestmark = pytest.mark.django_db(databases=["default", "other"])

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
def things(drain):
    things = [
        Essay.objects.create(title="a claw hammer for nails"),
        Essay.objects.create(title="a red apple"),
        Post.objects.create(title="a hammer"),
        Post.objects.create(title="a pear", views=5),
        Doc.objects.create(title="Shed", content="In it hang a hammer and a saw."),
        Place.objects.create(name="The Hammer Inn"),
    ]
    drain()
    return things


def everything():
    return [Essay.objects.all(), Post.objects.all(), Doc.objects.all(), Place.objects.all()]


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_across__finds_in_all(things, mode):
    found = search.across(everything(), "hammer", mode=mode, limit=4)

    assert {type(hit.object) for hit in found.hits} == {Essay, Post, Doc, Place}
    assert found.degraded is False
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert {hit.found_by for hit in found.hits} == {"both" if mode == "hybrid" else mode}
    assert {hit.passage is not None for hit in found.hits if isinstance(hit.object, Doc)} == {True}


def test_across__is_one_statement_and_one_a_model(things, django_assert_num_queries):
    search.across(everything(), "hammer")

    # Whether there are vectors of other models (4), the candidates, the objects (4), the passages.
    with django_assert_num_queries(10):
        search.across(everything(), "hammer")


def test_across__querysets_carry_filters_and_annotations(things):
    querysets = [Essay.objects.filter(title__contains="apple"), Post.objects.filter(views=5).annotate(mark=Value("x"))]

    found = search.across(querysets, "hammer")

    assert {str(hit.object.title) for hit in found.hits} == {"a red apple", "a pear"}
    assert [hit.object.mark for hit in found.hits if isinstance(hit.object, Post)] == ["x"]


def test_across__order_is_the_same_every_time(drain):
    for number in range(5):
        Post.objects.create(title="a hammer", views=number)
        Essay.objects.create(title="a hammer")
    drain()

    once = [(type(hit.object), hit.object.pk) for hit in search.across(everything(), "hammer", limit=6).hits]
    again = [(type(hit.object), hit.object.pk) for hit in search.across(everything()[::-1], "hammer", limit=6).hits]

    assert once == again
    assert len(once) == 6


def test_across__one_provider_down_degrades_its_part(things, settings):
    down = {"BACKEND": "embeddings.providers.openai.OpenAIProvider", "MODEL": "m", "DIMENSIONS": 256}
    settings.EMBEDDING_PROVIDERS = {"default": {**down, "OPTIONS": {"BASE_URL": "http://127.0.0.1:9/v1"}}}

    found = search.across(everything(), "hammer")

    assert found.degraded
    assert {hit.found_by for hit in found.hits} == {"keyword"}
    assert len(found.hits) == 4


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_across__models_without_words_are_found_by_meaning(settings, drain, mode):
    settings.EMBEDDING_PROVIDERS = dummy()
    Word.objects.create(word="saw", meaning="cuts")
    Post.objects.create(title="saw")
    drain()

    found = search.across([Word.objects.all(), Post.objects.all()], "saw", mode=mode)

    assert {type(hit.object) for hit in found.hits} == ({Post} if mode == "keyword" else {Word, Post})


def test_across__nothing_asked_or_nowhere(things):
    assert search.across(everything(), " \0 ").hits == []
    assert search.across([], "hammer").hits == []
    assert search.across([Post.objects.none(), Doc.objects.none()], "hammer").hits == []


def test_across__two_databases(drain):
    here = Post.objects.create(title="a hammer")
    there = Post.objects.using("other").create(title="a hammer")

    found = search.across([Post.objects.all(), Post.objects.using("other")], "hammer", mode="keyword")

    assert {(hit.object._state.db, hit.object.pk) for hit in found.hits} == {("default", here.pk), ("other", there.pk)}


def test_across__several_fields_must_be_chosen_from():
    with pytest.raises(ConfigurationError, match="merchant_embedding, text_embedding"):
        search.across([Receipt.objects.all()], "bread")


def test_across__the_field_is_said_where_there_are_several(drain):
    Receipt.objects.create(merchant="hammer shop", text="bread")
    bought = Receipt.objects.create(merchant="bakery", text="hammer")
    drain()

    found = search.across([(Receipt.objects.all(), "text_embedding"), Post.objects.all()], "hammer", mode="keyword")

    assert [hit.object for hit in found.hits] == [bought]
    with pytest.raises(ConfigurationError, match="Say which embedded field"):
        search.across([Receipt.objects.all()], "hammer")
