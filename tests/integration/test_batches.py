"""Batches and operations as people and programs see them: progress, admin, API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

import embeddings
from embeddings import operations, stats
from embeddings.api.progress import attach_batches
from embeddings.models import EmbeddingBatch, EmbeddingOperation, EmbeddingTask, Status
from embeddings.operating import Operator
from embeddings.operations import Changed
from tests.integration.conftest import dummy, wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import Post, Receipt

pytestmark = pytest.mark.django_db

API = "/api/embeddings/"
TASKS = "/admin/embeddings/embeddingtask/"


def make_batch(*statuses: Status, age_seconds: float = 600, ended_seconds_ago: float = 1, **values: Any) -> Any:
    batch = EmbeddingBatch.objects.create(name="upload", total=len(statuses), **values)
    EmbeddingBatch.objects.filter(pk=batch.pk).update(created_at=ago(age_seconds))
    for status in statuses:
        make_task(status, batch=batch, updated_at=ago(ended_seconds_ago))
    return batch


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def progress_of(batch: EmbeddingBatch) -> stats.BatchProgress:
    return stats.batch_progress([batch.pk])[batch.pk]


class TestProgress:
    def test_batch_progress__counts_all_states(self):
        batch = make_batch(*Status)

        progress = progress_of(batch)

        assert (progress.total, progress.open, progress.done, progress.failed, progress.cancelled) == (8, 4, 2, 1, 1)
        assert progress.share == 0.5
        assert progress.finished_at is None

    def test_batch_progress__eta_by_what_ended_in_the_last_minute(self):
        batch = make_batch(*[Status.COMPLETED] * 6, *[Status.PENDING] * 12)

        progress = progress_of(batch)

        assert progress.per_second == pytest.approx(0.1)
        assert progress.eta_seconds == pytest.approx(120)

    def test_batch_progress__eta_of_a_young_batch_is_by_its_age(self):
        batch = make_batch(*[Status.COMPLETED] * 6, *[Status.PENDING] * 12, age_seconds=30)

        assert progress_of(batch).eta_seconds == pytest.approx(60, rel=0.1)

    def test_batch_progress__eta_is_unknown_when_nothing_moves(self):
        batch = make_batch(Status.COMPLETED, Status.PENDING, ended_seconds_ago=61)

        assert progress_of(batch).eta_seconds is None

    def test_batch_progress__finished(self):
        batch = make_batch(Status.COMPLETED, Status.FAILED)
        last = EmbeddingTask.objects.order_by("updated_at").last()
        assert last

        progress = progress_of(batch)

        assert (progress.share, progress.eta_seconds, progress.finished_at) == (1.0, 0.0, last.updated_at)

    def test_batch_progress__what_left_a_batch_is_not_open(self):
        batch = make_batch(Status.COMPLETED, Status.COMPLETED, Status.PENDING)
        EmbeddingTask.objects.filter(status=Status.COMPLETED)[0].delete()

        progress = progress_of(batch)

        assert (progress.total, progress.done, progress.open) == (3, 1, 1)
        assert progress.share == pytest.approx(2 / 3)

    def test_batch_progress__of_many_in_two_queries(self, django_assert_num_queries):
        batches = [make_batch(Status.PENDING) for _ in range(5)]
        empty = make_batch()

        with django_assert_num_queries(2):
            found = stats.batch_progress([batch.pk for batch in batches] + [empty.pk, 999_999])

        assert set(found) == {batch.pk for batch in batches} | {empty.pk}
        assert found[empty.pk] == stats.BatchProgress(total=0)
        assert found[empty.pk].share == 1.0

    def test_batch_progress__is_read_from_one_index(self):
        batch = make_batch(*[Status.PENDING] * 50)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            cursor.execute(
                "EXPLAIN SELECT batch_id, status, COUNT(*), MAX(updated_at) FROM embeddings_embeddingtask"
                " WHERE batch_id IN (%s) GROUP BY 1, 2",
                [batch.pk],
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert "Index Only Scan using embeddings_task_batch" in plan

    def test_eta_seconds__of_an_operation_counts_what_is_not_read_yet(self):
        batch = make_batch(*[Status.COMPLETED] * 60, *[Status.PENDING] * 40)
        operation = EmbeddingOperation(rows_total=1000, rows_read=50, changed=100, batch=batch)

        # 1 task a second; 40 are open, and each of the 950 rows not read yet gives two.
        assert stats.eta_seconds(operation, progress_of(batch)) == pytest.approx(1940)


class TestOperations:
    def test_retry_failed__of_this_batch_alone(self):
        batch = make_batch(Status.FAILED, Status.FAILED, Status.CANCELLED, Status.COMPLETED)
        other = make_batch(Status.FAILED)

        assert operations.retry_failed(batch) == Changed(2, 0)

        assert (progress_of(batch).failed, progress_of(batch).open, progress_of(other).failed) == (0, 2, 1)

    def test_roll_back__leaves_what_somebody_else_wants(self):
        with embeddings.batch("upload") as batch:
            posts = [Post.objects.create(title=str(number)) for number in range(3)]
        posts[0].title = "edited since"
        posts[0].save()

        assert operations.roll_back(batch) == Changed(2, 1)

        assert EmbeddingTask.objects.get(status=Status.PENDING).object_id == str(posts[0].pk)


@pytest.mark.django_db(transaction=True)
def test_upload__goes_on_beside_edits_and_failures(workers):
    """The whole way of an upload: two vectors a receipt, one bad text, an edit of one that is done."""
    workers.started(providers=dummy())

    with embeddings.batch("upload 7") as batch:
        for number in range(30):
            Receipt.objects.create(merchant=f"m{number}", text="[[reject]]" if number == 3 else f"t{number}")

    wait_until(lambda: not progress_of(batch).open)
    progress = progress_of(batch)
    assert (progress.total, progress.done, progress.failed, progress.share) == (60, 59, 1, 1.0)
    assert progress.finished_at is not None
    bad = Receipt.objects.get(text="[[reject]]")
    bad.text = "mended"
    bad.save()
    wait_until(lambda: progress_of(batch).done == 60)


class TestAdmin:
    @pytest.fixture
    def staff(self, client: Client):
        def log_in(*codenames: str) -> Client:
            user = User.objects.create_user("staff", is_staff=True)
            user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
            client.force_login(user)
            return client

        return log_in

    def url(self, obj: Any) -> str:
        return reverse(f"admin:embeddings_{obj._meta.model_name}_change", args=[obj.pk])

    def test_batch__shows_its_time_left_and_refreshes_itself_while_open(self, admin_client):
        batch = make_batch(*[Status.COMPLETED] * 6, *[Status.PENDING] * 12)

        response = admin_client.get(self.url(batch))

        assert "</progress> 33%</span>, about 2 min left" in response.content.decode()
        assert response["Refresh"] == "5"
        EmbeddingTask.objects.filter(status=Status.PENDING).delete()
        assert "Refresh" not in admin_client.get(self.url(batch))

    def test_batch__retries_its_failed_tasks(self, staff):
        batch = make_batch(Status.FAILED, Status.COMPLETED)
        client = staff("view_embeddingbatch", "retry_embeddingtask")
        assert "Retry the failed tasks" in client.get(self.url(batch)).content.decode()

        response = client.post(self.url(batch), {"_action": "retry_failed"}, follow=True)

        assert "1 task will be tried again." in response.content.decode()
        assert not EmbeddingTask.objects.filter(status=Status.FAILED).exists()
        assert "Retry the failed tasks" not in client.get(self.url(batch)).content.decode()

    def test_batch__retries_nothing_without_the_permission(self, staff):
        batch = make_batch(Status.FAILED)
        client = staff("view_embeddingbatch")
        assert "Retry the failed tasks" not in client.get(self.url(batch)).content.decode()

        client.post(self.url(batch), {"_action": "retry_failed"})

        assert EmbeddingTask.objects.filter(status=Status.FAILED).exists()

    def test_operation__shows_both_halves(self, admin_client):
        batch = make_batch(*[Status.COMPLETED] * 3, Status.FAILED)
        operation = EmbeddingOperation.objects.create(
            kind="regenerate", target="testapp.post", batch=batch, by="ann", state="running", rows_total=10, rows_read=4
        )

        for url in (self.url(operation), reverse("admin:embeddings_embeddingoperation_changelist")):
            html = admin_client.get(url).content.decode()
            assert "40%</span>, 4 of about 10" in html
            assert "100%</span>, 3 of 4 vectors made, 1 failed" in html
            assert "ann" in html
        assert self.url(batch) in admin_client.get(self.url(operation)).content.decode()

    def test_operation_list__asks_the_same_for_many(self, admin_client, django_assert_num_queries):
        for number in range(3):
            batch = make_batch(Status.PENDING)
            EmbeddingOperation.objects.create(kind="regenerate", target=f"a.b{number}", batch=batch)

        # Four are for the list's time limit.
        with django_assert_num_queries(10):
            admin_client.get(reverse("admin:embeddings_embeddingoperation_changelist"))

    def test_operation__is_stopped_by_who_may(self, staff):
        operation = operations.regenerate(Post)
        client = staff("view_embeddingoperation", "stop_embeddingoperation")
        response = client.get(self.url(operation))
        assert response["Refresh"] == "5"
        assert ">Stop</button>" in response.content.decode()

        response = client.post(self.url(operation), {"_action": "stop_operations"}, follow=True)

        assert "1 operation was stopped." in response.content.decode()
        operation.refresh_from_db()
        assert operation.state == "stopped"
        assert ">Stop</button>" not in client.get(self.url(operation)).content.decode()

    def test_operation__is_not_stopped_without_the_permission(self, staff):
        operation = operations.regenerate(Post)
        client = staff("view_embeddingoperation")
        assert ">Stop</button>" not in client.get(self.url(operation)).content.decode()

        client.post(self.url(operation), {"_action": "stop_operations"})

        operation.refresh_from_db()
        assert operation.state == "waiting"


class TestAPI:
    @pytest.fixture
    def api(self):
        def log_in(*codenames: str) -> APIClient:
            user = User.objects.create_user("caller")
            user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
            client = APIClient()
            client.force_authenticate(user)
            return client

        return log_in

    def test_batches__newest_first_with_progress(self, api, django_assert_num_queries):
        batches = [make_batch(Status.PENDING, Status.COMPLETED) for _ in range(3)]
        client = api("view_embeddingbatch")

        # The user's and the groups' permissions, batches, their totals and ages, their tasks' counts.
        with django_assert_num_queries(5):
            data = client.get(f"{API}batches/", {"page_size": 2}).json()["data"]

        assert [one["id"] for one in data["results"]] == [batches[2].pk, batches[1].pk]
        assert data["results"][0]["progress"] == {
            "total": 2,
            "open": 1,
            "done": 1,
            "failed": 0,
            "cancelled": 0,
            "share": 0.5,
            "eta_seconds": pytest.approx(60),
            "finished_at": None,
        }
        last = client.get(data["next"]).json()["data"]
        assert [one["id"] for one in last["results"]] == [batches[0].pk]

    def test_batch__(self, api):
        batch = make_batch(Status.COMPLETED, parameters={"file": "a.csv"})

        data = api("view_embeddingbatch").get(f"{API}batches/{batch.pk}/").json()["data"]

        assert (data["name"], data["parameters"], data["progress"]["share"]) == ("upload", {"file": "a.csv"}, 1.0)
        assert data["progress"]["finished_at"]

    def test_batch__retry(self, api):
        batch = make_batch(Status.FAILED, Status.FAILED, Status.COMPLETED)
        client = api("retry_embeddingtask")

        data = client.post(f"{API}batches/{batch.pk}/retry/").json()["data"]

        assert data == {"changed": 2, "skipped": 0}
        assert client.post(f"{API}batches/{batch.pk}/retry/").json()["data"] == {"changed": 0, "skipped": 0}

    @pytest.mark.parametrize(
        ("method", "path", "permission"),
        [
            ("get", "batches/", "view_embeddingbatch"),
            ("get", "batches/1/", "view_embeddingbatch"),
            ("post", "batches/1/retry/", "retry_embeddingtask"),
            ("get", "operations/", "view_embeddingoperation"),
            ("post", "operations/", "add_embeddingoperation"),
            ("get", "operations/1/", "view_embeddingoperation"),
            ("post", "operations/1/stop/", "stop_embeddingoperation"),
        ],
    )
    def test_permissions__(self, api, method, path, permission):
        response = getattr(api(), method)(API + path)

        assert response.status_code == 403
        assert permission in response.json()["error"]["message"]
        assert getattr(APIClient(), method)(API + path).status_code in {401, 403}

    @pytest.mark.parametrize(
        ("method", "path", "message"),
        [
            ("get", "batches/99/", "There is no batch 99."),
            ("post", "batches/99/retry/", "There is no batch 99."),
            ("get", "operations/99/", "There is no operation 99."),
            ("post", "operations/99/stop/", "There is no operation 99."),
        ],
    )
    def test_missing__(self, api, method, path, message):
        client = api("view_embeddingbatch", "retry_embeddingtask", "view_embeddingoperation", "stop_embeddingoperation")

        response = getattr(client, method)(API + path)

        assert (response.status_code, response.json()["error"]["message"]) == (404, message)

    def test_operation__begun_watched_and_stopped(self, api):
        client = api("add_embeddingoperation", "view_embeddingoperation", "stop_embeddingoperation")

        response = client.post(f"{API}operations/", {"kind": "regenerate", "model": "testapp.post"}, format="json")

        assert response.status_code == 202
        begun = response.json()["data"]
        assert (begun["state"], begun["by"], begun["model"]) == ("waiting", "caller", "testapp.post")
        url = f"{API}operations/{begun['id']}/"
        assert client.get(url).json()["data"] == begun
        assert client.get(f"{API}operations/").json()["data"]["results"] == [begun]
        again = client.post(f"{API}operations/", {"kind": "regenerate", "model": "testapp.post"}, format="json")
        assert again.json()["data"]["id"] == begun["id"]
        assert client.post(f"{url}stop/").json()["data"]["state"] == "stopped"
        conflict = client.post(f"{url}stop/")
        assert conflict.status_code == 409
        assert conflict.json()["error"]["message"] == f"Operation {begun['id']} is stopped already."

    @pytest.mark.django_db(databases=["default", "other"])
    def test_operation__in_another_database_has_the_progress_of_its_own_batch(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}
        operation = operations.regenerate(Post, using="other")
        namesake = EmbeddingBatch.objects.create(pk=operation.batch_id, name="another", total=7)

        attach_batches([operation])

        assert (namesake.total, operation.progress.total) == (7, 0)

    def test_operation__stopped_with_what_it_has_queued(self, api):
        with embeddings.batch("upload"):
            Post.objects.create(title="in another batch")
        Post.objects.bulk_create([Post(title="new")])
        EmbeddingTask.objects.filter(batch=None).delete()
        operation = operations.requeue(Post)
        Operator("test").run()
        client = api("stop_embeddingoperation", "cancel_embeddingtask")

        client.post(f"{API}operations/{operation.pk}/stop/", {"cancel": True}, format="json")

        assert sorted(EmbeddingTask.objects.values_list("status", flat=True)) == ["cancelled", "pending"]

    def test_operation__cancels_nothing_without_the_permission(self, api):
        operation = operations.regenerate(Post)
        url = f"{API}operations/{operation.pk}/stop/"

        response = api("stop_embeddingoperation").post(url, {"cancel": True}, format="json")

        operation.refresh_from_db()
        assert (response.status_code, operation.state) == (403, "waiting")
        assert "cancel_embeddingtask" in response.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("body", "code", "message"),
        [
            ({"kind": "regenerate"}, "invalid", "model: This field is required."),
            ({"kind": "drop", "model": "testapp.post"}, "invalid", 'kind: "drop" is none of regenerate, requeue.'),
            ({"kind": "regenerate", "model": "testapp.post", "dry_run": True}, "invalid", "There is no 'dry_run'; "),
            ({"kind": "regenerate", "model": "auth.user"}, "impossible", "Nothing is embedded under 'auth.user'"),
        ],
    )
    def test_operation__that_cannot_be_begun(self, api, body, code, message):
        response = api("add_embeddingoperation").post(f"{API}operations/", body, format="json")

        assert response.status_code == 400
        assert response.json()["error"]["code"] == code
        assert message in response.json()["error"]["message"]

    def test_operation__while_embedding_is_off(self, api, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

        response = api("add_embeddingoperation").post(
            f"{API}operations/", {"kind": "requeue", "model": "testapp.post"}, format="json"
        )

        assert response.status_code == 400
        assert "switched off" in response.json()["error"]["message"]

    def test_schema__has_them(self, tmp_path):
        call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yml"))

        schema = (tmp_path / "schema.yml").read_text()
        for path in ("batches/", "batches/{batch_id}/retry/", "operations/", "operations/{operation_id}/stop/"):
            assert f"{API}{path}:" in schema
