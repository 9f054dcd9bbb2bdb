# ruff: noqa: DJ008
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations.state import ModelState
from django.db.models import F
from django.test.utils import isolate_apps
from pgvector.django import HalfVectorField, VectorField

from embeddings import registry
from embeddings.fields import EmbeddingField
from tests.testapp.models import Post


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Iterator[None]:
    before = {(target.model, target.field) for target in registry.all_targets()}
    yield
    for added in {(target.model, target.field) for target in registry.all_targets()} - before:
        registry.remove(*added)


def test_embedding_field__is_null_until_filled_and_in_no_form() -> None:
    field = EmbeddingField("title", dimensions=3)

    assert (field.null, field.blank, field.editable) == (True, True, False)


@pytest.mark.parametrize(
    "options",
    [
        {"source": ["a", "b"]},
        {"source": lambda instance: ""},
        {"provider": "second"},
        {"priority": "high"},
        {"delay": 5.0},
        {"when": "is_wanted"},
    ],
)
def test_deconstruct__migrations_stay_quiet_when_only_the_source_changes(options: dict[str, Any]) -> None:
    plain = EmbeddingField("title", dimensions=3)

    assert EmbeddingField(**{"source": "title", "dimensions": 3, **options}).deconstruct() == plain.deconstruct()


@pytest.mark.parametrize("options", [{"dimensions": 4}, {"half": True}, {"null": False}, {"db_column": "v"}])
def test_deconstruct__tells_what_shapes_the_column(options: dict[str, Any]) -> None:
    plain = EmbeddingField("title", dimensions=3)
    other = EmbeddingField(**{"source": "title", "dimensions": 3, **options})

    assert other.deconstruct() != plain.deconstruct()


def test_deconstruct__makes_the_same_column_again() -> None:
    field = EmbeddingField("title", dimensions=3, half=True)
    _, path, args, kwargs = field.deconstruct()

    again = EmbeddingField(*args, **kwargs)

    assert path == "embeddings.fields.EmbeddingField"
    assert again.db_type(connection) == field.db_type(connection) == "halfvec(3)"
    assert again.deconstruct() == field.deconstruct()


@pytest.mark.parametrize("dimensions", [None, 3])
@pytest.mark.parametrize(("half", "twin"), [(False, VectorField), (True, HalfVectorField)])
def test_column__is_that_of_pgvectors_own_field(half: bool, twin: type[Any], dimensions: int | None) -> None:
    field, pgvectors = EmbeddingField("title", dimensions=dimensions, half=half), twin(dimensions=dimensions)
    sent, expected = field.get_prep_value([1.0, 0.5]), pgvectors.get_prep_value([1.0, 0.5])

    assert field.db_type(connection) == pgvectors.db_type(connection)
    assert sent == expected
    assert list(field.from_db_value("[1,0.5]", None, connection)) == [1.0, 0.5]
    assert field.from_db_value(None, None, connection) is None
    assert field.get_prep_value(None) is None


def test_pre_save__an_update_leaves_the_column_as_it_is() -> None:
    field = Post._meta.get_field("embedding")
    post = Post(embedding=[1.0] * 256)

    assert field.pre_save(post, add=False) == F("embedding")
    assert field.pre_save(post, add=True) == [1.0] * 256
    assert post.embedding == [1.0] * 256


@isolate_apps("tests.testapp")
def test_contribute_to_class__registers_with_all_options() -> None:
    class Letter(models.Model):
        text = models.TextField()
        embedding = EmbeddingField(
            source="text", dimensions=3, provider="second", priority="low", delay=2, when="is_sent"
        )

        class Meta:
            app_label = "testapp"

    [target] = registry.targets_for(Letter)

    assert (target.model, target.field, target.source) == (Letter, "embedding", "text")
    assert (target.provider, target.priority, target.delay_seconds, target.when) == ("second", "low", 2, "is_sent")


@isolate_apps("tests.testapp")
def test_contribute_to_class__abstract_models_give_each_child_a_target_of_its_own() -> None:
    class Written(models.Model):
        text = models.TextField()
        embedding = EmbeddingField(source="text", dimensions=3)

        class Meta:
            app_label = "testapp"
            abstract = True

    class Letter(Written):
        class Meta:
            app_label = "testapp"

    class Diary(Written):
        class Meta:
            app_label = "testapp"

    assert [target.model for target in registry.targets_for(Letter)] == [Letter]
    assert [target.model for target in registry.targets_for(Diary)] == [Diary]
    assert Written not in {target.model for target in registry.all_targets()}


def test_contribute_to_class__models_of_migrations_embed_nothing() -> None:
    before = set(registry.all_targets())

    state = ModelState.from_model(Post)

    assert state.fields["embedding"].source is None
    assert set(registry.all_targets()) == before
