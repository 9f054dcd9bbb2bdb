"""The pages that ask before an operation begins, and the operations' own pages."""

from __future__ import annotations

import re
import uuid

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client

from embeddings import operations, previews
from embeddings.admin import actions, bulk
from embeddings.models import AuditEvent, CensusCount, EmbeddingOperation, EmbeddingTask, ProviderCall, Status
from embeddings.operating import Operator
from embeddings.stats import census
from embeddings.stats.census import Coverage
from embeddings.task_filter import TaskFilter
from tests.ledger_rows import make_task
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db

LIST = "/admin/embeddings/embeddingtask/"
OPERATIONS = "/admin/embeddings/embeddingoperation/"
VERBS = ["retry", "cancel", "clear"]
BEGIN = {"token": str(uuid.uuid4())}
TARGET = "testapp.post.embedding"


def page(client: Client, url: str) -> str:
    response = client.get(url)

    assert response.status_code == 200
    return response.content.decode()


def text(html: str) -> str:
    """What a reader sees of a page, in one line."""
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def messages(response: HttpResponse) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def work() -> None:
    Operator("test").run()


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


@pytest.fixture
def covered(monkeypatch):
    """A census has been taken: 100 posts, 60 of them embedded."""
    post = Coverage(TARGET, "post", "default", rows=100, embedded=60, stale=5, missing=20, failed=7, empty=8)
    monkeypatch.setattr(census, "coverage", lambda: [post])


class TestList:
    def test_list__leads_to_all_that_match_its_filters(self, admin_client):
        html = page(admin_client, f"{LIST}?status__exact=failed&field=embedding&p=1")

        for verb in VERBS:
            assert f'href="{LIST}bulk/{verb}/?status__exact=failed&amp;field=embedding' in html

    def test_list__of_a_search_offers_nothing_for_all(self, admin_client):
        assert "bulk/" not in page(admin_client, f"{LIST}?q=12")

    @pytest.mark.parametrize("verb", VERBS)
    def test_list__offers_what_the_user_may_do(self, staff, verb):
        html = page(staff("view_embeddingtask", f"{verb}_embeddingtask"), LIST)

        assert re.findall("bulk/([a-z]+)/", html) == [verb]


class TestPreview:
    def test_retry__says_what_will_happen_and_to_which(self, admin_client):
        for _ in range(2):
            make_task(Status.FAILED, tokens_estimated=50)
        cancelled = make_task(Status.CANCELLED, tokens_estimated=50)
        CensusCount.objects.create(
            content_type_id=cancelled.content_type_id, field="embedding", status="completed", count=11, has_vector=True
        )

        html = text(page(admin_client, f"{LIST}bulk/retry/"))

        assert "3 tasks will be tried again at once" in html
        assert "Which All tasks" in html
        assert "2 failed, 1 cancelled" in html
        assert (
            "about 8 that match too. Only failed, cancelled, scheduled and rate limited tasks can be retried." in html
        )
        assert "Tokens about 150 Cost nothing" in html

    def test_clear__says_the_filter_in_words(self, admin_client):
        make_task(Status.FAILED, error_signature="input: <x>")

        html = page(admin_client, f"{LIST}bulk/clear/?status__exact=failed&signature=input%3A+%3Cx%3E")

        assert "Failed tasks, with the error &quot;input: &lt;x&gt;&quot;" in html
        assert 'value="Yes, clear 1 task"' in html
        assert "Tokens about" not in html

    def test_any__nothing_to_do_has_no_button(self, admin_client):
        make_task(Status.COMPLETED)

        html = page(admin_client, f"{LIST}bulk/cancel/")

        assert "There is nothing to cancel" in html
        assert 'type="submit" value="Yes' not in html

    def test_any__counts_that_were_stopped_say_so(self, admin_client, monkeypatch):
        monkeypatch.setattr(previews, "MOST_COUNTED", 2)
        for _ in range(3):
            make_task(Status.FAILED)

        assert "2+ tasks will be tried again" in page(admin_client, f"{LIST}bulk/retry/")

    def test_any__a_filter_that_is_not_known_is_refused_in_a_sentence(self, admin_client):
        make_task(Status.FAILED)

        response = admin_client.get(f"{LIST}bulk/retry/?status__in=failed", follow=True)

        assert response.redirect_chain[0][0] == LIST
        assert "The filter 'status__in' is not known here" in messages(response)

    def test_any__a_look_changes_nothing(self, admin_client):
        make_task(Status.FAILED)

        for verb in VERBS:
            page(admin_client, f"{LIST}bulk/{verb}/")

        assert not EmbeddingOperation.objects.exists()
        assert not AuditEvent.objects.exists()


class TestBegin:
    @pytest.mark.parametrize(("verb", "left"), [("retry", "pending"), ("cancel", "cancelled"), ("clear", None)])
    def test_begin__leads_to_the_operation_and_is_logged(self, admin_client, verb, left):
        task = make_task(Status.PENDING if verb == "cancel" else Status.FAILED)

        response = admin_client.post(f"{LIST}bulk/{verb}/?field=embedding", BEGIN)

        operation = EmbeddingOperation.objects.get()
        assert response.url == f"{OPERATIONS}{operation.pk}/change/"
        assert (operation.kind, operation.by) == (verb, "admin")
        assert operation.parameters["filter"] == {"field": "embedding"}
        assert LogEntry.objects.get().get_edited_object() == operation
        work()
        found = EmbeddingTask.objects.filter(pk=task.pk).values_list("status", flat=True).first()
        assert found == left

    def test_begin__sent_twice_begins_once(self, admin_client):
        make_task(Status.FAILED)

        first = admin_client.post(f"{LIST}bulk/retry/", BEGIN)
        work()
        make_task(Status.FAILED)
        second = admin_client.post(f"{LIST}bulk/retry/", BEGIN)

        assert first.url == second.url
        assert LogEntry.objects.count() == 1
        assert EmbeddingTask.objects.filter(status="failed").count() == 1

    @pytest.mark.parametrize("token", ["", "x"])
    def test_begin__without_its_token_asks_again(self, admin_client, token):
        make_task(Status.FAILED)

        response = admin_client.post(f"{LIST}bulk/retry/", {"token": token})

        assert "The form was not complete." in response.content.decode()
        assert not EmbeddingOperation.objects.exists()

    def test_begin__cannot_where_no_worker_would_do_it(self, admin_client, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
        make_task(Status.FAILED)

        response = admin_client.post(f"{LIST}bulk/retry/", BEGIN, follow=True)

        assert "no worker would do it" in messages(response)
        assert not EmbeddingOperation.objects.exists()

    def test_begin__who_may_not_see_operations_comes_back_to_the_list(self, staff):
        make_task(Status.FAILED)

        client = staff("view_embeddingtask", "retry_embeddingtask")
        response = client.post(f"{LIST}bulk/retry/?status__exact=failed", BEGIN, follow=True)

        assert response.redirect_chain[0][0] == f"{LIST}?status__exact=failed"
        assert "Workers do it now" in messages(response)


class TestTyped:
    @pytest.fixture(autouse=True)
    def _few_are_many(self, monkeypatch):
        monkeypatch.setattr(bulk, "TYPED_ABOVE", 2)
        for _ in range(3):
            make_task(Status.FAILED)

    def test_typed__asks_for_the_number_before_much_is_cleared(self, admin_client):
        html = page(admin_client, f"{LIST}bulk/clear/")

        assert "Type 3 to confirm" in html
        assert "to confirm" not in page(admin_client, f"{LIST}bulk/retry/")

    @pytest.mark.parametrize("typed", ["", "2", "many"])
    def test_typed__another_number_begins_nothing(self, admin_client, typed):
        response = admin_client.post(f"{LIST}bulk/clear/", {**BEGIN, "shown": "3", "typed": typed})

        html = response.content.decode()
        assert "Nothing has begun yet." in html
        assert f'value="{BEGIN["token"]}"' in html
        assert not EmbeddingOperation.objects.exists()

    def test_typed__cannot_be_left_out(self, admin_client):
        response = admin_client.post(f"{LIST}bulk/clear/", BEGIN)

        assert response.status_code == 200
        assert not EmbeddingOperation.objects.exists()

    @pytest.mark.parametrize("typed", ["3", " 3 ", "0,3"])
    def test_typed__the_number_begins_it(self, admin_client, typed):
        response = admin_client.post(f"{LIST}bulk/clear/", {**BEGIN, "shown": "3", "typed": typed})

        assert (response.status_code == 302) == (typed != "0,3")


class TestPermissions:
    @pytest.mark.parametrize("verb", VERBS)
    def test_bulk__each_needs_its_own(self, staff, verb):
        make_task(Status.FAILED)
        make_task(Status.PENDING)
        client = staff("view_embeddingtask", *(f"{other}_embeddingtask" for other in VERBS if other != verb))

        assert client.get(f"{LIST}bulk/{verb}/").status_code == 403
        assert client.post(f"{LIST}bulk/{verb}/", BEGIN).status_code == 403
        assert not EmbeddingOperation.objects.exists()
        for other in VERBS:
            assert other == verb or client.get(f"{LIST}bulk/{other}/").status_code == 200

    @pytest.mark.parametrize("permissions", [["view_embeddingtask"], ["retry_embeddingtask"]])
    def test_bulk__neither_alone_is_enough(self, staff, permissions):
        make_task(Status.FAILED)

        assert staff(*permissions).post(f"{LIST}bulk/retry/", BEGIN).status_code == 403

    def test_bulk__who_is_not_staff_is_sent_to_log_in(self, client):
        assert "/login/" in client.post(f"{LIST}bulk/retry/", BEGIN).url

    def test_bulk__unknown_verbs(self, admin_client):
        assert admin_client.get(f"{LIST}bulk/explode/").status_code == 403

    @pytest.mark.parametrize("way", ["requeue", "regenerate"])
    def test_begin__needs_its_own(self, staff, way, covered):
        client = staff("view_embeddingoperation", "view_embeddingtask", "retry_embeddingtask")

        assert "begin/" not in page(client, OPERATIONS)
        assert client.get(f"{OPERATIONS}begin/{way}/?target={TARGET}").status_code == 403
        assert client.post(f"{OPERATIONS}begin/{way}/?target={TARGET}", BEGIN).status_code == 403
        assert not EmbeddingOperation.objects.exists()

    def test_begin__is_enough_by_itself(self, staff, covered):
        client = staff("add_embeddingoperation", "view_embeddingoperation")
        data = {**BEGIN, "conditions": ["missing"], "priority": "low"}

        assert client.post(f"{OPERATIONS}begin/requeue/?target={TARGET}", data).status_code == 302
        assert EmbeddingOperation.objects.get().by == "staff"

    def test_clear__ticked_tasks_need_it_too(self, staff):
        task = make_task(Status.FAILED)
        data = {"action": "clear_tasks", "_selected_action": [str(task.pk)], "index": "0"}

        staff("view_embeddingtask", "retry_embeddingtask").post(LIST, data)

        assert EmbeddingTask.objects.filter(pk=task.pk).exists()


class TestActions:
    @pytest.fixture(autouse=True)
    def _few_are_many(self, monkeypatch):
        monkeypatch.setattr(actions, "MOST_AT_ONCE", 2)

    def run(self, client: Client, action: str, *tasks: EmbeddingTask, across: str = "1") -> HttpResponse:
        ticked = [str(task.pk) for task in tasks]
        data = {"action": action, "_selected_action": ticked, "index": "0", "select_across": across}
        return client.post(f"{LIST}?status__exact=failed", data)

    @pytest.mark.parametrize("verb", VERBS)
    def test_action__on_all_of_many_asks_and_does_it_in_the_background(self, admin_client, verb):
        task, *_ = (make_task(Status.FAILED) for _ in range(3))

        response = self.run(admin_client, f"{verb}_tasks", task)

        assert response.url == f"{LIST}bulk/{verb}/?status__exact=failed"
        assert EmbeddingTask.objects.filter(status="failed").count() == 3

    def test_action__on_all_of_few_or_on_what_is_ticked_is_done_at_once(self, admin_client):
        first, second = make_task(Status.FAILED), make_task(Status.FAILED)

        self.run(admin_client, "retry_tasks", first)
        assert EmbeddingTask.objects.filter(status="pending").count() == 2
        many = [make_task(Status.FAILED) for _ in range(4)]
        self.run(admin_client, "retry_tasks", *many[:3], across="0")

        assert EmbeddingTask.objects.filter(status="pending").count() == 5
        assert second.pk
        assert list(AuditEvent.objects.values_list("kind", "by").distinct()) == [("retried", "admin")]

    def test_clear__says_how_many_and_keeps_boxes(self, admin_client):
        failed, boxed = make_task(Status.FAILED), make_task(Status.FAILED, payload={"fields": {}})

        self.run(admin_client, "clear_tasks", failed, boxed, across="0")

        assert list(EmbeddingTask.objects.all()) == [boxed]
        assert LogEntry.objects.get().object_id == str(failed.pk)


class TestBeginPages:
    def test_begin__asks_of_which_target(self, admin_client):
        html = page(admin_client, f"{OPERATIONS}begin/requeue/")

        assert f'href="{OPERATIONS}begin/requeue/?target={TARGET}"' in html
        assert f'href="{OPERATIONS}begin/requeue/"' in page(admin_client, OPERATIONS)

    def test_requeue__says_what_is_missing_stale_and_failed(self, admin_client, covered):
        ProviderCall.objects.create(provider="default", model_id="m", inputs=1, tokens=50, latency_ms=1, outcome="ok")

        html = page(admin_client, f"{OPERATIONS}begin/requeue/?target={TARGET}&missing=1")

        assert f"Workers read all rows of {TARGET}" in html
        assert "Missing, stale and failed about 32 Tokens about 1,600" in text(html)
        assert re.findall(r'value="(\w+)" id="id_conditions_\d"( checked)?', html) == [
            ("missing", " checked"),
            ("stale", ""),
            ("failed", ""),
        ]
        assert "but no vector (about 20)" in html

    def test_regenerate__says_how_many_texts(self, admin_client, covered):
        html = text(page(admin_client, f"{OPERATIONS}begin/regenerate/?target={TARGET}"))

        assert "Rows with text about 92 Tokens not known yet" in html

    def test_requeue__begins_what_is_ticked(self, admin_client, covered):
        data = {**BEGIN, "conditions": ["missing", "failed"], "priority": "high"}

        response = admin_client.post(f"{OPERATIONS}begin/requeue/?target={TARGET}", data)

        operation = EmbeddingOperation.objects.get()
        assert response.url == f"{OPERATIONS}{operation.pk}/change/"
        assert operation.parameters == {"conditions": ["failed", "missing"], "priority": "high"}
        assert (operation.target, operation.by) == (TARGET, "admin")
        assert LogEntry.objects.get().change_message == "Begun."

    def test_requeue__nothing_ticked_is_said_and_the_rest_is_kept(self, admin_client, covered):
        response = admin_client.post(f"{OPERATIONS}begin/requeue/?target={TARGET}", {**BEGIN, "priority": "high"})

        html = response.content.decode()
        assert "Tick what is to be queued: at least one box." in html
        assert '<option value="high" selected>' in html
        assert not EmbeddingOperation.objects.exists()

    def test_regenerate__one_that_runs_already_is_shown(self, admin_client, covered):
        running = operations.regenerate(TARGET, by="bob")

        response = admin_client.post(
            f"{OPERATIONS}begin/regenerate/?target={TARGET}", {**BEGIN, "priority": "low"}, follow=True
        )

        assert response.redirect_chain[0][0] == f"{OPERATIONS}{running.pk}/change/"
        assert "runs already: this is it" in messages(response)
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize(
        ("query", "message"),
        [("target=testapp.nothing", "Nothing is embedded under"), (f"target={TARGET}&database=x", "no database 'x'")],
    )
    def test_begin__what_is_wrong_is_said(self, admin_client, covered, query, message):
        response = admin_client.get(f"{OPERATIONS}begin/requeue/?{query}", follow=True)

        assert message in messages(response)


class TestOperationPage:
    def test_page__says_what_of_what_and_who(self, admin_client):
        for _ in range(3):
            make_task(Status.FAILED)
        operation = operations.retry_matching(TaskFilter(statuses=("failed",)), by="ann")

        before = page(admin_client, f"{OPERATIONS}{operation.pk}/change/")
        work()
        after = page(admin_client, f"{OPERATIONS}{operation.pk}/change/")

        assert 'value="stop_operations"' in before
        assert "Failed tasks" in text(after)
        assert "3 of 3 retried" in text(after)
        assert "ann" in after
        assert "stop_operations" not in after
        assert "3 of 3 retried" in page(admin_client, OPERATIONS)

    def test_page__counts_what_was_skipped(self, admin_client):
        operation = operations.cancel_matching(TaskFilter())
        EmbeddingOperation.objects.update(rows_read=500, changed=420)

        html = page(admin_client, f"{OPERATIONS}{operation.pk}/change/")

        assert "420 of 500 cancelled, 80 skipped" in html

    def test_page__of_rows_says_the_conditions(self, admin_client):
        operation = operations.requeue(Post, conditions=["missing"])

        html = text(page(admin_client, f"{OPERATIONS}{operation.pk}/change/"))

        assert "testapp.post: what is missing" in html
        assert "nothing queued yet" in html
