from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from embeddings import histogram, limiter, pauses, stats
from embeddings.models import (
    Alert,
    Pause,
    ProviderState,
    ProviderTotal,
    Status,
    TargetTotal,
    WebhookDelivery,
    WebhookEndpoint,
    WorkerStatus,
)
from embeddings.monitoring import prometheus
from tests.integration import sessions
from tests.integration.conftest import dummy
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(databases=["default", "other"])

TOKEN = "a-token-of-a-test"
# Of a scrape, whatever the ledger holds; measured, and a little more.
MOST_QUERIES = 40

Sample = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture(autouse=True)
def _read_anew(settings) -> None:
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "METRICS_TOKEN": TOKEN}
    prometheus.collector.forget()


@pytest.fixture
def no_redis(settings) -> None:
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:9/0", "SERIALIZER": "json"}}


def get(client: Client, token: str = TOKEN, **headers: str):
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}", **headers})


def scraped(client: Client) -> dict[Sample, float]:
    """{(name, labels): value}, as Prometheus reads it."""
    prometheus.collector.forget()
    response = get(client)
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def value(samples: dict[Sample, float], name: str, /, **labels: str) -> float | None:
    return samples.get((f"embeddings_{name}", tuple(sorted(labels.items()))))


# Who may read.


def test_metrics__needs_the_token_or_a_permission(client):
    answers = [client.get("/metrics"), get(client, token="another-token-of"), get(client, token="")]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")
    assert b"METRICS_TOKEN" in answers[0].content
    assert get(client).status_code == 200


def test_metrics__without_a_token_in_the_settings_an_empty_one_opens_nothing(client, settings):
    settings.EMBEDDINGS = {"METRICS_TOKEN": ""}

    assert get(client, token="").status_code == 401


def test_metrics__for_users_with_the_permission_alone(client):
    user = User.objects.create_user("reader")
    client.force_login(user)
    refused = client.get("/metrics")

    user.user_permissions.add(Permission.objects.get(codename="view_embeddingtask"))
    allowed = client.get("/metrics")

    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert b"embeddings.view_embeddingtask" in refused.content


def test_metrics__is_only_read(client):
    assert client.post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405


# What it says.


def test_metrics__tasks_and_how_long_they_wait(client):
    make_task(Status.PENDING, requested_at=timezone.now() - timedelta(seconds=90))
    make_task(Status.FAILED)
    make_task(Status.FAILED)

    samples = scraped(client)

    by_status = {status: value(samples, "tasks", status=status) for status in ("pending", "failed", "completed")}
    assert by_status == {"pending": 1, "failed": 2, "completed": 0}
    assert value(samples, "oldest_waiting_seconds") == pytest.approx(90, abs=10)
    assert value(samples, "census_age_seconds") == 0
    assert value(samples, "census_estimate") == 0
    objects = {"target": "testapp.post.embedding", "database": "default"}
    assert value(samples, "target_objects", state="failed", **objects) == 2
    assert value(samples, "target_objects", state="waiting", **objects) == 1


def test_metrics__totals_and_histograms(client):
    counts = [0, 2, *histogram.empty()[2:-1], 1]
    TargetTotal.objects.create(
        target="a.b.c", completed=3, failed=1, attempts_failed=4, waiting=counts, seconds=20_000.5
    )
    ProviderTotal.objects.create(
        provider="default", requests=9, failed=3, rate_limited=1, inputs=70, tokens=800, cost="0.125", latency=[]
    )

    samples = scraped(client)

    assert value(samples, "tasks_completed_total", target="a.b.c") == 3
    assert value(samples, "tasks_failed_total", target="a.b.c") == 1
    assert value(samples, "attempts_failed_total", target="a.b.c") == 4
    buckets = [value(samples, "task_seconds_bucket", target="a.b.c", le=le) for le in ("0.01", "0.02", "+Inf")]
    assert buckets == [0, 2, 3]
    assert value(samples, "task_seconds_count", target="a.b.c") == 3
    assert value(samples, "task_seconds_sum", target="a.b.c") == 20_000.5
    made = [
        value(samples, "provider_requests_total", provider="default", outcome=o) for o in ("ok", "rate_limit", "error")
    ]
    assert made == [6, 1, 2]
    assert value(samples, "provider_inputs_total", provider="default") == 70
    assert value(samples, "provider_tokens_total", provider="default") == 800
    assert value(samples, "provider_cost_dollars_total", provider="default") == 0.125
    assert value(samples, "provider_request_seconds_count", provider="default") == 0


def test_metrics__of_what_is_blocked_and_paused(client, settings):
    settings.EMBEDDING_PROVIDERS = dummy() | {"other": dummy()["default"]}
    limiter.misconfigured("default", "The key is wrong.")
    limiter.rate_limited("other", 60.0, "Slow down.")
    pauses.pause(Pause.Kind.PROVIDER, "other", reason="A test", by="ann")

    samples = scraped(client)

    reasons = ("rate_limit", "quota", "circuit", "configuration")
    assert [value(samples, "provider_blocked", provider="default", reason=one) for one in reasons] == [0, 0, 0, 1]
    assert [value(samples, "provider_blocked", provider="other", reason=one) for one in reasons] == [1, 0, 0, 0]
    assert value(samples, "paused", kind="provider", name="other") == 1
    assert value(samples, "health_level") == stats.health().exit_code > 0


def test_metrics__a_rest_that_is_over_blocks_nothing(client):
    limiter.rate_limited("default", 0.0, "Slow down.")
    ProviderState.objects.update(blocked_until=Now() - timedelta(seconds=1))

    assert value(scraped(client), "provider_blocked", provider="default", reason="rate_limit") == 0


def test_metrics__of_quotas(client, settings, redis_client):
    provider = {**dummy()["default"], "REQUESTS_PER_MINUTE": 600, "TOKENS_PER_MINUTE": 9_000}
    settings.EMBEDDING_PROVIDERS = {"default": provider}

    samples = scraped(client)

    assert value(samples, "provider_quota_used", provider="default", quota="requests") == 0
    assert value(samples, "provider_quota_limit", provider="default", quota="requests") == 600
    assert value(samples, "provider_quota_limit", provider="default", quota="tokens") == 9_000


def test_metrics__of_workers_and_the_queue(client, redis_client):
    now = timezone.now()
    for name, state, seconds in (("a", "active", 0), ("b", "idle", 0), ("c", "idle", 600), ("d", "stopped", 0)):
        heartbeat_at = now - timedelta(seconds=seconds)
        WorkerStatus.objects.create(name=name, state=state, started_at=now, heartbeat_at=heartbeat_at)
    redis_client.rpush("rq:queue:embeddings", "a", "b")

    samples = scraped(client)

    states = {state: value(samples, "workers", state=state) for state in ("active", "idle", "error", "silent")}
    assert states == {"active": 1, "idle": 1, "error": 0, "silent": 1}
    assert value(samples, "workers_alive") == 2
    assert value(samples, "queue_messages") == 2
    assert (value(samples, "redis_up"), value(samples, "up")) == (1, 1)


def test_metrics__of_alerts_and_webhooks(client):
    Alert.objects.create(kind=Alert.Kind.NO_WORKER, message="No worker.", seen_at=timezone.now())
    endpoints = [
        WebhookEndpoint(name="well", url="https://example.com", events=[], secret="s"),
        WebhookEndpoint(name="failing", url="https://example.com", events=[], failing_since=timezone.now()),
        WebhookEndpoint(
            name="off", url="https://example.com", events=[], is_enabled=False, failing_since=timezone.now()
        ),
    ]
    WebhookEndpoint.objects.bulk_create(endpoints)
    for number, (state, seconds) in enumerate((("waiting", 30), ("waiting", 10), ("failed", 99))):
        WebhookDelivery.objects.create(
            endpoint=endpoints[0],
            kind="task.failed",
            message_id=str(number),
            payload={},
            state=state,
            available_at=timezone.now() - timedelta(seconds=seconds),
        )

    samples = scraped(client)

    assert value(samples, "alerts", kind="no_worker") == 1
    assert [value(samples, "webhook_endpoints", state=s) for s in ("enabled", "failing", "disabled")] == [1, 1, 1]
    assert value(samples, "webhook_deliveries", state="waiting") == 2
    assert value(samples, "webhook_latest_deliveries", state="failed") == 1
    assert value(samples, "webhook_oldest_waiting_seconds") == pytest.approx(30, abs=10)


def test_metrics__in_the_openmetrics_format(client):
    make_task()

    response = get(client, Accept="application/openmetrics-text; version=1.0.0")

    assert response["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics(response.content.decode())}
    assert {"embeddings_tasks", "embeddings_tasks_completed", "embeddings_up"} <= names


def test_metrics__name_no_worker_and_no_object(client):
    WorkerStatus.objects.create(name="canary.1", started_at=timezone.now(), heartbeat_at=timezone.now())
    make_task(object_id="canary-2")
    limiter.misconfigured("default", "canary 3")

    scraped(client)

    assert b"canary" not in get(client).content


# What it costs, and what it does without the database or Redis.


def test_metrics__are_kept_for_two_seconds(client):
    make_task()
    get(client)

    with CaptureQueriesContext(
        connection,
    ) as captured:
        get(client)

    assert not captured


def test_metrics__need_no_more_queries_for_more_tasks(client):
    scraped(client)  # Content types are read once a process.
    with CaptureQueriesContext(connection) as few:
        scraped(client)
    for _ in range(30):
        make_task()

    with CaptureQueriesContext(connection) as many:
        scraped(client)

    assert len(many) == len(few) <= MOST_QUERIES


def test_metrics__without_redis(client, no_redis):
    make_task()

    samples = scraped(client)

    assert (value(samples, "up"), value(samples, "redis_up")) == (0, 0)
    assert value(samples, "tasks", status="pending") == 1
    assert value(samples, "queue_messages") is None
    assert value(samples, "health_level") == 2


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_metrics__without_the_database(client, redis_client):
    redis_client.rpush("rq:queue:embeddings", "a")

    with sessions.no_database():
        samples = scraped(client)

    assert (value(samples, "up"), value(samples, "redis_up"), value(samples, "health_level")) == (0, 1, 2)
    assert value(samples, "queue_messages") == 1
    assert value(samples, "tasks", status="pending") is None


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_metrics__that_cannot_be_read_leave_the_others(client, redis_client):
    make_task()
    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_alert RENAME TO embeddings_elsewhere")
        try:
            samples = scraped(client)
        finally:
            other.execute("ALTER TABLE embeddings_elsewhere RENAME TO embeddings_alert")

    assert (value(samples, "up"), value(samples, "tasks", status="pending")) == (0, 1)
    assert value(samples, "workers_alive") == 0


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_metrics__for_a_login_without_the_database(client):
    client.force_login(User.objects.create_user("reader"))

    with sessions.no_database():
        response = client.get("/metrics")

    assert response.status_code == 503
    assert b"127.0.0.1" not in response.content
