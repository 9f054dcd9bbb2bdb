from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import strip_tags

from embeddings import live, stats
from embeddings.admin import panels
from embeddings.admin.places import Places
from embeddings.models import (
    Alert,
    EmbeddingOperation,
    EmbeddingTask,
    LiveSettings,
    Pause,
    ProviderQuota,
    ProviderState,
    Status,
    TargetMinute,
    WorkerStatus,
)
from embeddings.providers import get_provider
from embeddings.stats import Coverage
from tests.integration import sessions
from tests.ledger_rows import make_task
from tests.testapp.models import Memo, Post

pytestmark = pytest.mark.django_db(databases=["default", "other"])

OVERVIEW = "/admin/embeddings/overview/"
TASKS = "/admin/embeddings/embeddingtask/"


def html_of(client: Client, address: str = "") -> str:
    response = client.get(f"{OVERVIEW}{address}")

    assert response.status_code == 200
    return response.content.decode()


def sentence(html: str) -> str:
    """The first thing that the page says."""
    found = re.search(r'class="embeddings-condition[^>]*>\s*<h2>(.*?)</h2>', html, re.DOTALL)
    assert found is not None
    return found[1]


def text_of(html: str, heading: str) -> str:
    """What the panel with this id says."""
    found = re.search(rf'<section class="module[^>]*aria-labelledby="{heading}">(.*?)</section>', html, re.DOTALL)
    assert found is not None
    return " ".join(strip_tags(found[1]).split())


def make_worker(name: str = "host.1", *, heard_of_seconds: float = 0, **values: object) -> WorkerStatus:
    heard = timezone.now() - timedelta(seconds=heard_of_seconds)
    return WorkerStatus.objects.create(
        name=name, **{"started_at": heard - timedelta(hours=1), "heartbeat_at": heard, **values}
    )


def register(redis_client, *names: str) -> None:
    """As RQ's workers do."""
    for name in names:
        redis_client.sadd("rq:workers:embeddings", f"rq:worker:{name}")
        redis_client.hset(f"rq:worker:{name}", "state", "idle")


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
def worker(redis_client) -> WorkerStatus:
    register(redis_client, "host.1")
    return make_worker()


class TestCondition:
    def test_overview__of_nothing(self, admin_client, worker):
        assert sentence(html_of(admin_client)) == "There is nothing to embed yet."

    def test_overview__without_a_worker(self, admin_client, redis_client):
        make_task()

        html = html_of(admin_client)

        assert sentence(html) == "Nothing is working: no worker is alive, and 1 task waits."
        assert "Start one: manage.py rqworker embeddings" in html
        assert '<a id="ov-worst" href="/admin/embeddings/workerstatus/">' in html

    def test_overview__knows_what_another_process_of_the_site_has_changed(self, admin_client, worker, monkeypatch):
        LiveSettings.objects.create(alert_failed=1)
        ProviderQuota.objects.create(alias="default", requests_per_minute=77)
        make_task(Status.FAILED)
        monkeypatch.setattr(live.reading, "_read_at", float("-inf"))

        html = html_of(admin_client)

        assert sentence(html) == "1 task has failed for good."
        assert "77 requests a minute" in text_of(html, "ov-providers")

    def test_overview__of_a_blocked_provider(self, admin_client, worker):
        soon = timezone.now() + timedelta(seconds=30)
        ProviderState.objects.create(
            alias="default", blocked_reason="configuration", blocked_until=soon, last_error="<b>Wrong</b> key."
        )

        html = html_of(admin_client)

        assert sentence(html).startswith("Provider default is not called: it refuses every request.")
        assert "<b>Wrong</b>" not in html
        assert "configuration" in text_of(html, "ov-providers")

    def test_overview__of_a_pause(self, admin_client, worker):
        ends_at = timezone.now() + timedelta(minutes=10, seconds=30)
        Pause.objects.create(kind="everything", reason="The provider moves", by="ada", ends_at=ends_at)
        Pause.objects.create(kind="target", name="a.b.c", reason="over", ends_at=timezone.now())

        html = html_of(admin_client)

        assert sentence(html) == "Everything was paused by ada 0 s ago, for another 10 min: The provider moves."
        assert "Everything by ada, 0 s ago, for another 10 min: The provider moves" in text_of(html, "ov-pauses")
        assert "a.b.c" not in html

    def test_overview__without_redis(self, admin_client, worker, settings):
        settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:9/0", "SERIALIZER": "json"}}

        html = html_of(admin_client)

        assert sentence(html) == "Redis cannot be reached, so no new work would start."
        assert "cannot be reached" in text_of(html, "ov-health")

    def test_overview__lists_what_else_is_wrong(self, admin_client, redis_client, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ALERT_FAILED": 2}
        make_task()
        for _ in range(2):
            make_task(Status.FAILED)

        html = html_of(admin_client)

        assert sentence(html).startswith("Nothing is working")
        assert "<strong>2 tasks have failed for good.</strong>" in html

    def test_overview__lists_open_alerts(self, admin_client, worker):
        Alert.objects.create(kind="provider", subject="default", message="It failed.")
        Alert.objects.create(kind="no_worker", message="None.", over_at=timezone.now())

        html = html_of(admin_client)

        assert "provider blocked (default)" in html
        assert "no worker" not in html


class TestProviders:
    def test_providers__say_what_is_wrong_in_the_settings(self, admin_client, worker, settings):
        settings.EMBEDDING_PROVIDERS = {**settings.EMBEDDING_PROVIDERS, "broken": {"MODEL": "m"}}

        panel = text_of(html_of(admin_client), "ov-providers")

        assert "broken cannot be used" in panel

    def test_providers__are_paused_with_everything(self, admin_client, worker):
        Pause.objects.create(kind="everything", reason="The provider moves")

        panel = text_of(html_of(admin_client), "ov-providers")

        assert "everything is paused" in panel
        assert "available" not in panel


class TestPanels:
    def test_numbers__of_what_waits(self, admin_client, worker):
        make_task(requested_at=timezone.now() - timedelta(minutes=4, seconds=1))
        make_task(Status.PROCESSING)

        html = html_of(admin_client)

        numbers = re.findall(r"<dt>(.*?)</dt><dd>(.*?)<", html)
        assert numbers[:2] == [("waiting", "1"), ("oldest waits for", "4 min")]
        assert "and 1 in hand" in html

    def test_counts__lead_to_the_tasks(self, admin_client, worker):
        make_task(Status.COMPLETED)

        html = html_of(admin_client)

        assert f'<a id="ov-completed" href="{TASKS}?status__exact=completed">1</a>' in html
        assert f'<a id="ov-failed" href="{TASKS}?status__exact=failed">0</a>' in html

    def test_coverage__says_how_much_is_embedded(self, admin_client, worker):
        for number in range(3):
            Memo.objects.create(text=f"memo {number}")

        html = html_of(admin_client)

        assert 'href="/admin/embeddings/embeddingoperation/begin/requeue/?target=testapp.memo.embedding' not in html
        assert re.search(r"testapp\.memo\.embedding.*?0% of 3 rows with text 3 waiting", text_of(html, "ov-coverage"))

    def test_coverage__is_of_rows_with_text(self, admin_client, worker):
        memos = [Memo.objects.create(text=text) for text in ("one", "two", "")]
        EmbeddingTask.objects.all().delete()
        for memo in memos:
            status = Status.COMPLETED if memo.text else Status.EMPTY
            make_task(status, model=Memo, object_id=str(memo.pk), model_id=get_provider("default").model_id)

        panel = text_of(html_of(admin_client), "ov-coverage")

        assert "testapp.memo.embedding 100% of 2 rows with text" in panel, panel[panel.find("memo") :]

    def test_coverage__says_about_of_estimates(self):
        row = Coverage("a.b.c", "B", "default", rows=3_000, embedded=2_000, missing=1_000, is_estimate=True)

        request = HttpRequest()
        request.user = AnonymousUser()
        (shown,) = panels.coverage([row], Places(request, admin.site))["shown"]

        assert [part["text"] for part in shown["legend"]] == ["about 2,000 embedded", "about 1,000 missing"]

    def test_coverage__leads_to_embed_what_is_missing(self, admin_client, worker):
        Memo.objects.create(text="memo")
        EmbeddingTask.objects.all().delete()

        html = html_of(admin_client)

        begin = "/admin/embeddings/embeddingoperation/begin/requeue/?target=testapp.memo.embedding"
        assert f'href="{begin}&amp;missing=1&amp;stale=1"' in html
        assert "0% of 1 rows with text Embed missing… 1 missing" in text_of(html, "ov-coverage")

    def test_failures__are_grouped(self, admin_client, worker):
        for number in range(3):
            make_task(Status.FAILED, error_signature="one", error_message=f"<i>Refused</i> {number}")
        make_task(Status.FAILED, error_signature="two", error_kind="crash")

        html = html_of(admin_client)

        assert f'href="{TASKS}?status__exact=failed&amp;signature=one">3</a>' in html
        assert "<i>Refused" not in html
        assert 'href="/admin/embeddings/embeddingtask/bulk/retry/?status__exact=failed&amp;signature=one"' in html

    def test_charts__show_what_ended(self, admin_client, worker):
        minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
        TargetMinute.objects.create(target="testapp.post.embedding", minute=minute, completed=120, failed=3)

        html = html_of(admin_client)

        assert "<desc>completed: at most 120, last 0; failed: at most 3, last 0.</desc>" in html
        assert "completed 120" in text_of(html, "ov-charts")

    def test_workers__say_whom_redis_does_not_know(self, admin_client, redis_client):
        make_worker("known")
        make_worker("lost", state="active", claimed=256)
        make_worker("silent", heard_of_seconds=60)
        make_worker("ended", state="stopped")
        register(redis_client, "known", "stranger")

        html = html_of(admin_client)

        panel = text_of(html, "ov-workers")
        assert panel.startswith("Workers: 2 alive, 1 fell silent")
        assert "lost active unknown to Redis 256" in panel
        assert panel.count("unknown to Redis") == 1
        assert "silent here: stranger." in text_of(html, "ov-health")

    def test_operations__show_how_far_they_are(self, admin_client, worker):
        EmbeddingOperation.objects.create(kind="requeue", target="testapp.post", rows_total=200, rows_read=50, by="ada")
        done = {"state": "done", "finished_at": timezone.now()}
        EmbeddingOperation.objects.create(kind="regenerate", target="testapp.memo", **done)

        panel = text_of(html_of(admin_client), "ov-operations")

        assert "25% 50 of about 200, by ada" in panel
        assert "regenerate" not in panel

    def test_queue__is_linked_for_superusers(self, admin_client, worker):
        assert 'href="/django-rq/"' in html_of(admin_client)

    @pytest.mark.parametrize(
        ("address", "points"), [("", 60), ("?hours=24", 48), ("?hours=7", 60), ("?hours=x&refresh=y&charts=z", 60)]
    )
    def test_charts__are_of_an_hour_or_a_day(self, admin_client, worker, address, points):
        html = html_of(admin_client, f"{address}{'&' if address else '?'}charts=table")

        (table, *_) = re.findall(r'aria-label="Tasks that came to an end">(.*?)</table>', html, re.DOTALL)
        assert table.count('<th scope="row">') == points

    def test_charts__as_tables_keep_the_other_choices(self, admin_client, worker):
        html = html_of(admin_client, "?hours=24&refresh=off")

        assert 'id="ov-form" href="?hours=24&amp;charts=table&amp;refresh=off"' in html
        assert 'id="ov-refresh" href="?hours=24"' in html


class TestWithoutQueue:
    def test_overview__does_not_miss_redis(self, admin_client, worker, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "QUEUE_ENABLED": False}
        settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:9/0", "SERIALIZER": "json"}}

        assert "with the queue off it is not needed" in text_of(html_of(admin_client), "ov-health")
        assert "Redis" not in admin_client.get("/admin/embeddings/workerstatus/").content.decode()


class TestRefreshing:
    def test_overview__loads_itself_anew(self, admin_client, worker):
        html = html_of(admin_client, "?hours=24")

        assert f'hx-get="{OVERVIEW}?hours=24" hx-trigger="every 5s" hx-select="#embeddings-live"' in html
        assert "django_htmx/htmx" in html
        assert html.count('id="embeddings-live"') == 1

    def test_overview__stops_when_asked(self, admin_client, worker):
        html = html_of(admin_client, "?refresh=off")

        assert "hx-" not in html
        assert "django_htmx" not in html
        assert "overview.js" not in html
        assert "It does not load itself anew." in html

    def test_overview__does_without_htmx(self, admin_client, worker, monkeypatch):
        is_installed = apps.is_installed
        monkeypatch.setattr(apps, "is_installed", lambda name: name != "django_htmx" and is_installed(name))

        html = html_of(admin_client)

        assert "hx-" not in html
        assert "htmx.min.js" not in html
        assert "overview.js" not in html
        assert "Load it anew" in html

    def test_overview__gives_every_link_an_id_to_keep_the_focus(self, admin_client, worker):
        make_task(Status.FAILED)
        Pause.objects.create(kind="target", name="testapp.post.embedding", reason="x")

        html = html_of(admin_client)

        live = html.partition('id="embeddings-live"')[2].partition("<footer")[0]
        links = re.findall(r"<a [^>]*>", live)
        ids = [found[1] for link in links if (found := re.search(r'id="([^"]+)"', link))]
        assert len(links) > 10
        assert len(ids) == len(links)
        assert len(set(ids)) == len(ids)


class TestPermissions:
    def test_overview__for_who_may_see_tasks(self, staff, worker):
        make_task(Status.FAILED, error_signature="one")
        Memo.objects.create(text="memo")

        html = html_of(staff("view_embeddingtask"))

        assert f'<a id="ov-failed" href="{TASKS}?status__exact=failed">1</a>' in html
        for address in ("/begin/", "/bulk/", "/django-rq/", "/workerstatus/", "/providerstate/"):
            assert address not in html

    def test_pauses__are_resumed_by_who_may(self, staff, worker):
        Pause.objects.create(kind="target", name="testapp.post.embedding", reason="x")

        client = staff("view_embeddingtask", "view_pause")

        assert "Resume" not in text_of(html_of(client), "ov-pauses")

    def test_overview__for_nobody_else(self, client, staff, worker):
        assert client.get(OVERVIEW).status_code == 302
        assert staff("view_workerstatus").get(OVERVIEW).status_code == 403

    def test_overview__is_only_read(self, admin_client, worker):
        assert admin_client.post(OVERVIEW).status_code == 405

    def test_overview__is_linked_from_the_index(self, admin_client, worker):
        assert OVERVIEW in admin_client.get("/admin/").content.decode()
        assert "How things stand: the overview" in admin_client.get("/admin/embeddings/").content.decode()

    def test_index__does_not_link_it_for_others(self, staff, worker):
        assert OVERVIEW not in staff("view_workerstatus").get("/admin/embeddings/").content.decode()


class TestQueries:
    def test_overview__asks_no_more_where_there_is_more(self, admin_client, redis_client):
        html_of(admin_client)  # content types are cached from here on

        few = self._queries(admin_client)
        for number in range(30):
            make_worker(f"host.{number}")
            make_task(Status.FAILED, error_signature=f"cause {number}")
            EmbeddingOperation.objects.create(kind="requeue", target=f"testapp.post{number}")
            Alert.objects.create(kind="provider", subject=f"p{number}", message="It failed.")
        many = self._queries(admin_client)

        # The examples of failures.
        assert len(many) <= len(few) + 1
        assert not [sql for sql in many if sql.startswith(("INSERT", "UPDATE", "DELETE"))]

    def _queries(self, client: Client) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            html_of(client)
        return [query["sql"] for query in queries]


class TestLedgerHealth:
    def test_ledger_health__of_each_database(self, settings):
        settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}

        found = stats.ledger_health()

        assert [one.using for one in found] == ["default", "other"]
        assert found[0].index_bytes > 0

    @pytest.mark.django_db(transaction=True)
    def test_ledger_health__names_the_oldest_transaction(self):
        with sessions.session() as other:
            other.execute("BEGIN")
            other.execute("SELECT pg_sleep(0.05)")
            (health,) = stats.ledger_health()

            assert health.oldest_pid == other.info.backend_pid
            assert health.oldest_seconds is not None
            assert health.oldest_seconds >= 0.05
            other.execute("ROLLBACK")

        (later,) = stats.ledger_health()
        assert later.oldest_pid != health.oldest_pid


def test_situation__looks_at_one_model_and_all(worker):
    make_task(model=Post)
    make_task(Status.SCHEDULED, model=Memo)

    now = stats.situation()

    assert (now.waiting, now.in_hand) == (2, 0)
    assert [one.name for one in now.workforce.alive] == ["host.1"]
