# ruff: noqa: DJ008
from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Upper
from django.test.utils import isolate_apps

from embeddings import registry
from embeddings.exceptions import ConfigurationError
from embeddings.registry import Target
from tests.testapp.models import Author, Book, Foreign, Memo, PinnedPost, Place, Post, Receipt, Restaurant, Word


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Iterator[None]:
    before = {(target.model, target.field): target for target in registry.all_targets()}
    yield
    for target in list(registry.all_targets()):
        if (target.model, target.field) not in before:
            registry.remove(target.model, target.field)
    for key, target in before.items():
        if registry._targets.get(key) is not target:
            registry.add(target)


def target_of(model: type[models.Model], source: registry.Source, **options: Any) -> Target:
    """A target that is not registered."""
    return Target(model, "embedding", source, **options)


def shout(instance: Any) -> str:
    return str(instance)


# What a target knows of its source.


def test_target__label() -> None:
    assert target_of(Post, "title").label == "testapp.post.embedding"


@pytest.mark.parametrize(
    ("source", "names"),
    [("title", ("title",)), (["title", "body"], ("title", "body")), (("title",), ("title",)), (shout, ())],
)
def test_target_names__of_any_source(source: registry.Source, names: tuple[str, ...]) -> None:
    assert target_of(Post, source).names == names


@pytest.mark.parametrize(
    ("target", "columns"),
    [
        (target_of(Post, ["title", "body"]), ("title", "body")),
        (target_of(Post, "views"), ("views",)),
        (target_of(Post, shout), None),
        (target_of(Post, "title", when="save"), None),
        (target_of(Post, "title", when=shout), None),
        (target_of(Word, "definition"), None),
        (target_of(Book, ["title", "author.name"]), None),
        (target_of(Book, "author"), None),
        (target_of(Restaurant, ["name", "menu"]), None),
        (target_of(Restaurant, "menu"), ("menu",)),
    ],
)
def test_target_columns__only_of_the_vectors_own_table(target: Target, columns: tuple[str, ...] | None) -> None:
    assert target.columns == columns


def test_target_relations__are_the_longest_of_each_path() -> None:
    assert target_of(Book, ["title", "author.name"]).relations == ("author",)
    assert target_of(Book, ["title", "author"]).relations == ()


@pytest.mark.parametrize(
    ("target", "written", "expected"),
    [
        (target_of(Post, ["title", "body"]), ["title"], True),
        (target_of(Post, ["title", "body"]), ["views"], False),
        (target_of(Post, ["title", "body"]), ["embedding"], False),
        (target_of(Post, ["title", "body"]), [], False),
        (target_of(Post, shout), ["views"], True),
        (target_of(Post, shout), ["embedding"], False),
        (target_of(Post, "title", when="is_wanted"), ["views"], True),
        (target_of(Word, "definition"), ["is_public"], True),
        (target_of(Word, "definition"), ["embedding"], False),
        (target_of(Book, ["title", "author.name"]), ["author"], True),
        (target_of(Book, ["title", "author.name"]), ["author_id"], True),
        (target_of(Book, ["title", "author.name"]), ["embedding"], False),
        (target_of(Book, ["title", "author_id"]), ["author"], True),
        (target_of(Restaurant, ["name", "menu"]), ["name"], True),
        (target_of(Restaurant, ["menu"]), ["name"], False),
    ],
)
def test_target_is_touched_by__written_fields(target: Target, written: list[str], expected: bool) -> None:
    assert target.is_touched_by(written) is expected
    assert target.is_touched_by(iter(written)) is expected


@isolate_apps("tests.testapp")
def test_target__column_that_the_database_generates_may_change_with_any_field() -> None:
    class Shouted(models.Model):
        title = models.CharField(max_length=10)
        loud = models.GeneratedField(
            expression=Upper("title"), output_field=models.CharField(max_length=10), db_persist=True
        )

        class Meta:
            app_label = "testapp"

    target = target_of(Shouted, "loud")

    assert target.columns is None  # An instance that has been saved holds the value from before.
    assert target.is_touched_by(["title"])


# Keys.

KEY = uuid.UUID("3f2b8a54-6c1d-4e7a-9b0f-5d8e7c6a1b20")


@pytest.mark.parametrize(
    ("target", "instance", "object_id"),
    [
        (target_of(Post, "title"), Post(pk=7), "7"),
        (target_of(Post, "title"), Post(pk="007"), "7"),
        (target_of(Post, "title"), PinnedPost(pk=7), "7"),
        (target_of(Memo, "text"), Memo(pk=KEY), str(KEY)),
        (target_of(Memo, "text"), Memo(pk=KEY.hex.upper()), str(KEY)),
        (target_of(Word, "definition"), Word(pk="007"), "007"),
        (target_of(Place, "name"), Restaurant(id=4, place_ptr_id="004"), "4"),
        (target_of(Restaurant, "menu"), Restaurant(id=4, place_ptr_id="004"), "4"),
    ],
)
def test_target_object_id__has_one_spelling(target: Target, instance: models.Model, object_id: str) -> None:
    assert target.object_id(instance) == object_id


@pytest.mark.parametrize(
    ("target", "object_id", "expected"),
    [
        (target_of(Post, "title"), "7", True),
        (target_of(Post, "title"), "x", False),
        (target_of(Post, "title"), "", False),
        (target_of(Memo, "text"), str(KEY), True),
        (target_of(Memo, "text"), "7", False),
        (target_of(Word, "definition"), "anything", True),
        (target_of(Restaurant, "menu"), "x", False),
    ],
)
def test_target_is_key__of_the_keys_type(target: Target, object_id: str, expected: bool) -> None:
    assert target.is_key(object_id) is expected


def test_target_name_of__an_object() -> None:
    assert target_of(Post, "title").name_of(7) == "testapp.Post 7"


@pytest.mark.django_db
def test_find__none_for_what_the_code_or_the_database_does_not_have() -> None:
    post, chair = ContentType.objects.get_for_model(Post), ContentType.objects.create(app_label="attic", model="chair")

    assert registry.find(post.pk, "embedding", "default") in registry.targets_for(Post)
    assert registry.find(post.pk, "old_name", "default") is None
    assert registry.find(chair.pk, "embedding", "default") is None
    assert registry.find(32_000, "embedding", "default") is None


@pytest.mark.django_db
def test_name_of__a_tasks_object() -> None:
    post, chair = ContentType.objects.get_for_model(Post), ContentType.objects.create(app_label="attic", model="chair")

    assert registry.name_of(post.pk, "7", "default") == "testapp.Post 7"
    assert registry.name_of(chair.pk, "7", "default") == "attic.chair 7"
    assert registry.name_of(32_000, "7", "default") == "object 7"


# Which saves touch which targets.


def fields(targets: Iterable[Target]) -> set[str]:
    return {f"{target.model.__name__}.{target.field}" for target in targets}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Post, {"Post.embedding"}),
        (PinnedPost, {"Post.embedding"}),
        (Receipt, {"Receipt.merchant_embedding", "Receipt.text_embedding"}),
        (Place, {"Place.embedding"}),
        (Restaurant, {"Place.embedding", "Restaurant.menu_embedding"}),
        (Foreign, {"Foreign.vector"}),
        (Author, set()),
    ],
)
def test_targets_for__a_model_its_parents_and_its_concrete_model(model: type[models.Model], expected: set[str]) -> None:
    assert fields(registry.targets_for(model)) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Author, {("Book.embedding", "author", "name")}),
        (Place, {("Restaurant.menu_embedding", "place_ptr", "name")}),
        (Restaurant, set()),
        (Book, set()),
        (Post, set()),
        (PinnedPost, set()),
    ],
)
def test_dependents_of__relations_and_parents(model: type[models.Model], expected: set[tuple[str, str, str]]) -> None:
    found = registry.dependents_of(model)

    assert {(*fields([one.target]), one.lookup, one.name) for one in found} == expected


def test_dependents_of__each_step_of_a_path() -> None:
    with isolate_apps("tests.testapp"):

        class Shelf(models.Model):
            book = models.ForeignKey(Book, models.SET_NULL, null=True)

            class Meta:
                app_label = "testapp"

    registry.add(target_of(Shelf, ["book.author.name", "book.title"]))

    of_book = {(one.lookup, one.name, one.is_deleted_along) for one in registry.dependents_of(Book)}
    of_author = {(one.lookup, one.name) for one in registry.dependents_of(Author) if one.target.model is Shelf}

    assert of_book == {("book", "author", False), ("book", "title", False)}
    assert of_author == {("book__author", "name")}


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("name", ["name"], True),
        ("name", ["born"], False),
        ("lifetime", ["born"], True),
        ("lifetime", [], False),
        ("", ["born"], True),
    ],
)
def test_dependent_is_touched_by__fields_and_methods(name: str, written: list[str], expected: bool) -> None:
    dependent = registry.Dependent(target_of(Book, "title"), "author", Author, name, is_deleted_along=True)

    assert dependent.is_touched_by(written) is expected


def test_dependent_is_touched_by__a_relations_column() -> None:
    dependent = registry.Dependent(target_of(Post, "title"), "book", Book, "author", is_deleted_along=True)

    assert dependent.is_touched_by(["author_id"])


def test_dependents_of__parent_of_a_computed_text() -> None:
    registry.add(target_of(Restaurant, shout))

    [mine] = [one for one in registry.dependents_of(Place) if one.target.source is shout]

    assert mine.is_touched_by(["name"])


# Registering.


def test_register__replaces_and_is_found_at_once() -> None:
    assert registry.dependents_of(Post) == ()
    seen: list[Target] = []
    receive = lambda target, **kwargs: seen.append(target)  # noqa: E731
    registry.target_added.connect(receive)

    target = registry.register(Foreign, "vector", "words", priority="high", delay=3, when=shout)

    registry.target_added.disconnect(receive)
    assert registry.targets_for(Foreign) == (target,)
    assert (target.priority, target.delay_seconds, target.when) == ("high", 3, shout)
    assert seen == [target]


def test_register__proxy_stands_for_its_concrete_model() -> None:
    target = registry.register(PinnedPost, "embedding", "title")

    assert target.model is Post
    assert registry.targets_for(Post) == (target,)


def test_remove__forgets() -> None:
    registry.remove(Foreign, "vector")
    registry.remove(Foreign, "vector")

    assert registry.targets_for(Foreign) == ()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("testapp.Post", {"Post.embedding"}),
        ("TESTAPP.POST", {"Post.embedding"}),
        ("testapp.post.embedding", {"Post.embedding"}),
        ("testapp.Receipt", {"Receipt.merchant_embedding", "Receipt.text_embedding"}),
        ("testapp.receipt.text_embedding", {"Receipt.text_embedding"}),
    ],
)
def test_get__by_label(label: str, expected: set[str]) -> None:
    assert fields(registry.get(label)) == expected


@pytest.mark.parametrize("label", ["testapp.author", "post", "testapp.post.title", ""])
def test_get__unknown_label_names_the_known(label: str) -> None:
    with pytest.raises(ConfigurationError, match=r"the targets are: .*testapp\.post\.embedding"):
        registry.get(label)
