from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.http import QueryDict

from embeddings.exceptions import FilterError
from embeddings.models import EmbeddingBatch, EmbeddingTask, Status
from embeddings.task_filter import TaskFilter, eligible
from tests.ledger_rows import make_task
from tests.testapp.models import Memo, Post

pytestmark = pytest.mark.django_db(databases=["default", "other"])

SIGNATURE = "input: InputRejected: The provider refused text …."


def asked(query: str) -> TaskFilter:
    return TaskFilter.from_query(QueryDict(query))


def found(wanted: TaskFilter) -> set[EmbeddingTask]:
    return set(wanted.queryset())


class TestQueryset:
    @pytest.mark.parametrize(
        ("query", "values"),
        [
            ("status__exact=failed", {"status": Status.FAILED}),
            ("status__exact=failed&status__exact=cancelled", {"status": Status.CANCELLED}),
            ("field=text_embedding", {"field": "text_embedding"}),
            ("provider=slow", {"provider": "slow"}),
            ("provider=", {"provider": ""}),
            ("error=crash", {"error_kind": "crash"}),
            ("signature=input%3A+x", {"status": Status.FAILED, "error_signature": "input: x"}),
            ("worker=host.7", {"status": Status.PROCESSING, "worker": "host.7"}),
        ],
    )
    def test_queryset__is_of_what_the_address_asks_for(self, query, values):
        make_task(worker="host.7", error_signature="input: x")
        wanted = make_task(**{"status": Status.PENDING, **values})

        assert found(asked(query)) == {wanted}

    def test_queryset__of_a_model_and_a_batch(self):
        batch = EmbeddingBatch.objects.create(name="b")
        wanted = make_task(model=Memo, batch=batch)
        make_task(batch=batch)
        make_task(model=Memo)
        memos = ContentType.objects.get_for_model(Memo).pk

        assert found(asked(f"model={memos}&batch={batch.pk}")) == {wanted}

    def test_queryset__of_all(self):
        tasks = {make_task(), make_task(Status.COMPLETED)}

        assert found(asked("")) == found(asked("p=3&o=1&q=")) == tasks

    def test_queryset__of_another_database(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
        make_task()

        assert asked("database=other").queryset().db == "other"
        assert not found(asked("database=other"))


class TestFromQuery:
    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("status__exact=lost", "No task has the status 'lost'; choose one of pending"),
            ("status__in=failed", "The filter 'status__in' is not known here"),
            ("model=article", "The filter 'model' needs a number, not 'article'"),
            ("batch=", "The filter 'batch' needs a number"),
            ("batch=1234567890123456789", "The filter 'batch' needs a number"),
            ("signature=", "The filter 'signature' needs a value"),
            ("worker=" + "x" * 256, "needs a value of at most 255 characters"),
            ("field=a%00b", "The filter 'field' needs a value"),
            ("q=12", "A search finds single tasks: tick those"),
            ("signature=x&status__exact=cancelled", "No task matches: this filter is for tasks that are failed"),
            ("worker=x&signature=x", "No task matches: this filter is for tasks that are processing"),
            ("database=attic", r"EMBEDDINGS\['DATABASES'\] has no 'attic'"),
        ],
    )
    def test_from_query__says_what_is_wrong(self, query, message):
        with pytest.raises(FilterError, match=message):
            asked(query)


class TestJSON:
    def test_as_json__comes_back(self):
        wanted = TaskFilter(statuses=("failed",), provider="", batch_id=3, error_signature=SIGNATURE)

        assert TaskFilter.from_json(wanted.as_json()) == wanted
        assert TaskFilter().as_json() == {}


class TestDescribe:
    def test_describe__in_words(self):
        posts = ContentType.objects.get_for_model(Post).pk
        wanted = TaskFilter(
            statuses=("failed", "rate_limited"),
            content_type_id=posts,
            field="embedding",
            provider="default",
            error_kind="rate_limit",
            error_signature=SIGNATURE,
            batch_id=3,
            worker="host.1",
        )

        assert wanted.describe() == (
            'failed or rate limited tasks of Post, field "embedding", provider "default", with an error of the kind '
            f'rate limit, with the error "{SIGNATURE}", of batch #3, in hand of the worker "host.1"'
        )
        assert TaskFilter().describe() == "all tasks"
        assert TaskFilter(content_type_id=10**9).describe() == "all tasks of a model that is gone"


class TestEligible:
    @pytest.mark.parametrize(
        ("kind", "statuses"),
        [
            ("retry", {"failed", "cancelled", "scheduled", "rate_limited"}),
            ("cancel", {"pending", "scheduled", "rate_limited", "processing"}),
            ("clear", {"failed", "cancelled"}),
        ],
    )
    def test_eligible__is_what_the_kind_is_for(self, kind, statuses):
        assert set(eligible(kind, TaskFilter())[1]) == statuses
        # A cancel leaves failed tasks alone unless they are asked for.
        assert set(eligible(kind, TaskFilter(statuses=("failed", "completed")))[1]) == {"failed"}

    def test_eligible__no_box_is_cleared(self):
        make_task(Status.FAILED, payload={"fields": {}})
        wanted = make_task(Status.FAILED)

        assert set(eligible("clear", TaskFilter())[0]) == {wanted}
        assert len(eligible("retry", TaskFilter())[0]) == 2
