from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from embeddings import exceptions, registry
from embeddings.admin import boxes, counting, explanations, searching
from embeddings.models import (
    CANCELLABLE,
    RETRYABLE,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    ProviderCall,
    ProviderState,
    Status,
    WorkerStatus,
)
from embeddings.operations import cancel, retry
from project.content.models import Article
from tests.ledger_rows import make_task
from tests.testapp.models import Memo, Post, Receipt

pytestmark = pytest.mark.django_db

LIST = "/admin/embeddings/embeddingtask/"
# A list sets itself a time limit: within a test's transaction by a savepoint, the limit, and the way back.
BOUND = 4
MODELS = [EmbeddingTask, EmbeddingBatch, EmbeddingOperation, ProviderCall, ProviderState, WorkerStatus]


def page(client: Client, url: str) -> str:
    response = client.get(url)

    assert response.status_code == 200
    return response.content.decode()


def task_page(task: EmbeddingTask) -> str:
    return f"{LIST}{task.pk}/change/"


def run(client: Client, action: str, *tasks: EmbeddingTask, url: str = LIST, **extra: str) -> str:
    """Run an action on ticked tasks, and return what it says."""
    data = {"action": action, "_selected_action": [str(task.pk) for task in tasks], "index": "0", **extra}
    response = client.post(url, data, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


@pytest.fixture
def staff(client: Client):
    """Log in a member of staff who has exactly these permissions."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client.force_login(user)
        return client

    return log_in


class TestList:
    def test_list__says_what_how_and_why(self, admin_client):
        make_task(Status.FAILED, object_id="77", priority="high", attempts=3, error_message="no\nsuch " + "x" * 200)

        html = page(admin_client, LIST)

        assert 'class="embeddings-pill embeddings-failed">failed<' in html
        assert '<td class="field-embedded_object">Post 77</td>' in html
        assert '<td class="field-priority">high</td>' in html
        assert '<td class="field-attempts">3</td>' in html
        error = re.search(r'field-error"><span title="([^"]*)">([^<]*)<', html)
        assert error is not None
        assert error[1] == "input: no\nsuch " + "x" * 200
        assert error[2].startswith("input: no such xxx")
        assert len(error[2]) == 80

    def test_list__says_for_how_long_a_task_waits(self, admin_client):
        then = timezone.now() - timedelta(minutes=4, seconds=5)
        make_task(Status.SCHEDULED, requested_at=then, error_kind="transient", error_status=503)

        html = page(admin_client, LIST)

        assert re.search(r'field-waiting"><time[^>]*>4 min<', html)
        assert ">transient, HTTP 503:<" in html

    def test_list__says_no_waiting_of_what_has_ended(self, admin_client):
        make_task(Status.FAILED)

        html = page(admin_client, LIST)

        assert '<td class="field-waiting">-</td>' in html

    @pytest.mark.parametrize("rows", [1, 20])
    def test_list__costs_the_same_queries_whatever_the_rows(self, admin_client, django_assert_num_queries, rows):
        article = Article.objects.create(slug="a", title="a")
        batch = EmbeddingBatch.objects.create(name="a batch")
        for number in range(rows):
            make_task(Status.FAILED, object_id=str(number), batch=batch)
            make_task(model=Article, object_id=str(article.pk + 1 + number))
        page(admin_client, LIST)  # content types are cached from here on

        # Session, user, count, rows.
        with django_assert_num_queries(4 + BOUND):
            page(admin_client, LIST)

    def test_list__links_an_object_that_has_a_page(self, admin_client):
        task = make_task(model=Article, object_id="12")

        html = page(admin_client, LIST)

        assert '<a href="/admin/content/article/12/change/">Article 12</a>' in html
        assert re.search(f'<a href="{task_page(task)}"><span[^>]*>pending<', html)

    def test_list__does_not_link_an_object_that_the_user_may_not_view(self, staff):
        make_task(model=Article, object_id="12")

        html = page(staff("view_embeddingtask"), LIST)

        assert "Article 12" in html
        assert "/admin/content/article/" not in html

    def test_list__shows_tasks_of_models_that_are_gone(self, admin_client):
        gone = ContentType.objects.create(app_label="attic", model="chair")
        task = make_task(content_type=gone, object_id="3")

        assert "attic.chair 3" in page(admin_client, LIST)
        assert "attic.chair 3 (there is no such object any more)" in page(admin_client, task_page(task))

    def test_list__counts_no_further_than_the_limit(self, admin_client, monkeypatch):
        monkeypatch.setattr(counting, "COUNT_LIMIT", 2)
        for _ in range(3):
            make_task()

        with CaptureQueriesContext(connection) as queries:
            html = page(admin_client, LIST)

        assert re.search(r"\b2\+\s+embedding tasks", html)
        assert "LIMIT 3" in next(query["sql"] for query in queries if "COUNT(" in query["sql"])

    def test_list__counts_exactly_up_to_the_limit(self, admin_client, monkeypatch):
        monkeypatch.setattr(counting, "COUNT_LIMIT", 2)
        for _ in range(2):
            make_task()

        assert re.search(r"\b2\s+embedding tasks", page(admin_client, LIST))

    def test_list__escapes_what_others_wrote(self, admin_client):
        evil = "<script>alert(1)</script>"
        task = make_task(Status.FAILED, object_id=evil, error_message=evil, error_class=evil)

        assert evil not in page(admin_client, LIST)
        assert evil not in page(admin_client, task_page(task))


class TestFilters:
    def found(self, client: Client, query: str) -> set[int]:
        ids = re.findall(r'name="_selected_action" value="(\d+)"', page(client, LIST + query))
        return {int(one) for one in ids}

    def test_status__(self, admin_client):
        failed = make_task(Status.FAILED)
        make_task(Status.COMPLETED)

        assert self.found(admin_client, "?status__exact=failed") == {failed.pk}

    def test_model__lists_registered_models_without_looking_at_the_table(self, admin_client):
        html = page(admin_client, LIST)

        assert f'href="?model={ContentType.objects.get_for_model(Receipt).pk}"' in html

    def test_model__(self, admin_client):
        receipt = make_task(model=Receipt, field="text_embedding")
        make_task()

        assert self.found(admin_client, f"?model={receipt.content_type_id}") == {receipt.pk}

    def test_field__(self, admin_client):
        receipt = make_task(model=Receipt, field="text_embedding")
        make_task()

        assert self.found(admin_client, "?field=text_embedding") == {receipt.pk}

    def test_error__(self, admin_client):
        failed = make_task(Status.FAILED, error_kind="crash")
        make_task(Status.FAILED, error_kind="input")

        assert self.found(admin_client, "?error=crash") == {failed.pk}

    def test_provider__is_offered_when_there_are_several(self, admin_client, settings, monkeypatch):
        monkeypatch.setattr(registry, "all_splittings", lambda: iter(()))  # a choice of their own
        one = make_task(provider="second")
        make_task()
        assert "By provider" not in page(admin_client, LIST)

        settings.EMBEDDING_PROVIDERS = {
            **settings.EMBEDDING_PROVIDERS,
            "second": settings.EMBEDDING_PROVIDERS["default"],
        }

        assert self.found(admin_client, "?provider=second") == {one.pk}

    def test_batch__(self, admin_client):
        batch = EmbeddingBatch.objects.create(name="upload")
        inside = make_task(batch=batch)
        make_task()

        assert self.found(admin_client, f"?batch={batch.pk}") == {inside.pk}
        assert f"Batch #{batch.pk}" in page(admin_client, f"{LIST}?batch={batch.pk}")

    def test_signature__finds_failed_tasks_of_a_group(self, admin_client):
        failed = make_task(Status.FAILED, error_signature="input: E: a & b")
        make_task(Status.FAILED, error_signature="input: E: c")
        make_task(Status.SCHEDULED, error_signature="input: E: a & b")

        assert self.found(admin_client, "?signature=input%3A+E%3A+a+%26+b") == {failed.pk}

    def test_worker__finds_what_it_has_in_hand(self, admin_client):
        held = make_task(Status.PROCESSING, worker="host.7")
        make_task(Status.PROCESSING, worker="host.8")
        make_task(Status.COMPLETED, worker="host.7")

        assert self.found(admin_client, "?worker=host.7") == {held.pk}
        assert "In hand of host.7" in page(admin_client, f"{LIST}?worker=host.7")

    @pytest.mark.parametrize("query", ["?signature=x", "?worker=x", "?signature=", "?worker=%00", "?signature=%00"])
    def test_linked__finds_nothing_for_nonsense(self, admin_client, query):
        make_task(Status.FAILED, error_signature="input: E: a")

        assert self.found(admin_client, query) == set()

    @pytest.mark.parametrize("query", ["?batch=x", "?model=x", "?model=999999", "?error=x", "?batch=" + "9" * 5000])
    def test_any__finds_nothing_for_nonsense(self, admin_client, query):
        make_task(Status.FAILED)

        assert self.found(admin_client, query) == set()

    def test_search__finds_the_key_exactly(self, admin_client):
        found = make_task(object_id="123")
        make_task(object_id="1234")

        assert self.found(admin_client, "?q=123") == {found.pk}
        assert self.found(admin_client, "?q=%20123%20") == {found.pk}
        assert self.found(admin_client, "?q=12") == set()

    @pytest.mark.parametrize("term", ["#{}", "task {}", "Task #{}"])
    def test_search__finds_a_task_by_its_number(self, admin_client, term):
        task = make_task(object_id="abc")
        make_task()

        assert self.found(admin_client, "?" + urlencode({"q": term.format(task.pk)})) == {task.pk}

    @pytest.mark.parametrize("term", ["receipt 12", "Testapp.Receipt 12", "receipt #12", " receipt  12 "])
    def test_search__finds_an_object_by_model_and_key(self, admin_client, term):
        found = make_task(model=Receipt, object_id="12", field="text_embedding")
        make_task(model=Post, object_id="12")

        assert self.found(admin_client, "?" + urlencode({"q": term})) == {found.pk}

    def test_search__takes_a_key_of_several_words_as_it_is(self, admin_client):
        found = make_task(object_id="task 12 b")

        assert self.found(admin_client, "?q=task+12+b") == {found.pk}

    @pytest.mark.parametrize("term", ["#", "task", "#x", "#" + "9" * 30, "post", "post ", "\0", "%", "'"])
    def test_search__finds_nothing_for_nonsense(self, admin_client, term):
        make_task()
        assert term == "\0" or self.found(admin_client, "?" + urlencode({"q": term})) == set()

    def test_search__of_a_large_table_is_by_index(self):
        for number in range(200):
            make_task(object_id=str(number))
        found = searching.find(EmbeddingTask.objects.order_by("-pk"), "post 12")[:26]

        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("ANALYZE embeddings_embeddingtask")

            assert "embeddings_task_target" in found.explain()

    @pytest.mark.parametrize(
        "lookup",
        ["payload__isnull=1", "batch__tasks__payload__fields__text__contains=k", "worker__regex=.", "id__gt=1"],
    )
    def test_filters__no_others_can_be_typed(self, staff, lookup):
        make_task(Status.PROCESSING, batch=EmbeddingBatch.objects.create(name="a batch"))

        response = staff("view_embeddingtask").get(f"{LIST}?{lookup}")

        assert response.status_code == 400


class TestDetail:
    def test_detail__explains_a_failure(self, admin_client):
        post = Post.objects.create(title="How to", body="")
        EmbeddingTask.objects.all().delete()
        task = make_task(
            Status.FAILED,
            object_id=str(post.pk),
            error_kind="configuration",
            error_message="Bad key.",
            error_status=401,
        )

        html = page(admin_client, task_page(task))

        assert f"{post} (Post {post.pk})" in html
        assert "testapp.post.embedding" in html
        assert "Bad key." in html
        assert "(configuration, HTTP 401)" in html
        assert "Correct EMBEDDING_PROVIDERS and restart the workers" in html
        assert "It is not tried again by itself." in html

    @pytest.mark.parametrize("model", [Post, Memo])
    def test_detail__of_an_object_that_cannot_be(self, admin_client, model):
        task = make_task(model=model, object_id="neither number nor UUID")

        assert "(there is no such object any more)" in page(admin_client, task_page(task))

    @pytest.mark.parametrize("status", Status.values)
    def test_detail__shows_every_status(self, admin_client, status):
        task = make_task(status)

        assert explanations.STATUS[Status(status)].split(".")[0] in page(admin_client, task_page(task))

    def test_detail__offers_what_is_possible(self, admin_client):
        assert "retry_tasks" in page(admin_client, task_page(make_task(Status.FAILED)))
        assert "cancel_tasks" not in page(admin_client, task_page(make_task(Status.FAILED)))
        assert "cancel_tasks" in page(admin_client, task_page(make_task(Status.PENDING)))
        assert "_action" not in page(admin_client, task_page(make_task(Status.COMPLETED)))

    def test_detail__retries_at_the_press_of_its_button(self, admin_client):
        task = make_task(Status.FAILED)

        response = admin_client.post(task_page(task), {"_action": "retry_tasks"}, follow=True)

        task.refresh_from_db()
        assert task.status == Status.PENDING
        assert response.redirect_chain == [(task_page(task), 302)]
        assert "1 task will be tried again." in response.content.decode()

    @pytest.mark.parametrize("has_middleware", [True, False])
    def test_detail__refuses_a_forged_request(self, admin_user, settings, has_middleware):
        csrf = "django.middleware.csrf.CsrfViewMiddleware"
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if has_middleware or name != csrf]
        task = make_task(Status.FAILED)
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)

        response = client.post(task_page(task), {"_action": "retry_tasks"})

        task.refresh_from_db()
        assert response.status_code == 403
        assert task.status == Status.FAILED

    @pytest.mark.parametrize("key", ["987654", "x", "9" * 30])
    def test_detail__of_no_task(self, admin_client, key):
        url = f"{LIST}{key}/change/"

        assert admin_client.get(url).status_code == 302
        assert admin_client.post(url, {"_action": "retry_tasks"}).status_code in {302, 403}

    def test_detail__keeps_the_title_from_who_may_not_view_the_object(self, staff):
        article = Article.objects.create(slug="a", title="Our secret plans")
        task = EmbeddingTask.objects.get()

        html = page(staff("view_embeddingtask"), task_page(task))

        assert "Our secret plans" not in html
        assert f"Article {article.pk}" in html

    def test_detail__shows_the_title_to_who_may_view_the_object(self, staff):
        Article.objects.create(slug="a", title="Our secret plans")
        task = EmbeddingTask.objects.get()

        html = page(staff("view_embeddingtask", "view_article"), task_page(task))

        assert ">Our secret plans</a>" in html

    def test_detail__of_a_box_says_that_nothing_is_stored_yet(self, admin_client):
        boxed = Post.objects.create_boxed(title="<b>Our plans</b>", body="Zürich")
        task = EmbeddingTask.objects.get()

        html = page(admin_client, task_page(task))

        assert f"Post {boxed.entity_id} (boxed: not stored yet)" in html
        for line in (
            "&quot;body&quot;: &quot;Zürich&quot;,\n",
            "&quot;title&quot;: &quot;&lt;b&gt;Our plans&lt;/b&gt;&quot;",
        ):
            assert line in html

    def test_detail__keeps_a_box_from_who_may_not_view_such_objects(self, staff):
        Article.objects.create_boxed(slug="a", title="Our secret plans")
        task = EmbeddingTask.objects.get()

        html = page(staff("view_embeddingtask"), task_page(task))

        assert "Our secret plans" not in html
        assert boxes.HIDDEN in html

    def test_detail__of_a_box_that_failed_says_what_to_do(self, admin_client):
        failed = make_task(Status.FAILED, payload={"model": "testapp.post", "fields": {"title": "x"}})

        html = page(admin_client, task_page(failed))

        assert explanations.BOX_REFUSED.partition("(")[0] in html

    def test_list__neither_links_nor_loads_what_is_not_stored_yet(self, admin_client):
        boxed = Article.objects.create_boxed(slug="a", title="Our secret plans")

        with CaptureQueriesContext(connection) as queries:
            html = page(admin_client, LIST)

        assert f"Article {boxed.entity_id}" in html
        assert f"/admin/content/article/{boxed.entity_id}/" not in html
        assert not any('"payload",' in query["sql"] for query in queries)

    def test_detail__retries_for_nobody_who_may_not_see_it(self, staff):
        task = make_task(Status.FAILED)

        response = staff("retry_embeddingtask").post(task_page(task), {"_action": "retry_tasks"})

        task.refresh_from_db()
        assert response.status_code == 403
        assert task.status == Status.FAILED


class TestActions:
    def test_retry__says_how_many_and_why_not_the_others(self, admin_client):
        failed, cancelled, done = make_task(Status.FAILED), make_task(Status.CANCELLED), make_task(Status.COMPLETED)

        message = run(admin_client, "retry_tasks", failed, cancelled, done)

        assert message.startswith("2 tasks will be tried again. 1 skipped: only failed, cancelled, scheduled and")
        assert set(EmbeddingTask.objects.filter(status=Status.PENDING)) == {failed, cancelled}

    def test_cancel__says_how_many_and_why_not_the_others(self, admin_client):
        waiting, done = make_task(Status.PENDING), make_task(Status.COMPLETED)

        message = run(admin_client, "cancel_tasks", waiting, done)

        assert message == "1 task was cancelled. 1 skipped: only tasks that are not done yet can be cancelled."
        assert set(EmbeddingTask.objects.filter(status=Status.CANCELLED)) == {waiting}

    def test_retry__counts_ticked_tasks_that_left_the_filter_as_skipped(self, admin_client):
        failed, moved_on = make_task(Status.FAILED), make_task(Status.PENDING)

        message = run(admin_client, "retry_tasks", failed, moved_on, url=f"{LIST}?status__exact=failed")

        assert message.startswith("1 task will be tried again. 1 skipped")

    def test_retry__of_all_that_the_filter_finds(self, admin_client):
        shown, other = make_task(Status.FAILED), make_task(Status.CANCELLED)

        run(admin_client, "retry_tasks", shown, url=f"{LIST}?status__exact=failed", select_across="1")

        other.refresh_from_db()
        assert other.status == Status.CANCELLED
        assert EmbeddingTask.objects.filter(status=Status.PENDING).count() == 1

    def test_retry__is_logged_for_the_tasks_that_it_changed(self, admin_client):
        failed, done = make_task(Status.FAILED), make_task(Status.COMPLETED)

        run(admin_client, "retry_tasks", failed, done)

        entry = LogEntry.objects.get()
        assert (entry.object_id, entry.change_message) == (str(failed.pk), "Retried.")
        assert entry.get_edited_object() == failed

    @pytest.mark.parametrize("action", ["retry_tasks", "cancel_tasks"])
    def test_any__does_nothing_for_who_may_only_view(self, staff, action):
        client = staff("view_embeddingtask")
        failed, waiting = make_task(Status.FAILED), make_task(Status.PENDING)

        html = page(client, LIST)
        run(client, action, failed, waiting)
        response = client.post(task_page(failed), {"_action": action})

        assert 'name="action"' not in html
        assert "_action" not in page(client, task_page(failed))
        assert response.status_code == 403
        assert Status(EmbeddingTask.objects.get(pk=failed.pk).status) == Status.FAILED
        assert Status(EmbeddingTask.objects.get(pk=waiting.pk).status) == Status.PENDING
        assert not LogEntry.objects.exists()

    def test_any__each_has_its_own_permission(self, staff):
        client = staff("view_embeddingtask", "retry_embeddingtask")
        failed, waiting = make_task(Status.FAILED), make_task(Status.PENDING)

        run(client, "cancel_tasks", waiting)
        run(client, "retry_tasks", failed)

        assert set(EmbeddingTask.objects.filter(status=Status.PENDING)) == {failed, waiting}

    @pytest.mark.parametrize("status", Status.values)
    def test_statuses__are_those_that_the_operations_change(self, status):
        one = EmbeddingTask.objects.filter(pk=make_task(status).pk)
        other = EmbeddingTask.objects.filter(pk=make_task(status).pk)

        assert (status in RETRYABLE) == bool(retry(one).changed)
        assert (status in CANCELLABLE) == bool(cancel(other).changed)


class TestSharedRows:
    """What belongs to no model is in the first of the databases, whichever that is."""

    @pytest.mark.django_db(databases=["default", "other"])
    def test_lists__are_of_the_first_database(self, admin_client, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["other", "default"]}
        now = timezone.now()
        WorkerStatus.objects.using("other").create(name="elsewhere.1", started_at=now, heartbeat_at=now)
        ProviderCall.objects.using("other").create(
            provider="default", model_id="far-away", inputs=1, latency_ms=1, outcome="ok"
        )
        ProviderState.objects.using("other").create(alias="default", blocked_reason="circuit", failures_in_a_row=5)

        assert "elsewhere.1" in page(admin_client, "/admin/embeddings/workerstatus/")
        assert "far-away" in page(admin_client, "/admin/embeddings/providercall/")
        assert "to be tried again now" in page(admin_client, "/admin/embeddings/providerstate/")
        assert "Call it again now" in page(admin_client, "/admin/embeddings/providerstate/default/change/")


class TestReadOnly:
    @pytest.mark.parametrize("model", MODELS)
    def test_all__nobody_adds_changes_or_deletes(self, rf, admin_user, model):
        request = rf.get("/")
        request.user = admin_user
        model_admin = admin.site.get_model_admin(model)

        permissions = model_admin.get_model_perms(request)

        assert permissions == {"add": False, "change": False, "delete": False, "view": True}

    def test_task__cannot_be_changed_by_a_crafted_request(self, admin_client):
        task = make_task(Status.FAILED)

        response = admin_client.post(task_page(task), {"status": "completed"})

        assert response.status_code == 403
        assert admin_client.post(f"{LIST}{task.pk}/delete/", {"post": "yes"}).status_code == 403
        assert admin_client.post(f"{LIST}add/", {}).status_code == 403


class TestExplanations:
    def test_status__each_is_explained(self):
        assert set(explanations.STATUS) == set(Status)

    def test_error_kind__each_is_explained(self):
        kinds = {value.kind for value in vars(exceptions).values() if hasattr(value, "kind")} | {"crash"}

        assert set(explanations.ERROR_KIND) == kinds == set(explanations.BRIEFLY)


class TestBatches:
    def test_list__shows_progress_in_two_queries_for_all(self, admin_client, django_assert_num_queries):
        for name in ("first", "second", "third"):
            batch = EmbeddingBatch.objects.create(name=name, total=4)
            for status in (Status.COMPLETED, Status.EMPTY, Status.FAILED, Status.PENDING):
                make_task(status, batch=batch)
        url = reverse("admin:embeddings_embeddingbatch_changelist")

        # Session, user, count, batches, their totals and ages, their tasks' counts.
        with django_assert_num_queries(6 + BOUND):
            html = page(admin_client, url)

        assert html.count('max="4" value="3"></progress> 75%') == 3
        assert f'<a href="{LIST}?batch={batch.pk}">4 in all</a>, 1 open, 2 done, <a' in html
        assert f'<a href="{LIST}?batch={batch.pk}&amp;status__exact=failed">1 failed</a>' in html

    def test_detail__(self, admin_client):
        batch = EmbeddingBatch.objects.create(name="upload", parameters={"model": "content.article"})
        make_task(Status.FAILED, batch=batch)

        html = page(admin_client, reverse("admin:embeddings_embeddingbatch_change", args=[batch.pk]))

        assert "100%" in html
        assert "&quot;model&quot;: &quot;content.article&quot;" in html
        assert f'href="{LIST}?batch={batch.pk}&amp;status__exact=failed"' in html

    def test_list__of_a_batch_without_tasks(self, admin_client):
        EmbeddingBatch.objects.create(name="empty")

        html = page(admin_client, reverse("admin:embeddings_embeddingbatch_changelist"))

        assert '<td class="field-progress_bar">-</td>' in html
        assert ">0 in all<" in html


class TestWorkers:
    def make(self, name: str, state: str, seconds_ago: float) -> WorkerStatus:
        then = timezone.now() - timedelta(seconds=seconds_ago)
        return WorkerStatus.objects.create(name=name, state=state, started_at=then, heartbeat_at=then)

    def test_list__tells_living_from_missing_from_stopped(self, admin_client):
        self.make("living", "active", 5)
        self.make("missing", "idle", 200)
        self.make("stopped", "stopped", 200)

        html = page(admin_client, reverse("admin:embeddings_workerstatus_changelist"))

        rows = {name: html.split(f">{name}</a>")[1].split("</tr>")[0] for name in ("living", "missing", "stopped")}
        assert ">active<" in rows["living"]
        assert re.search("[5-9] s ago", rows["living"])
        assert ">missing<" in rows["missing"]
        assert "not heard of for <strong>3 min</strong>" in rows["missing"]
        assert ">stopped<" in rows["stopped"]

    def test_detail__(self, admin_client):
        broken, missing = self.make("broken", "error", 1), self.make("missing", "idle", 200)

        one, other = (
            page(admin_client, reverse("admin:embeddings_workerstatus_change", args=[worker.pk]))
            for worker in (broken, missing)
        )

        assert "it goes on with the next" in one
        assert "Other workers take over" in other


class TestProviders:
    def test_list__says_whether_it_may_be_called(self, admin_client, settings):
        one = settings.EMBEDDING_PROVIDERS["default"]
        settings.EMBEDDING_PROVIDERS = dict.fromkeys(["fresh", "fine", "slow", "down"], one)
        later, earlier = timezone.now() + timedelta(minutes=1), timezone.now() - timedelta(minutes=1)
        ProviderState.objects.create(alias="fine")
        ProviderState.objects.create(alias="slow", blocked_reason="rate_limit", blocked_until=later)
        ProviderState.objects.create(alias="down", blocked_reason="circuit", blocked_until=earlier)

        html = page(admin_client, reverse("admin:embeddings_providerstate_changelist"))

        assert re.findall(r"embeddings-pill[^>]*>([^<]*)<", html) == [
            "available",
            "available",
            "blocked: rate limit",
            "to be tried again now",
        ]
        assert not ProviderState.objects.filter(alias="fresh").exists()

    def test_detail__says_what_to_do(self, admin_client):
        state = ProviderState.objects.create(
            alias="default", blocked_reason="configuration", blocked_until=timezone.now(), last_error="Bad key."
        )

        html = page(admin_client, reverse("admin:embeddings_providerstate_change", args=[state.pk]))

        assert "Bad key." in html
        assert "Correct EMBEDDING_PROVIDERS" in html
        assert "Call it again now" in html

    def test_resume__closes_the_circuit_and_says_so(self, staff):
        client = staff("view_providerstate", "resume_providerstate")
        ProviderState.objects.create(alias="fine")
        down = ProviderState.objects.create(alias="down", blocked_reason="circuit", blocked_until=timezone.now())

        response = client.post(
            reverse("admin:embeddings_providerstate_changelist"),
            {"action": "resume_providers", "_selected_action": ["fine", "down"]},
            follow=True,
        )

        down.refresh_from_db()
        assert (down.blocked_reason, down.blocked_until, down.failures_in_a_row) == ("", None, 0)
        assert "1 provider may be called again. 1 skipped: nothing blocked them." in response.content.decode()
        assert LogEntry.objects.get().object_id == "down"

    def test_resume__needs_its_permission(self, staff):
        down = ProviderState.objects.create(alias="down", blocked_reason="circuit", blocked_until=timezone.now())
        address = reverse("admin:embeddings_providerstate_change", args=["down"])
        client = staff("view_providerstate")

        response = client.post(address, {"_action": "resume_providers"})

        down.refresh_from_db()
        assert response.status_code == 403
        assert down.blocked_reason == "circuit"
        assert "Call it again now" not in page(client, address)

    def test_calls__are_listed_with_few_queries(self, admin_client, django_assert_num_queries):
        for outcome in ("ok", "rate_limit"):
            ProviderCall.objects.create(
                provider="default", model_id="m", inputs=3, tokens=5, latency_ms=1234, outcome=outcome
            )

        with django_assert_num_queries(4 + BOUND):
            html = page(admin_client, reverse("admin:embeddings_providercall_changelist"))

        assert "1,234 ms" in html
        assert "rate limit" in html
        call = ProviderCall.objects.get(outcome="ok")
        assert "1,234 ms" in page(admin_client, reverse("admin:embeddings_providercall_change", args=[call.pk]))
