"""Searches on a handful of rows whose vectors the local model makes."""

from __future__ import annotations

import pytest

from embeddings import search
from embeddings.exceptions import ConfigurationError
from tests.testapp.models import Author, Book, Doc, Place, Post, Receipt, Word

pytestmark = pytest.mark.django_db

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
def posts(drain):
    titles = ["a red apple", "a ripe pear", "a claw hammer for nails", "a steel saw"]
    posts = {title: Post.objects.create(title=title) for title in titles}
    drain()
    return posts


def titles(queryset) -> list[str]:
    return [post.title for post in queryset]


def test_search__by_meaning(posts):
    found = Post.objects.search("fruit to eat", mode="semantic")

    assert set(titles(found[:2])) == {"a red apple", "a ripe pear"}
    assert [post.found_by for post in found] == ["semantic"] * 4
    scores = [post.score for post in found]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


def test_search__by_keyword(posts):
    assert titles(Post.objects.search("hammers", mode="keyword")) == ["a claw hammer for nails"]


def test_search__by_keyword_asks_for_any_word_when_all_are_too_much(posts):
    assert set(titles(Post.objects.search("hammer pear", mode="keyword"))) == {"a ripe pear", "a claw hammer for nails"}


def test_search__by_keyword_prefers_rows_with_all_words(posts):
    both = Post.objects.create(title="a hammer", body="to crush a pear with, said at some more length than the others")

    assert titles(Post.objects.search("hammer pear", mode="keyword"))[0] == both.title


def test_search__hybrid_says_which_part_found_a_row(posts):
    found = {post.title: post.found_by for post in Post.objects.search("steel saw")}

    assert found["a steel saw"] == "both"
    assert found["a red apple"] == "semantic"


def test_search__hybrid_finds_rows_without_a_vector_by_any_word(posts):
    Post.objects.create(title="a pear tree that nobody has embedded yet")

    found = {post.title: post.found_by for post in Post.objects.search("a ripe pear")}

    assert found["a pear tree that nobody has embedded yet"] == "keyword"


def test_search__hybrid_ignores_any_word_where_there_is_a_vector(posts):
    found = {post.title: post.found_by for post in Post.objects.search("ripe hammer")}

    assert set(found.values()) == {"semantic"}


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_search__composes_with_filters_and_slices(posts, mode):
    wanted = posts["a ripe pear"]

    found = Post.objects.filter(pk=wanted.pk).search("pear", mode=mode)

    assert titles(found[:5]) == ["a ripe pear"]
    assert titles(Post.objects.search("pear", mode=mode).exclude(pk=wanted.pk).filter(title__contains="pear")) == []


@pytest.mark.parametrize("query", ["", "   ", "\0"])
def test_search__nothing_asked(posts, query):
    found = Post.objects.search(query)

    assert list(found) == []
    assert found.degraded is False


@pytest.mark.parametrize("query", ["the of and", "'\"!&|:*()<->", "x" * 5000, "日本語 🙂"])
def test_search__any_text_is_a_query(posts, query):
    for mode in ("semantic", "keyword", "hybrid"):
        assert set(titles(Post.objects.search(query, mode=mode)[:5])) <= set(posts)


def test_search__provider_down_is_a_keyword_search_marked_degraded(posts, settings):
    openai = {"BACKEND": "embeddings.providers.openai.OpenAIProvider", "MODEL": "m", "DIMENSIONS": 256}
    settings.EMBEDDING_PROVIDERS = {"default": {**openai, "OPTIONS": {"BASE_URL": "http://127.0.0.1:9/v1"}}}

    found = Post.objects.search("hammer")[:5]

    assert found.degraded is True
    assert titles(found) == ["a claw hammer for nails"]


def test_search__switched_off_is_a_keyword_search(posts, settings):
    settings.EMBEDDINGS = {"ENABLED": False}

    found = Post.objects.search("hammer")

    assert titles(found) == ["a claw hammer for nails"]
    assert found.degraded is False


def test_search__related_text(drain):
    book = Book.objects.create(title="Emma", author=Author.objects.create(name="Jane Austen"))
    drain()

    found = search.search(Book.objects.all(), "austen", mode="keyword")

    assert list(found) == [book]


def test_search__text_made_by_code_has_no_keywords(drain):
    Word.objects.create(word="saw", meaning="a tool that cuts")
    drain()

    assert [word.found_by for word in search.search(Word.objects.all(), "tool")] == ["semantic"]
    with pytest.raises(ConfigurationError, match=r"testapp\.word\.embedding cannot be searched by keyword"):
        search.search(Word.objects.all(), "tool", mode="keyword")


def test_search__several_fields_must_be_chosen_from(drain):
    Receipt.objects.create(merchant="a baker", text="two loaves of bread")
    drain()

    with pytest.raises(ConfigurationError, match="merchant_embedding, text_embedding"):
        search.search(Receipt.objects.all(), "bread")
    assert search.search(Receipt.objects.all(), "bread", field="text_embedding").get().found_by == "both"


@pytest.mark.parametrize(
    "find", [Post.objects.search, lambda query, mode: search.across([Post.objects.all()], query, mode=mode)]
)
def test_search__in_no_known_mode(find):
    with pytest.raises(ValueError, match=r"one of semantic, keyword, hybrid, not 'fuzzy'\."):
        find("hammer", mode="fuzzy")


def test_across__nothing_asked_asks_no_provider(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert search.across([Post.objects.all()], "\u200b").hits == []


def test_similar__to_a_long_text_is_asked_of_its_chunks():
    with pytest.raises(ConfigurationError, match=r"testapp\.doc has no vector of its own, but its chunks have"):
        search.similar(Doc.objects.create(title="Shed", content="A hammer."))


def test_similar__is_nearest_first_without_itself(posts):
    near = search.similar(posts["a red apple"], limit=2)

    assert titles(near)[0] == "a ripe pear"
    assert posts["a red apple"] not in near


def test_similar__nothing_before_the_vector():
    assert list(search.similar(Place.objects.create(name="here"))) == []
