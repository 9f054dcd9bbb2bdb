from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.db.models import F
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from embeddings.exceptions import SourceError
from embeddings.providers import get_provider
from embeddings.registry import Target
from embeddings.text import fingerprint, saved_fingerprint, source_text
from tests.testapp.models import Author, Book, Post, Restaurant, Word


def provider(**options: Any) -> Any:
    return SimpleNamespace(**{"model_id": "m", "dimensions": 2, "max_input_tokens": 100, **options})


def text_of(instance: Any, source: Any, **options: Any) -> str:
    return source_text(instance, Target(type(instance), "embedding", source, **options), provider()).text


# The text.


@pytest.mark.parametrize(
    ("post", "text"),
    [
        (Post(title="a", body="b"), "a\n\nb"),
        (Post(title=" a ", body=""), "a"),
        (Post(title="", body="b\n"), "b"),
        (Post(title="", body=" \t\n"), ""),
        (Post(title=None, body="b"), "b"),
        (Post(title="a\0b", body="\0"), "ab"),
        (Post(title="cut \ud83d emoji"), "cut ? emoji"),
        (Post(title="é", body="日本"), "é\n\n日本"),
    ],
)
def test_source_text__of_columns(post: Post, text: str) -> None:
    assert text_of(post, ["title", "body"]) == text


def test_source_text__of_values_that_are_not_text() -> None:
    assert text_of(Post(views=0), "views") == "0"


@given(title=st.text(st.characters(exclude_categories=[])), body=st.text(st.characters(exclude_categories=[])))
def test_source_text__can_always_be_sent_and_stored(title: str, body: str) -> None:
    text = text_of(Post(title=title, body=body), ["title", "body"])

    assert text.encode().decode() == text
    assert "\0" not in text
    assert text == text.strip()
    assert text_of(Post(title=text), "title") == text


def test_source_text__of_a_method_and_a_callable() -> None:
    word = Word(word="cat", meaning="an animal")

    assert text_of(word, "definition") == "cat: an animal"
    assert text_of(word, lambda instance: instance.word.upper()) == "CAT"
    assert text_of(word, lambda instance: None) == ""


def test_source_text__follows_relations_as_far_as_they_lead() -> None:
    book = Book(title="a", author=Author(name="Ann"))

    assert text_of(book, ["title", "author.name"]) == "a\n\nAnn"
    assert text_of(book, ["author.name.upper"]) == "ANN"
    assert text_of(Book(title="a"), ["title", "author.name"]) == "a"


def test_source_text__of_an_inherited_column() -> None:
    assert text_of(Restaurant(name="Roma", menu="pizza"), ["name", "menu"]) == "Roma\n\npizza"


@pytest.mark.parametrize("when", ["is_wanted", lambda word: word.is_public])
@pytest.mark.parametrize(("is_public", "text"), [(True, "cat: an animal"), (False, "")])
def test_source_text__when_it_is_wanted(when: Any, is_public: bool, text: str) -> None:
    word = Word(word="cat", meaning="an animal", is_public=is_public)

    assert text_of(word, "definition", when=when) == text


def test_source_text__unwanted_text_is_not_even_made() -> None:
    assert text_of(Word(word="x", meaning="broken", is_public=False), "definition", when="is_wanted") == ""


@pytest.mark.parametrize("options", [{"source": "definition"}, {"source": "word", "when": lambda word: 1 / 0}])
def test_source_text__error_names_the_object_and_the_cause(options: dict[str, Any]) -> None:
    target = Target(Word, "embedding", **options)

    message = r"^testapp\.Word x: the source of testapp\.word\.embedding failed: \w+Error: "
    with pytest.raises(SourceError, match=message) as raised:
        source_text(Word(word="x", meaning="broken"), target, provider())

    assert isinstance(raised.value.__cause__, ValueError | ZeroDivisionError)


def test_source_text__error_names_an_object_that_its_source_has_deleted() -> None:
    def source(post: Post) -> str:
        post.pk = None
        raise ValueError

    with pytest.raises(SourceError, match=r"^testapp\.Post 7: .* failed: ValueError$"):
        source_text(Post(pk=7), Target(Post, "embedding", source), provider())


@pytest.mark.parametrize("value", [b"a", bytearray(b"a"), ["a"], ("a",), {"a": 1}, {"a"}, iter("a"), object()])
def test_source_text__of_what_is_not_text_is_refused(value: Any) -> None:
    with pytest.raises(SourceError, match=rf"TypeError: it gives {type(value).__name__}, not text"):
        text_of(Post(), lambda post: value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "1.5"),
        (Decimal("2.50"), "2.50"),
        (date(2026, 11, 22), "2026-11-22"),
        (gettext_lazy("Yes"), "Yes"),
        (Author(pk=3), "Author object (3)"),
    ],
)
def test_source_text__of_what_shows_itself_as_text(value: Any, text: str) -> None:
    assert text_of(Post(), lambda post: value) == text


@pytest.mark.parametrize("text", ["\u200b", "\ufeff\u2060 \u00ad", "\x01\x02", "\u2003\u3000"])
def test_source_text__in_which_nothing_can_be_seen_is_none(text: str) -> None:
    assert text_of(Post(title=text, body="seen"), ["title", "body"]) == "seen"
    assert text_of(Post(title=text, body=""), ["title", "body"]) == ""


def test_source_text__keeps_invisible_characters_within_a_text() -> None:
    family = "\U0001f468\u200d\U0001f469"  # one emoji of two, held together by a zero-width joiner

    assert text_of(Post(title=family), "title") == family


def test_source_text__database_that_is_away_is_not_the_objects_fault() -> None:
    def source(post: Post) -> str:
        raise OperationalError("the connection is lost")

    with pytest.raises(OperationalError, match="the connection is lost") as raised:
        source_text(Post(pk=7), Target(Post, "embedding", source), provider())

    assert raised.value.__notes__ == ["testapp.Post 7: the source of testapp.post.embedding failed"]


def test_source_text__error_does_not_quote_a_row() -> None:
    def source(post: Post) -> str:
        raise DataError("invalid\nDETAIL:  Failing row contains (7, secret).")

    with pytest.raises(SourceError, match=r"failed: DataError: invalid$"):
        source_text(Post(pk=7), Target(Post, "embedding", source), provider())


def test_source_text__is_cut_to_what_the_provider_takes() -> None:
    whole = source_text(Post(title="x" * 400), Target(Post, "embedding", "title"), provider())
    cut = source_text(Post(title="x" * 401), Target(Post, "embedding", "title"), provider())

    assert (len(whole.text), whole.tokens, whole.truncated) == (400, 100, False)
    assert (len(cut.text), cut.tokens, cut.truncated) == (400, 100, True)
    assert cut.fingerprint == whole.fingerprint  # What is embedded is the same.


# The fingerprint.


def test_fingerprint__is_of_the_text_and_what_makes_its_vector() -> None:
    prints = [
        fingerprint("a", provider()),
        fingerprint("b", provider()),
        fingerprint("a", provider(model_id="n")),
        fingerprint("a", provider(dimensions=3)),
        fingerprint("", provider()),
        fingerprint("2\0a", provider(model_id="m", dimensions="")),
    ]

    assert len(set(prints)) == len(prints)
    assert all(len(one) == 64 and int(one, 16) >= 0 for one in prints)
    assert fingerprint("a", provider()) == prints[0]


POST = Target(Post, "embedding", ["title", "body"])


@pytest.mark.parametrize("saved", [None, ["title", "body"], ["title", "body", "views"]])
def test_saved_fingerprint__is_that_which_a_worker_will_find(saved: list[str] | None) -> None:
    post = Post(title=" a", body="b\0")

    found = saved_fingerprint(post, POST, saved)

    assert found == source_text(post, POST, get_provider("default")).fingerprint


def test_saved_fingerprint__of_a_long_text() -> None:
    post = Post(title="a", body="x" * 100_000)

    assert saved_fingerprint(post, POST) == source_text(post, POST, get_provider("default")).fingerprint


@pytest.mark.parametrize("saved", [["title"], ["body"], []])
def test_saved_fingerprint__unknown_if_not_all_columns_were_written(saved: list[str]) -> None:
    assert saved_fingerprint(Post(title="a", body="b"), POST, saved) == ""


def test_saved_fingerprint__unknown_for_expressions() -> None:
    assert saved_fingerprint(Post(title=F("body"), body="b"), POST) == ""
    assert saved_fingerprint(Post(title="a", views=F("views") + 1), POST) != ""


def test_saved_fingerprint__unknown_for_deferred_columns_and_asks_no_database() -> None:
    post = Post.from_db("default", ["id", "title"], [1, "a"])

    assert post.get_deferred_fields() >= {"body"}
    assert saved_fingerprint(post, POST) == ""


@pytest.mark.parametrize(
    ("instance", "target"),
    [
        (Word(word="x", meaning="broken"), Target(Word, "embedding", "definition")),
        (Book(title="a", author_id=5), Target(Book, "embedding", ["title", "author.name"])),
        (Post(title="a"), Target(Post, "embedding", lambda post: 1 / 0)),
        (Post(title="a"), Target(Post, "embedding", "title", when=lambda post: 1 / 0)),
    ],
)
def test_saved_fingerprint__unknown_for_computed_text_and_runs_no_code_of_others(instance: Any, target: Target) -> None:
    assert saved_fingerprint(instance, target) == ""


def test_saved_fingerprint__unknown_for_what_cannot_be_made_into_text() -> None:
    assert saved_fingerprint(Post(title=b"bytes"), Target(Post, "embedding", "title")) == ""


def test_saved_fingerprint__unknown_for_a_provider_that_cannot_be_made() -> None:
    assert saved_fingerprint(Post(title="a"), Target(Post, "embedding", "title", provider="none")) == ""
