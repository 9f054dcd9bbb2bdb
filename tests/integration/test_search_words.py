"""The keyword part: which words count, in which order, and that no query is an error."""

from __future__ import annotations

from itertools import combinations

import pytest

from embeddings import registry, search
from embeddings.checks import check_targets
from embeddings.search.text_query import TextQuery
from embeddings.search.words import Words, with_most
from tests.testapp.models import Essay, Post

pytestmark = pytest.mark.django_db


def lexemes(query: str) -> set[str]:
    return set(Words.of(query, registry.targets_for(Essay)[0], "default").lexemes)


def titles(query: str, model=Essay, mode: str = "keyword") -> list[str]:
    return [found.title for found in search.search(model.objects.all(), query, mode=mode)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("running the programs", {"run", "program"}),
        ("os.path.join(a, b)", {"os", "path", "join", "b"}),
        ("my_variable: x/y", {"variabl", "x", "y"}),
        ('"exact phrase" pie', {"exact", "phrase", "pie"}),
        ('wanted -not -"nor this"', {"want"}),
        ("the of and", set()),
        ("", set()),
    ],
)
def test_words__are_lexemes(query, expected):
    assert lexemes(query) == expected


def test_words__are_not_counted_without_end():
    assert len(lexemes(" ".join(f"w{number}" for number in range(5000)))) == 50


@pytest.mark.parametrize("model", [Essay, Post])
def test_search__more_words_before_better_rank(model):
    model.objects.create(title="apple apple apple")
    model.objects.create(title="a pear", body="and, after many other words that nobody asked for, an apple")
    model.objects.create(title="a fig")

    assert titles("apple pear plum", model) == ["a pear", "apple apple apple"]


@pytest.mark.parametrize("total", range(1, 8))
def test_text_query__has_so_many_of_the_lexemes(total):
    """Asked about each text that some of them make, also about the one that has none."""
    words = [f"word{number}" for number in range(total)]
    texts = [" ".join(chosen) for size in range(total + 1) for chosen in combinations(words, size)]
    Essay.objects.bulk_create(Essay(title=text) for text in texts)

    for number in range(1, total + 1):
        found = Essay.objects.filter(words=TextQuery(number, words)).values_list("title", flat=True)

        assert sorted(found) == sorted(text for text in texts if len(text.split()) >= number)


@pytest.mark.parametrize("total", [12, 13, 24, 50])
def test_with_most__of_many_words_more_than_half(total):
    """Whichever they are: a part of the words is looked for, and then all are counted."""
    words = sorted(f"w{number:02d}" for number in range(total))
    most = total // 2 + 1
    enough = {" ".join(words[:most]), " ".join(words[-most:]), " ".join(words)}
    too_few = {" ".join(words[: most - 1]), " ".join(words[1 - most :])}
    Essay.objects.bulk_create(Essay(title=text) for text in enough | too_few)
    target = registry.targets_for(Essay)[0]

    found = with_most(Essay.objects.all(), Words.of(" ".join(words), target, "default"), target)

    assert {essay.title for essay in found} == enough


def test_search__a_title_before_a_body():
    Essay.objects.create(title="a fruit", body="the apple")
    Essay.objects.create(title="the apple", body="a fruit")

    assert titles("apple")[0] == "the apple"


def test_search__phrases_and_unwanted_words():
    Essay.objects.create(title="red apple pie")
    Essay.objects.create(title="apple red pie")

    assert titles('"red apple" pie') == ["red apple pie"]
    assert titles('pie -"red apple"') == ["apple red pie"]
    assert titles("apple -pie") == []


HOSTILE = [
    "\0",
    "a\0b",
    "\ud800 half a pair",
    "'\"!&|:*()<->\\",
    "'''",
    '"',
    '"""""',
    '-"',
    "- - -",
    "--",
    "-",
    "or OR and not",
    "x" * 10_000,
    "x " * 5_000,
    "' " * 5_000,
    "(((((" * 2_000,
    "日本語 🙂 السلام",
    "%s %(x)s %%",
    "{lists} {0}",
    "<script>'; DROP TABLE x; --",
    "a & b | !c:*",
    "\\'",
    "\u200b",
    "é" * 3_000,
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_search__any_text_is_a_query(drain, mode, query):
    Essay.objects.create(title="it's a \\ {x} %s 日本語 apple")
    Post.objects.create(title="apple")
    drain()

    assert len(titles(query, Essay, mode)) <= 1
    assert len(titles(query, Post, mode)) <= 1
    assert len(search.across([Essay.objects.all(), Post.objects.all()], query, mode=mode).hits) <= 2


@pytest.mark.parametrize("name", ["title", "nothing"])
def test_check_words__names_no_search_vector(monkeypatch, name):
    assert check_targets(None) == []
    monkeypatch.setattr(Essay._meta.get_field("embedding"), "words", name)

    (error,) = check_targets(None)

    assert error.id == "embeddings.E040"
    assert error.msg == f"testapp.essay.embedding has words='{name}', which is no SearchVectorField of testapp.Essay."
