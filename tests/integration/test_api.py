from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from embeddings import exceptions
from embeddings.api import filters, views
from embeddings.models import EmbeddingBatch, EmbeddingTask, Status
from embeddings.providers import get_search_provider
from project.content.models import Article
from tests.ledger_rows import make_task
from tests.testapp.models import Doc, Post, Receipt, Word

pytestmark = pytest.mark.django_db

API = "/api/embeddings/"
VIEW, RETRY, CANCEL = "view_embeddingtask", "retry_embeddingtask", "cancel_embeddingtask"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("reader")


@pytest.fixture
def api(user):
    """A client of a user who has exactly these permissions, on whatever app's models are called so."""

    def log_in(*codenames: str) -> APIClient:
        permissions = Permission.objects.filter(codename__in=codenames)
        assert {permission.codename for permission in permissions} == set(codenames)
        user.user_permissions.set(permissions)
        client = APIClient()
        client.force_authenticate(User.objects.get(pk=user.pk))
        return client

    return log_in


def get(client: APIClient, path: str, **parameters: Any) -> Any:
    """The `data` of an answer that must be good."""
    response = client.get(API + path, parameters)
    assert response.status_code == 200, response.content
    assert response.json()["success"] is True
    return response.json()["data"]


def problem(response: Any, status: int) -> tuple[str, str]:
    """The code and the message of an answer that must be this problem."""
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"success", "error"}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message"}
    return body["error"]["code"], body["error"]["message"]


class TestPermissions:
    """{verb: the permission it takes}"""

    @pytest.fixture(params=["queue", "list", "detail", "retry", "cancel", "search"])
    def verb(self, request) -> tuple[str, str, str]:
        failed, pending = make_task(Status.FAILED).pk, make_task(Status.PENDING).pk
        return {
            "queue": ("get", "queue/status/", VIEW),
            "list": ("get", "tasks/", VIEW),
            "detail": ("get", f"tasks/{failed}/", VIEW),
            "retry": ("post", f"tasks/{failed}/retry/", RETRY),
            "cancel": ("post", f"tasks/{pending}/cancel/", CANCEL),
            "search": ("get", "search/?model=testapp.post&q=x", "view_post"),
        }[request.param]

    def test_verb__asks_who_is_there(self, verb):
        method, path, _ = verb

        response = getattr(APIClient(), method)(API + path)

        assert response.status_code in {401, 403}
        assert problem(response, response.status_code)[0] == "not_authenticated"

    def test_verb__refuses_a_wrong_password(self, verb, user):
        method, path, _ = verb
        client = APIClient(HTTP_AUTHORIZATION="Basic cmVhZGVyOndyb25n")  # reader:wrong

        response = getattr(client, method)(API + path)

        assert problem(response, response.status_code)[0] == "authentication_failed"

    def test_verb__needs_its_permission_and_says_which(self, verb, api):
        method, path, needed = verb
        others = {VIEW, RETRY, CANCEL, "view_post"} - {needed}

        code, message = problem(getattr(api(*others), method)(API + path), 403)

        assert code == "permission_denied"
        assert message.endswith(f"{needed}.")
        assert set(EmbeddingTask.objects.values_list("status", flat=True)) == {Status.FAILED, Status.PENDING}

    def test_verb__is_done_with_its_permission(self, verb, api):
        method, path, needed = verb

        response = getattr(api(needed), method)(API + path)

        assert response.status_code == 200

    def test_post__needs_a_csrf_token_with_a_session(self, user):
        user.user_permissions.set(Permission.objects.filter(codename=RETRY))
        task = make_task(Status.FAILED)
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)

        response = client.post(f"{API}tasks/{task.pk}/retry/")

        task.refresh_from_db()
        assert problem(response, 403)[0] == "permission_denied"
        assert task.status == Status.FAILED


class TestQueueStatus:
    def test_get__has_the_shape_that_clients_read(self, api, django_assert_num_queries):
        for status in Status.values:
            make_task(status)
        client = api(VIEW)
        get(client, "queue/status/")

        with django_assert_num_queries(1):
            data = get(client, "queue/status/")

        assert data == {"queueLength": 3, "processing": 1, "isProcessing": True}

    def test_get__at_rest(self, api):
        assert get(api(VIEW), "queue/status/") == {"queueLength": 0, "processing": 0, "isProcessing": False}


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
        }
        assert set(times) == {"created_at", "updated_at", "available_at", "claimed_at", "completed_at"}
        assert times["completed_at"].endswith("Z")
        assert times["claimed_at"] is None

    def test_detail__tells_what_went_wrong(self, api):
        task = make_task(Status.FAILED)

        error = get(api(VIEW), f"tasks/{task.pk}/")["error"]

        assert error == {"kind": "input", "class": "InputRejected", "message": "The provider refused a text."}

    @pytest.mark.parametrize("key", [987654, 10**30])
    def test_detail__of_no_task(self, api, key):
        assert problem(api(VIEW).get(f"{API}tasks/{key}/"), 404) == ("not_found", f"There is no task {key}.")

    @pytest.mark.parametrize("rows", [1, 40])
    def test_list__costs_one_query_whatever_the_rows(self, api, django_assert_num_queries, rows):
        for _ in range(rows):
            make_task(Status.FAILED)
        client = api(VIEW)
        get(client, "tasks/")  # content types and permissions are cached from here on

        with django_assert_num_queries(1):
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
        assert problem(api(VIEW).get(f"{API}tasks/?cursor=x"), 404) == ("not_found", "Invalid cursor")

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
            ("status", "lost", "status: Select a valid choice. lost is not one of the available choices."),
            ("model", "testapp.nothing", "model: No embedded model is called 'testapp.nothing'; write app.model."),
            ("model", "auth.user", "model: No embedded model is called 'auth.user'; write app.model."),
            ("batch", "x", "batch: Enter a whole number."),
            ("batch", "1.5", "batch: Enter a whole number."),
            ("error_kind", "x", "error_kind: Select a valid choice. x is not one of the available choices."),
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
        refusals = views.RETRY_REFUSALS if verb == "retry" else views.CANCEL_REFUSALS

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


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
class TestSearch:
    def search(self, client: APIClient, **parameters: Any) -> Any:
        return client.get(f"{API}search/", {"model": "content.article", "q": "run a program", **parameters})

    def test_search__finds_by_both_ways(self, api, drain):
        article = Article.objects.create(slug="subprocess.run", title="subprocess.run", content="run a program")
        Article.objects.create(slug="math.sin", title="math.sin", content="the sine of x")
        drain()

        data = self.search(api("view_article")).json()["data"]

        (best, *_) = data["results"]
        assert data["degraded"] is False
        assert best["score"] > 0
        assert {name: best[name] for name in ("object_id", "title", "found_by", "url")} == {
            "object_id": str(article.pk),
            "title": "subprocess.run",
            "found_by": "both",
            "url": article.get_absolute_url(),
        }

    @pytest.mark.parametrize("mode", ["semantic", "keyword"])
    def test_search__finds_by_the_way_that_is_asked_for(self, api, drain, mode):
        for name in ("one", "two", "three"):
            Article.objects.create(slug=name, title=name, content="run a program")
        drain()

        results = self.search(api("view_article"), mode=mode, limit=2).json()["data"]["results"]

        assert [hit["found_by"] for hit in results] == [mode, mode]

    def test_search__costs_few_queries(self, api, drain, django_assert_num_queries):
        for number in range(10):
            Article.objects.create(slug=f"a{number}", title="run", content="a program")
        drain()
        client = api("view_article")
        self.search(client)

        # The query's vector and words are remembered: whether there are vectors of other models, and the search.
        with django_assert_num_queries(2):
            assert len(self.search(client).json()["data"]["results"]) == 10

    def test_search__says_when_only_words_were_compared(self, api, monkeypatch):
        Article.objects.create(slug="a", title="run a program")
        _break_provider(monkeypatch)

        data = self.search(api("view_article")).json()["data"]

        assert data["degraded"] is True
        assert [hit["found_by"] for hit in data["results"]] == ["keyword"]

    def test_search__has_no_address_where_there_is_none(self, api):
        Post.objects.create(title="run a program")

        data = self.search(api("view_post"), model="testapp.Post", mode="keyword").json()["data"]

        assert [hit["url"] for hit in data["results"]] == [None]

    def test_search__asks_for_the_field_where_there_are_several(self, api):
        Receipt.objects.create(merchant="Baker", text="bread")
        client = api("view_receipt")
        parameters = {"model": "testapp.receipt", "q": "bread", "mode": "keyword"}

        code, message = problem(self.search(client, **parameters), 400)
        data = self.search(client, **parameters, field="text_embedding").json()["data"]

        assert code == "unsearchable"
        assert message.endswith("merchant_embedding, text_embedding.")
        assert len(data["results"]) == 1

    def test_search__says_what_to_do_where_words_are_not_searchable(self, api, drain):
        Word.objects.create(word="run", meaning="to move fast")
        drain()
        client = api("view_word")

        code, message = problem(self.search(client, model="testapp.word", mode="keyword"), 400)
        data = self.search(client, model="testapp.word").json()["data"]

        assert code == "unsearchable"
        assert message.endswith("Search it with mode=semantic.")
        assert [hit["object_id"] for hit in data["results"]] == ["run"]

    @pytest.mark.parametrize("mode", ["semantic", "hybrid"])
    def test_search__by_nothing_but_meaning_needs_the_provider(self, api, monkeypatch, mode):
        _break_provider(monkeypatch)

        response = self.search(api("view_word"), model="testapp.word", mode=mode)

        assert problem(response, 503)[0] == "unavailable"

    @pytest.mark.parametrize(
        ("parameters", "said"),
        [
            ({"q": ""}, "q: This field may not be blank."),
            ({"q": "x" * 1001}, "q: Ensure this field has no more than 1000 characters."),
            ({"q": "\0"}, "q: Null characters are not allowed."),
            ({"mode": "magic"}, 'mode: "magic" is not a valid choice.'),
            ({"limit": 101}, "limit: Ensure this value is less than or equal to 100."),
            ({"limit": 0}, "limit: Ensure this value is greater than or equal to 1."),
            ({"model": ""}, "model: This field may not be blank."),
        ],
    )
    def test_search__says_which_parameter_is_wrong(self, api, parameters, said):
        assert problem(self.search(api("view_article"), **parameters), 400) == ("invalid", said)

    def test_search__finds_in_several_models(self, api, drain):
        article = Article.objects.create(slug="a", title="run a program")
        post = Post.objects.create(title="run a program")
        doc = Doc.objects.create(title="Running", content="How to run a program.")
        drain()
        client = api("view_article", "view_post", "view_doc")

        data = self.search(client, model=["content.article", "testapp.Post", "testapp.doc"], limit=3).json()["data"]

        assert data["degraded"] is False
        hits = {hit["model"]: hit for hit in data["results"]}
        assert {model: hit["object_id"] for model, hit in hits.items()} == {
            "content.article": str(article.pk),
            "testapp.post": str(post.pk),
            "testapp.doc": str(doc.pk),
        }
        assert hits["testapp.doc"]["passage"] == "How to run a program."
        assert (hits["testapp.post"]["passage"], hits["testapp.post"]["url"]) == (None, None)

    def test_search__of_several_models_needs_each_permission(self, api):
        response = self.search(api("view_article"), model=["content.article", "testapp.post"])

        assert problem(response, 403)[1] == "This needs the permission testapp.view_post."

    def test_search__takes_a_field_of_one_model_only(self, api):
        response = self.search(api("view_article"), model=["content.article", "testapp.post"], field="embedding")

        assert problem(response, 400)[1] == "Name one model together with `field`, or several without it."

    def test_search__of_several_models_reads_the_own_field_of_one_that_has_inherited_another(self, api):
        response = self.search(api("view_article", "view_restaurant"), model=["content.article", "testapp.restaurant"])

        assert response.status_code == 200

    @pytest.mark.parametrize("label", ["auth.user", "nothing", "content.article.title"])
    def test_search__takes_only_embedded_models(self, api, label):
        code, message = problem(self.search(api("view_user"), model=label), 400)

        assert (code, message) == ("unsearchable", f"Nothing is embedded under '{label}'; write app.model.")


def _break_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(texts: list[str]) -> None:
        raise exceptions.TransientError("It is down.")

    monkeypatch.setattr(get_search_provider("default"), "embed", refuse)


class TestSchema:
    def test_schema__is_valid_and_without_warnings(self, tmp_path):
        call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yml"))

        schema = (tmp_path / "schema.yml").read_text()
        for path in ("queue/status/", "tasks/", "tasks/{task_id}/", "tasks/{task_id}/retry/", "search/", "texts/"):
            assert f"{API}{path}:" in schema

    def test_schema__is_for_those_who_are_logged_in(self, client, user):
        assert client.get("/api/schema/").status_code in {401, 403}
        assert client.get("/api/docs/").headers["Location"] == "/login/?next=/api/docs/"

        client.force_login(user)

        assert client.get("/api/schema/").status_code == 200
        assert "swagger" in client.get("/api/docs/").content.decode()
