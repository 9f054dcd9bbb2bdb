"""In what order lists are, how long, and what they say where the database does not find them in time."""

from __future__ import annotations

import re
import time

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.test import Client

from embeddings.admin import listing
from embeddings.admin.batches import BatchAdmin
from embeddings.admin.tasks import TaskAdmin
from embeddings.models import CensusCount, EmbeddingBatch, EmbeddingTask, Status
from tests.ledger_rows import make_task
from tests.testapp.models import Receipt

pytestmark = pytest.mark.django_db

LIST = "/admin/embeddings/embeddingtask/"
SLOW = RawSQL("pg_sleep(5) IS NOT NULL", (), output_field=BooleanField())


def listed(client: Client, query: str) -> list[int]:
    """The tasks of a list, in its order."""
    html = client.get(LIST + query).content.decode()
    return [int(one) for one in re.findall(r'name="_selected_action" value="(\d+)"', html)]


def statement_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


@pytest.fixture
def slow_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database takes seconds for each task; the list has less patience than that."""
    quick = TaskAdmin.get_queryset

    def slow(self: TaskAdmin, request: object) -> QuerySet[EmbeddingTask]:
        return quick(self, request).filter(SLOW)  # type: ignore[arg-type]

    monkeypatch.setattr(TaskAdmin, "get_queryset", slow)
    monkeypatch.setattr(listing, "SECONDS", 0.05)


class TestOrder:
    @pytest.mark.parametrize("narrower", ["", "&status__exact=completed", "&status__exact=pending"])
    @pytest.mark.parametrize("name", ["model", "field", "provider"])
    def test_list__of_a_whole_model_is_by_key(self, admin_client, name, narrower):
        status = narrower.partition("=")[2] or Status.SCHEDULED
        second, first, third = (make_task(status, object_id=key) for key in "bac")
        values = {"model": first.content_type_id, "field": first.field, "provider": first.provider}

        found = listed(admin_client, f"?{name}={values[name]}{narrower}")

        assert found == [first.pk, second.pk, third.pk]

    @pytest.mark.parametrize("narrower", ["status__exact=failed", "error=input", "q=a"])
    def test_list__of_a_few_tasks_of_a_model_has_the_latest_first(self, admin_client, narrower):
        older = make_task(Status.FAILED, object_id="a", error_kind="input")
        later = make_task(Status.FAILED, model=Receipt, field="text_embedding", object_id="a", error_kind="input")

        found = listed(admin_client, f"?provider={older.provider}&{narrower}")

        assert found == [later.pk, older.pk]

    def test_title__says_the_order(self, admin_client):
        task = make_task()

        by_key = admin_client.get(f"{LIST}?model={task.content_type_id}").content.decode()
        by_time = admin_client.get(LIST).content.decode()

        assert "Embedding tasks, by key" in by_key
        assert "Embedding tasks, the latest first" in by_time


class TestProviderFilter:
    def test_provider__finds_what_another_one_made_before(self, admin_client, settings):
        providers = settings.EMBEDDING_PROVIDERS
        settings.EMBEDDING_PROVIDERS = {**providers, "second": providers["default"]}
        task = make_task(Status.COMPLETED, provider="second")
        other = ContentType.objects.get_for_model(Receipt)
        values = {"status": "completed", "has_vector": True, "count": 1}
        CensusCount.objects.create(content_type=other, field="text_embedding", provider="default", **values)
        assert listed(admin_client, "?provider=second") == []

        CensusCount.objects.create(content_type=task.content_type, field=task.field, provider="second", **values)

        assert listed(admin_client, "?provider=second") == [task.pk]


class TestPatience:
    def test_list__is_given_up_with_a_sentence(self, admin_client, slow_tasks):
        make_task()

        start = time.monotonic()
        response = admin_client.get(f"{LIST}?p=3")
        took = time.monotonic() - start

        assert response.status_code == 200
        assert "Too many tasks to look through with these filters" in response.content.decode()
        assert "0 embedding tasks" in response.content.decode()
        assert took < 4

    def test_list__has_the_limit_for_itself(self, admin_client, monkeypatch):
        make_task()
        before = statement_timeout()
        monkeypatch.setattr(listing, "SECONDS", 3.0)

        assert listed(admin_client, "")

        assert statement_timeout() == before

    def test_list__that_is_given_up_leaves_no_limit_behind(self, admin_client, slow_tasks):
        make_task()
        before = statement_timeout()

        admin_client.get(LIST)

        assert statement_timeout() == before


class TestLength:
    def test_all__is_no_longer_than_a_page(self, admin_client):
        EmbeddingBatch.objects.bulk_create(EmbeddingBatch(name="upload") for _ in range(BatchAdmin.list_per_page + 1))

        html = admin_client.get("/admin/embeddings/embeddingbatch/?all=").content.decode()

        assert html.count('name="_selected_action"') == BatchAdmin.list_per_page
