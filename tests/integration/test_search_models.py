"""Vectors of another model than the present one are never compared."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from embeddings import cleanup, model_ids, registry, search
from embeddings.models import EmbeddingTask, TargetModelId
from embeddings.providers import get_provider
from tests.integration.conftest import dummy
from tests.testapp.models import Essay, Memo, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def use_other_model(settings):
    def use() -> None:
        settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "MODEL": "newer"}}

    return use


@pytest.fixture
def half(drain, use_other_model) -> tuple[list[Essay], list[Essay]]:
    """(essays with a vector of the newer model, essays with one of the older)."""
    older = [Essay.objects.create(title=f"a hammer, number {number}") for number in range(3)]
    drain()
    use_other_model()
    newer = [Essay.objects.create(title=f"a hammer, number {number}") for number in range(3, 6)]
    drain()
    return newer, older


def test_search__compares_with_the_present_model_only(half):
    newer, older = half

    semantic = Essay.objects.search("hammer", mode="semantic")
    hybrid = {essay: essay.found_by for essay in Essay.objects.search("hammer number nothing else")}

    assert set(semantic) == set(newer)
    assert {hybrid[essay] for essay in newer} == {"semantic"}
    assert {hybrid[essay] for essay in older} == {"keyword"}


def test_search__composes_while_models_are_mixed(half):
    newer, _ = half

    found = Essay.objects.filter(title__contains="4").search("hammer")

    assert [(essay, essay.found_by) for essay in found] == [(newer[1], "both")]


def test_search__asks_the_ledger_only_while_models_are_mixed(drain, use_other_model):
    Essay.objects.create(title="a hammer")
    drain()
    before = str(Essay.objects.search("hammer", mode="semantic").query)

    use_other_model()
    after = str(Essay.objects.search("hammer", mode="semantic").query)

    assert "embeddingtask" not in before
    assert "embeddingtask" in after


def test_similar__compares_with_the_model_of_the_object(half):
    newer, older = half

    assert set(search.similar(newer[0])) == set(newer[1:])
    assert set(search.similar(older[0])) == set(older[1:])


def test_across__compares_with_the_present_model_only(half):
    newer, _ = half

    hits = search.across([Essay.objects.all()], "hammer", mode="semantic").hits

    assert {hit.object for hit in hits} == set(newer)


def test_search__of_another_key_type_while_models_are_mixed(drain, use_other_model):
    memo = Memo.objects.create(text="a hammer")
    EmbeddingTask.objects.update(status="pending", available_at=None)
    drain()
    TargetModelId.objects.create(
        content_type_id=registry.targets_for(Memo)[0].content_type_id("default"),
        field="embedding",
        model_id="older",
        dimensions=256,
        seen_at=timezone.now(),
    )

    assert list(Memo.objects.search("anything", mode="semantic")) == [memo]


def test_record__before_the_first_vector_once_in_a_while(django_assert_num_queries):
    target, provider = registry.targets_for(Post)[0], get_provider("default")
    target.content_type_id("default")

    with django_assert_num_queries(4):  # a look, and an insert in its own transaction
        model_ids.record(target, provider, using="default")
    with django_assert_num_queries(0):
        model_ids.record(target, provider, using="default")
    model_ids.forget()
    with django_assert_num_queries(1):  # another process has recorded it
        model_ids.record(target, provider, using="default")

    assert TargetModelId.objects.get().model_id == "dummy"


def test_record__is_not_remembered_if_it_may_be_rolled_back():
    target, provider = registry.targets_for(Post)[0], get_provider("default")
    with transaction.atomic():
        model_ids.record(target, provider, using="default")
        transaction.set_rollback(True)

    model_ids.record(target, provider, using="default")

    assert TargetModelId.objects.count() == 1


def test_clean_up__forgets_models_without_vectors(half, drain):
    TargetModelId.objects.update(seen_at=timezone.now() - timedelta(days=3))
    cleanup.clean_up()
    mixed = TargetModelId.objects.count()
    Essay.objects.filter(pk__in=[essay.pk for essay in half[1]]).delete()
    EmbeddingTask.objects.filter(model_id="dummy").delete()

    cleanup.clean_up()

    assert mixed == 2
    assert [row.model_id for row in TargetModelId.objects.all()] == ["newer"]


def test_clean_up__leaves_what_was_seen_lately():
    model_ids.record(registry.targets_for(Post)[0], get_provider("default"), using="default")

    cleanup.clean_up()

    assert TargetModelId.objects.count() == 1
