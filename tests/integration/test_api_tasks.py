"""Tasks over the API: listed, read, retried, cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from rest_framework.test import APIClient

from embeddings import exceptions
from embeddings.api import filters, tasks
from embeddings.models import EmbeddingBatch, EmbeddingOperation, EmbeddingTask, Status
from embeddings.task_filter import TaskFilter
from tests.integration.api_clients import API, CANCEL, CLEAR, NO_PAGE, RETRY, VIEW, get, problem
from tests.ledger_rows import make_task
from tests.testapp.models import Receipt, Word

pytestmark = pytest.mark.django_db


class TestTasks:
    def ids(self, client: APIClient, **parameters: Any) -> list[int]:
        return [task["id"] for task in get(client, "tasks/", **parameters)["results"]]

    def test_detail__tells_all_but_texts_and_secrets(self, api):
        batch = EmbeddingBatch.objects.create(name="upload")
        task = make_task(Status.COMPLETED, object_id="5", priority="high", attempts=1, tokens=12, batch=batch)

        data = get(api(VIEW), f"tasks/{task.pk}/")

        times = {name: data.pop(name) for name in list(data) if name.endswith("_at")}
        assert data == {
            "id": task.pk,
            "model": "testapp.post",
            "object_id": "5",
            "field": "embedding",
            "status": "completed",
            "priority": "high",
            "attempts": 1,
            "provider": "default",
            "model_id": "dummy",
            "dimensions": 256,
            "tokens": 12,
            "truncated": False,
            "batch": batch.pk,
            "error": None,
            "timeline": [],
        }
        assert set(times) == {"created_at", "updated_at", "available_at", "claimed_at", "completed_at"}
        assert times["completed_at"].endswith("Z")
        assert times["claimed_at"] is None

    def test_detail__tells_what_went_wrong(self, api):
        task = make_task(Status.FAILED)

        error = get(api(VIEW), f"tasks/{task.pk}/")["error"]

        assert error == {
            "kind": "input",
            "class": "InputRejected",
            "message": "The provider refused a text.",
            "signature": "",
        }

    @pytest.mark.parametrize("key", [987654, 10**30])
    def test_detail__of_no_task(self, api, key):
        assert problem(api(VIEW).get(f"{API}tasks/{key}/"), 404) == ("not_found", f"There is no task {key}.")

    @pytest.mark.parametrize("rows", [1, 40])
    def test_list__costs_one_query_whatever_the_rows(self, api, django_assert_num_queries, rows):
        for _ in range(rows):
            make_task(Status.FAILED)
        client = api(VIEW)
        get(client, "tasks/")  # content types and permissions are cached from here on

        # A limit in time is set for it and taken off again, around it a savepoint of the test's transaction.
        with django_assert_num_queries(5):
            data = get(client, "tasks/")

        assert len(data["results"]) == rows

    def test_list__turns_pages_newest_first(self, api):
        made = [make_task().pk for _ in range(5)]
        client = api(VIEW)

        first = get(client, "tasks/", page_size=2)
        make_task()  # must not shift the pages
        second = client.get(first["next"]).json()["data"]
        third = client.get(second["next"]).json()["data"]
        back = client.get(second["previous"]).json()["data"]

        pages = [[task["id"] for task in page["results"]] for page in (first, second, third, back)]
        assert pages == [made[:2:-1], made[2:0:-1], made[:1], made[:2:-1]]
        assert first["previous"] is None
        assert third["next"] is None

    def test_list__has_pages_of_50_and_at_most_200(self, api):
        tasks = [make_task()]
        for number in range(210):
            tasks.append(EmbeddingTask(**{**_values(tasks[0]), "object_id": f"copy {number}"}))
        EmbeddingTask.objects.bulk_create(tasks[1:])
        client = api(VIEW)

        assert len(self.ids(client)) == 50
        assert len(self.ids(client, page_size=1000)) == 200

    def test_list__refuses_a_wrong_cursor(self, api):
        assert problem(api(VIEW).get(f"{API}tasks/?cursor=x"), 404) == ("not_found", NO_PAGE)

    def test_list__filters_by_several_statuses(self, api):
        failed, pending = make_task(Status.FAILED), make_task(Status.PENDING)
        make_task(Status.COMPLETED)

        assert self.ids(api(VIEW), status=["failed", "pending"]) == [pending.pk, failed.pk]

    def test_list__filters_by_model_object_field_batch_and_error(self, api):
        batch = EmbeddingBatch.objects.create(name="upload")
        make_task(Status.FAILED, object_id="1", error_kind="input")
        task = make_task(
            Status.FAILED,
            model=Receipt,
            object_id="2",
            field="text_embedding",
            batch=batch,
            error_kind="crash",
        )
        client = api(VIEW)

        for parameters in (
            {"model": "testapp.receipt"},
            {"model": "testapp.Receipt"},
            {"object_id": "2"},
            {"field": "text_embedding"},
            {"batch": batch.pk},
            {"error_kind": "crash"},
            {"model": "testapp.receipt", "object_id": "2", "status": "failed"},
        ):
            assert self.ids(client, **parameters) == [task.pk], parameters
        assert self.ids(client, model="testapp.receipt", object_id="1") == []

    def test_list__has_tasks_of_models_that_are_gone(self, api):
        gone = ContentType.objects.create(app_label="attic", model="chair")
        make_task(content_type=gone)

        (task,) = get(api(VIEW), "tasks/")["results"]

        assert task["model"] == "attic.chair"

    @pytest.mark.parametrize(
        ("parameter", "value", "said"),
        [
            ("status", "lost", f'status: "lost" is none of {", ".join(Status.values)}.'),
            ("model", "testapp.nothing", "model: No embedded model is called 'testapp.nothing'; write app.model."),
            ("model", "auth.user", "model: No embedded model is called 'auth.user'; write app.model."),
            ("batch", "x", "batch: A valid integer is required."),
            ("batch", "1.5", "batch: A valid integer is required."),
            ("error_kind", "x", 'error_kind: "x" is none of rate_limit, transient, input, configuration, crash.'),
            ("object_id", "\0", "object_id: Null characters are not allowed."),
        ],
    )
    def test_list__says_which_parameter_is_wrong(self, api, parameter, value, said):
        response = api(VIEW).get(f"{API}tasks/", {parameter: value})

        assert problem(response, 400) == ("invalid", said)

    def test_list__offers_every_kind_of_error(self):
        kinds = {value.kind for value in vars(exceptions).values() if hasattr(value, "kind")} | {"crash"}

        assert set(filters.ERROR_KINDS) == kinds


def _values(task: EmbeddingTask) -> dict[str, Any]:
    return {field.attname: getattr(task, field.attname) for field in task._meta.concrete_fields if field.name != "id"}


class TestOperations:
    def test_retry__(self, api):
        task = make_task(Status.FAILED)

        response = api(RETRY).post(f"{API}tasks/{task.pk}/retry/")

        task.refresh_from_db()
        assert response.json() == {"success": True, "data": {"changed": 1, "skipped": 0, "status": "pending"}}
        assert (task.status, task.attempts) == (Status.PENDING, 0)

    def test_cancel__(self, api):
        task = make_task(Status.PROCESSING)

        response = api(CANCEL).post(f"{API}tasks/{task.pk}/cancel/")

        task.refresh_from_db()
        assert response.json() == {"success": True, "data": {"changed": 1, "skipped": 0, "status": "cancelled"}}
        assert (task.status, task.lease_token) == (Status.CANCELLED, None)

    @pytest.mark.parametrize("verb", ["retry", "cancel"])
    @pytest.mark.parametrize("status", Status.values)
    def test_any__changes_it_or_says_why_not(self, api, verb, status):
        task = make_task(status)
        refusals = tasks.RETRY_REFUSALS if verb == "retry" else tasks.CANCEL_REFUSALS

        response = api(RETRY, CANCEL).post(f"{API}tasks/{task.pk}/{verb}/")

        task.refresh_from_db()
        if status in refusals:
            expected = f"Task {task.pk} is {task.get_status_display()}. {refusals[status]}"
            assert problem(response, 409) == ("conflict", expected)
            assert task.status == status
        else:
            assert response.status_code == 200
            assert task.status == response.json()["data"]["status"]
            assert task.status == {"retry": "pending", "cancel": "cancelled"}[verb]

    @pytest.mark.parametrize("verb", ["retry", "cancel"])
    def test_any__of_no_task(self, api, verb):
        assert problem(api(RETRY, CANCEL).post(f"{API}tasks/987654/{verb}/"), 404)[0] == "not_found"

    def test_any__must_be_posted(self, api):
        task = make_task(Status.FAILED)

        assert problem(api(RETRY).get(f"{API}tasks/{task.pk}/retry/"), 405)[0] == "method_not_allowed"


class TestBulk:
    def bulk(self, client: APIClient, **body: Any) -> Any:
        return client.post(f"{API}tasks/bulk/", body, format="json")

    def test_bulk__counts_and_changes_nothing_unless_told(self, api):
        failed, _ = make_task(Status.FAILED), make_task(Status.COMPLETED)

        response = self.bulk(api(VIEW, RETRY), action="retry", filter={"model": "testapp.post"})

        failed.refresh_from_db()
        data = response.json()["data"]
        assert (response.status_code, data["rows"], data["parts"]) == (200, 1, {"failed": 1})
        assert failed.status == Status.FAILED
        assert not EmbeddingOperation.objects.exists()

    @pytest.mark.parametrize(
        ("action", "values"),
        [
            ("retry", {"status": ["failed"], "model": "testapp.Post", "error_kind": "input"}),
            ("cancel", {"status": ["pending", "scheduled"], "field": "embedding", "provider": "default"}),
            ("clear", {"error_signature": "input: x"}),
        ],
    )
    def test_bulk__begins_an_operation_with_the_filter(self, api, action, values):
        response = self.bulk(api(VIEW, RETRY, CANCEL, CLEAR), action=action, filter=values, dryRun=False)

        operation = EmbeddingOperation.objects.get()
        wanted = TaskFilter.from_json(operation.parameters["filter"])
        assert (response.status_code, response.json()["data"]["id"]) == (202, operation.pk)
        assert (operation.kind, operation.by) == (action, "reader")
        assert set(wanted.statuses) == set(values.get("status", ["failed"]))
        assert wanted.error_signature == values.get("error_signature", "")
        assert (wanted.content_type_id is not None) == ("model" in values)

    @pytest.mark.parametrize("body", [{}, {"filter": {}}, {"all": False}])
    def test_bulk__of_everything_must_be_said(self, api, body):
        response = self.bulk(api(VIEW, RETRY), action="retry", dryRun=False, **body)

        assert problem(response, 400)[1].startswith("The filter is empty, which means every task")
        assert not EmbeddingOperation.objects.exists()

    def test_bulk__of_everything(self, api):
        assert self.bulk(api(VIEW, RETRY), action="retry", all=True, dryRun=False).status_code == 202

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"stauts": ["failed"]}, "filter: There is no filter 'stauts'; there are status, model, field, "),
            ({"status": []}, "filter.status: This selection may not be empty."),
            ({"status": "failed"}, "filter.status: Expected a list of items"),
            ({"model": "auth.user"}, "filter.model: No embedded model"),
            ({"batch": 2**70}, "filter.batch: Ensure this value is less"),
            ({"worker": "a", "status": ["failed"]}, "filter: No task matches"),
            ([], "filter: Invalid data."),
        ],
    )
    def test_bulk__says_what_is_wrong_with_a_filter(self, api, values, said):
        code, message = problem(self.bulk(api(VIEW, RETRY), action="retry", filter=values, dryRun=False), 400)

        assert code == "invalid"
        assert message.startswith(said)
        assert not EmbeddingOperation.objects.exists()

    def test_bulk__says_what_is_misspelt_in_a_form(self, api):
        form = {"action": "retry", "filter.status": "failed", "filter.modle": "testapp.post", "dryRun": "false"}

        response = api(VIEW, RETRY).post(f"{API}tasks/bulk/", form)

        assert problem(response, 400)[1].startswith("filter: There is no filter 'modle'; there are status, model, ")
        assert not EmbeddingOperation.objects.exists()

    def test_bulk__takes_a_form(self, api):
        form = {"action": "retry", "filter.status": "failed", "dryRun": "false", "csrfmiddlewaretoken": "x"}

        assert api(VIEW, RETRY).post(f"{API}tasks/bulk/", form).status_code == 202

    def test_bulk__a_misspelt_filter_is_not_everything(self, api):
        body = {"action": "retry", "all": True, "filters": {"status": ["failed"]}, "dryRun": False}

        response = self.bulk(api(VIEW, RETRY), **body)

        assert problem(response, 400)[1] == "There is no 'filters'; there are action, filter, all, dryRun."
        assert not EmbeddingOperation.objects.exists()

    @pytest.mark.parametrize("action", ["retry", "cancel", "clear"])
    def test_bulk__needs_the_permission_for_the_action(self, api, action):
        others = {RETRY, CANCEL, CLEAR} - {f"{action}_embeddingtask"}

        response = self.bulk(api(VIEW, *others), action=action, all=True, dryRun=False)

        assert problem(response, 403)[1] == f"This needs the permission embeddings.{action}_embeddingtask."

    def test_bulk__that_no_worker_would_do(self, api, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}

        response = self.bulk(api(VIEW, RETRY), action="retry", all=True, dryRun=False)

        assert problem(response, 400)[0] == "impossible"


class TestEntity:
    def test_entity__has_every_target(self, api):
        failed = make_task(Status.FAILED, model=Receipt, object_id="7", field="text_embedding")
        make_task(model=Receipt, object_id="8", field="text_embedding")

        data = get(api(VIEW), "entities/testapp.Receipt/007/")

        assert (data["model"], data["objectId"]) == ("testapp.receipt", "7")
        merchant, text = data["targets"]
        assert merchant == {
            "field": "merchant_embedding",
            "status": None,
            "taskId": None,
            "isStored": True,
            "error": None,
        }
        assert (text["field"], text["status"], text["taskId"]) == ("text_embedding", "failed", failed.pk)
        assert text["error"]["kind"] == "input"

    def test_entity__whose_key_has_slashes(self, api):
        make_task(model=Word, object_id="and/or")

        assert get(api(VIEW), "entities/testapp.word/and/or/")["objectId"] == "and/or"

    @pytest.mark.parametrize("path", ["testapp.post/9", "testapp.post/x", "testapp.word/%00", "testapp.memo/1"])
    def test_entity__without_a_task(self, api, path):
        code, message = problem(api(VIEW).get(f"{API}entities/{path}/"), 404)

        assert (code, message.startswith("There is no task of testapp.")) == ("not_found", True)

    @pytest.mark.parametrize("model", ["auth.user", "nothing", "%00"])
    def test_entity__of_no_embedded_model(self, api, model):
        assert "write app.model" in problem(api(VIEW).get(f"{API}entities/{model}/1/"), 404)[1]
