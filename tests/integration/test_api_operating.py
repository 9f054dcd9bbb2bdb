"""The API for operators and monitors: health, figures, workers, providers, pauses, settings, alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now, TruncMinute
from django.utils import timezone
from rest_framework.test import APIClient

from embeddings import histogram, live, pauses
from embeddings.models import (
    Alert,
    AuditEvent,
    EmbeddingTask,
    Pause,
    ProviderMinute,
    ProviderState,
    Status,
    TargetMinute,
    WorkerStatus,
)
from embeddings.providers.dummy import DummyProvider
from tests.integration.conftest import dummy
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(databases=["default", "other"])

API = "/api/embeddings/"
VIEW = "view_embeddingtask"
LATER = "2035-01-31T18:00:00Z"


@pytest.fixture(autouse=True)
def _empty_redis(redis_client: Any) -> None:
    """Nobody else's workers, nor what other tests have used of a quota."""


@pytest.fixture
def client() -> APIClient:
    return client_of(User.objects.create_superuser("root"))


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def with_permissions(*codenames: str) -> APIClient:
    user = User.objects.create_user("operator")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames, content_type__app_label="embeddings"))
    return client_of(User.objects.get(pk=user.pk))


def get(client: APIClient, path: str, **parameters: Any) -> Any:
    response = client.get(API + path, parameters)
    assert response.status_code == 200, response.content
    return response.json()["data"]


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.content
    assert response.json()["success"] is False
    message: str = response.json()["error"]["message"]
    return message


def make_worker(name: str, *, seconds_ago: float = 0.0, **values: Any) -> WorkerStatus:
    heartbeat_at = timezone.now() - timedelta(seconds=seconds_ago)
    return WorkerStatus.objects.create(name=name, started_at=heartbeat_at, heartbeat_at=heartbeat_at, **values)


def block(alias: str = "default", reason: str = "circuit") -> None:
    until = timezone.now() + timedelta(hours=1)
    ProviderState.objects.create(alias=alias, blocked_reason=reason, blocked_until=until, last_error="503: busy")


# Who may do what.

READING = {
    "health/": VIEW,
    "stats/": VIEW,
    "metrics/": VIEW,
    "workers/": "view_workerstatus",
    "providers/": "view_providerstate",
    "providers/default/": "view_providerstate",
    "pauses/": "view_pause",
    "settings/": "view_livesettings",
    "alerts/": "view_alert",
}
WRITING = {
    ("post", "providers/default/pause/"): "set_pause",
    ("post", "providers/default/resume/"): "resume_providerstate",
    ("post", "providers/default/ping/"): "add_directtext",
    ("post", "pauses/"): "set_pause",
    ("delete", "pauses/?kind=everything"): "set_pause",
}


@pytest.mark.parametrize("path", READING)
def test_get__takes_its_permission_and_says_which(path):
    make_worker("w")
    others = set(READING.values()) - {READING[path]}

    message = problem(with_permissions(*others).get(API + path), 403)

    assert message == f"This needs the permission embeddings.{READING[path]}."


@pytest.mark.parametrize("path", READING)
def test_get__with_its_permission_alone(path):
    make_worker("w")

    response = with_permissions(READING[path]).get(API + path)

    assert response.status_code == 200, response.content


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_write__takes_its_permission_and_says_which(method, path):
    needed = WRITING[method, path]
    others = {*READING.values(), *WRITING.values()} - {needed}
    block()

    message = problem(getattr(with_permissions(*others), method)(API + path, {"reason": "x"}, format="json"), 403)

    assert message == f"This needs the permission embeddings.{needed}."
    assert not Pause.objects.exists()
    assert ProviderState.objects.get().blocked_reason == "circuit"


@pytest.mark.parametrize("path", READING)
def test_get__asks_who_is_there(path):
    problem(APIClient().get(API + path), 403)


# Health.


def test_health__well(client):
    make_worker("w")

    data = get(client, "health/")

    assert data == {
        "level": "well",
        "sentence": "There is nothing to embed yet.",
        "advice": "Save an object of a model with an embedding, or queue what is there: manage.py requeue_missing.",
        "healthy": True,
        "waiting": 0,
        "active": 0,
        "failed": 0,
        "waitingSeconds": None,
        "perSecond": 0.0,
        "workers": 1,
        "redis": True,
    }


def test_health__down_is_503_with_the_same_body(client, caplog):
    make_task(Status.PENDING)

    response = client.get(f"{API}health/")

    data = response.json()["data"]
    assert response.status_code == 503
    assert (data["level"], data["healthy"], data["waiting"], data["workers"]) == ("down", False, 1, 0)
    assert data["sentence"] == "Nothing is working: no worker is alive, and 1 task waits."
    assert data["advice"] == "Start one: manage.py rqworker embeddings"
    assert caplog.records == []  # an error is mailed to ADMINS


@pytest.mark.parametrize(("failed", "is_healthy"), [(99, True), (100, False)])
def test_health__is_not_healthy_with_a_hundred_failed_tasks(client, failed, is_healthy):
    make_worker("w")
    make_task(Status.FAILED)
    copies(failed - 1)

    data = get(client, "health/")

    assert (data["failed"], data["healthy"]) == (failed, is_healthy)


def copies(number: int) -> None:
    """More of the task that is there, in one statement."""
    task = EmbeddingTask.objects.get()
    values = {field.attname: getattr(task, field.attname) for field in task._meta.concrete_fields if field.name != "id"}
    EmbeddingTask.objects.bulk_create(
        EmbeddingTask(**{**values, "object_id": f"copy {count}"}) for count in range(number)
    )


# Figures.


def test_stats__tells_counts_coverage_and_failures(client):
    failed, pending = make_task(Status.FAILED), make_task(Status.PENDING)

    data = get(client, "stats/")

    counts = data["counts"]["byStatus"]
    assert set(counts) == set(Status.values)
    assert (counts["failed"], counts["pending"], counts["completed"]) == (1, 1, 0)
    assert (data["counts"]["countedAt"], data["counts"]["isEstimate"]) == (None, False)
    assert (data["waiting"], data["active"], data["perSecond"], data["etaSeconds"]) == (1, 0, 0.0, None)
    assert data["waitingSeconds"] >= 0.0
    (group,) = data["failures"]
    assert (group["count"], group["taskIds"], group["kind"], group["class"]) == (
        1,
        [failed.pk],
        "input",
        "InputRejected",
    )
    of_posts = next(each for each in data["coverage"] if each["target"] == "testapp.post.embedding")
    parts = ("embedded", "stale", "waiting", "missing", "empty", "failed", "cancelled")
    assert {part: of_posts[part] for part in parts if of_posts[part]} == {"waiting": 1, "failed": 1}
    assert pending.pk


def minute(model: Any, minutes_ago: int, **values: Any) -> None:
    model.objects.create(minute=TruncMinute(Now()) - timedelta(minutes=minutes_ago), **values)


def durations(seconds: float, count: int = 1) -> list[int]:
    counts = histogram.empty()
    for _ in range(count):
        histogram.add(counts, seconds)
    return counts


def test_metrics__of_the_last_hour(client):
    minute(TargetMinute, 0, target="testapp.post.embedding", completed=5, failed=1, waiting=durations(0.3, 5))
    minute(TargetMinute, 70, target="testapp.post.embedding", completed=100)
    minute(ProviderMinute, 3, provider="default", requests=4, failed=1, inputs=9, tokens=70, cost="0.5")

    data = get(client, "metrics/")

    assert data["intervalSeconds"] == 60.0
    assert (data["tasks"]["completed"], data["tasks"]["failed"]) == (5, 1)
    assert 0.15 <= data["tasks"]["waiting"]["p50"] <= 0.6
    assert len(data["tasks"]["points"]) == 60
    assert data["tasks"]["points"][-1]["completed"] == 5
    assert data["tasks"]["points"][0] | {"start": None} == {"start": None, "completed": 0, "failed": 0, "seconds": None}
    (of_default,) = data["providers"]
    numbers = {name: value for name, value in of_default.items() if name not in {"points", "latency"}}
    assert numbers == {
        "provider": "default",
        "completed": 3,
        "failed": 1,
        "rateLimited": 0,
        "inputs": 9,
        "tokens": 70,
        "cost": 0.5,
    }


def test_metrics__of_an_earlier_time_alone(client):
    for minutes_ago in (0, 59, 60, 119, 120, 121):
        minute(TargetMinute, minutes_ago, target="testapp.post.embedding", completed=1)
    now = timezone.now()

    data = get(
        client,
        "metrics/",
        **{"from": (now - timedelta(hours=2)).isoformat(), "to": (now - timedelta(hours=1)).isoformat()},
        points=4,
    )

    assert data["intervalSeconds"] == 900.0
    assert [point["completed"] for point in data["tasks"]["points"]] == [1, 0, 0, 1]


def test_metrics__of_one_target_and_one_provider(client, settings):
    settings.EMBEDDING_PROVIDERS = {**dummy(), "second": dummy()["default"]}
    minute(TargetMinute, 0, target="testapp.post.embedding", completed=5)
    minute(TargetMinute, 0, target="testapp.memo.embedding", completed=7)
    minute(ProviderMinute, 0, provider="default", requests=4)

    data = get(client, "metrics/", target="testapp.memo.embedding", provider="second")

    assert data["tasks"]["completed"] == 7
    assert [(one["provider"], one["completed"]) for one in data["providers"]] == [("second", 0)]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"from": "x"}, "from: Datetime has wrong format."),
        ({"from": "2035-01-01T00:00:00Z"}, "from: It must not be later than `to`, or now."),
        ({"from": "2020-01-01", "to": "2020-01-09"}, "from: "),
        ({"from": "2020-01-01T00:00:00Z", "to": "2020-01-08T00:00:01Z"}, "from: Ask for at most 7 days at once"),
        ({"to": "0001-01-01T00:00:00Z"}, "to: Nothing was measured before the year 2000."),
        ({"points": 0}, "points: Ensure this value is greater than or equal to 1."),
        ({"points": 1441}, "points: Ensure this value is less than or equal to 1440."),
        ({"target": "testapp.nothing.embedding"}, "target: There is no target 'testapp.nothing.embedding'; there are "),
        ({"provider": "nobody"}, "provider: There is no provider 'nobody'; there are default."),
        ({"provider": "\0"}, "provider: Null characters are not allowed."),
    ],
)
def test_metrics__say_which_parameter_is_wrong(client, parameters, said):
    assert problem(client.get(f"{API}metrics/", parameters), 400).startswith(said)


# Workers.


def test_workers__tell_the_living_from_the_silent(client):
    make_worker("busy", state="active", claimed=3, completed=7, failed=1, last_error="boom", hostname="h", pid=12)
    make_worker("gone", seconds_ago=300)
    make_worker("ended", state="stopped")

    data = get(client, "workers/")

    assert (data["alive"], data["redis"], data["onlyInRedis"]) == (1, True, [])
    busy, gone = data["workers"]
    heard = {name: busy.pop(name) for name in ("heartbeatAt", "startedAt", "heartbeatSeconds")}
    assert 0.0 <= heard["heartbeatSeconds"] < 30.0
    assert busy == {
        "name": "busy",
        "state": "active",
        "hostname": "h",
        "pid": 12,
        "inHand": 3,
        "completed": 7,
        "failed": 1,
        "rateLimited": 0,
        "lastError": "boom",
        "isKnownToRedis": False,
    }
    assert (gone["name"], gone["state"]) == ("gone", "silent")
    assert gone["heartbeatSeconds"] >= 300


def test_workers__without_redis(client, settings):
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:1/0", "SERIALIZER": "json"}}
    make_worker("w")

    data = get(client, "workers/")

    assert data["redis"] is False
    assert data["workers"][0]["isKnownToRedis"] is None


# Providers.

QUOTAS = {"REQUESTS_PER_MINUTE": 500, "OPTIONS": {"API_KEY": "sk-secret"}}


def test_providers__tell_their_state_and_never_a_key(client, settings):
    settings.EMBEDDING_PROVIDERS = {"default": dummy()["default"] | QUOTAS, "broken": {"BACKEND": "x"}}
    block()

    data = get(client, "providers/")

    first, broken = data["providers"]
    assert first["until"] > timezone.now().isoformat()
    assert first | {"until": None} == {
        "alias": "default",
        "modelId": "dummy",
        "dimensions": 256,
        "state": "circuit",
        "meaning": "It failed several times in a row; it is asked again from time to time.",
        "until": None,
        "failuresInARow": 0,
        "lastError": "503: busy",
        "quota": {"requests": {"used": 0, "limit": 500}},
    }
    assert (broken["state"], broken["modelId"], broken["quota"]) == ("unusable", None, None)
    assert "EMBEDDING_PROVIDERS['broken'] needs MODEL" in broken["meaning"]
    assert "sk-secret" not in str(data)


def test_providers__one_that_is_not_configured_any_more(client):
    block("removed")

    data = get(client, "providers/removed/")

    assert (data["state"], data["modelId"]) == ("unusable", None)


@pytest.mark.parametrize("path", [f"providers/nobody/{verb}" for verb in ("", "pause/", "resume/", "ping/")])
def test_providers__of_nobody(client, path):
    method = client.get if path == "providers/nobody/" else client.post

    message = problem(method(API + path, {"reason": "x"}), 404)

    assert message == "There is no provider 'nobody'; there are default."


def test_pause__of_a_provider_is_told_with_its_reason_and_end(client):
    response = client.post(f"{API}providers/default/pause/", {"reason": "new key", "until": LATER}, format="json")

    pause = Pause.objects.get()
    assert response.status_code == 200
    assert (pause.kind, pause.name, pause.reason, pause.by) == ("provider", "default", "new key", "root")
    data = response.json()["data"]
    assert (data["state"], data["until"]) == ("paused", LATER)
    assert data["meaning"] == "It was paused by root, until 2035-01-31 18:00 UTC: new key"
    assert AuditEvent.objects.get().by == "root"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "reason: This field is required."),
        ({"reason": " "}, "reason: This field may not be blank."),
        ({"reason": "x" * 501}, "reason: Ensure this field has no more than 500 characters."),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "until: The end of a pause must lie in the future."),
        ({"reason": "x", "until": "soon"}, "until: Datetime has wrong format."),
        ({"reason": "a\0b"}, "reason: Null characters are not allowed."),
        ({"reason": "x", "untill": LATER}, "There is no 'untill'; there are reason, until."),
    ],
)
def test_pause__says_what_is_wrong(client, sent, said):
    message = problem(client.post(f"{API}providers/default/pause/", sent, format="json"), 400)

    assert message.startswith(said)
    assert not Pause.objects.exists()


@pytest.mark.parametrize("is_paused", [True, False])
@pytest.mark.parametrize("is_blocked", [True, False])
def test_resume__says_what_it_did(client, is_paused, is_blocked):
    if is_paused:
        pauses.pause("provider", "default", reason="x", by="anna")
    if is_blocked:
        block()

    response = client.post(f"{API}providers/default/resume/")

    data = response.json()["data"]
    assert (response.status_code, data["liftedPause"], data["closedCircuit"]) == (200, is_paused, is_blocked)
    assert data["message"].startswith("Nothing to do") is not (is_paused or is_blocked)
    assert data["provider"]["state"] == "available"
    told = AuditEvent.objects.exclude(kind="paused").values_list("kind", "by")
    expected = {"resumed": is_paused, "unblocked": is_blocked}
    assert set(told) == {(kind, "root") for kind, is_expected in expected.items() if is_expected}


def test_resume__of_what_the_user_may_not_lift():
    pauses.pause("provider", "default", reason="x", by="anna")
    block()

    message = problem(with_permissions("resume_providerstate").post(f"{API}providers/default/resume/"), 403)

    assert message == "It is paused, and to lift that needs the permission embeddings.set_pause."
    assert Pause.objects.exists()
    assert ProviderState.objects.get().blocked_reason == "circuit"


def test_ping__of_a_provider_that_answers(client, settings):
    settings.EMBEDDING_PROVIDERS = {"default": dummy()["default"] | QUOTAS | {"OPTIONS": {}}}

    response = client.post(f"{API}providers/default/ping/")

    data = response.json()["data"]
    assert response.status_code == 200
    assert data.pop("latencySeconds") >= 0.0
    assert data == {
        "alias": "default",
        "modelId": "dummy",
        "dimensions": 256,
        "isAnswering": True,
        "error": "",
        "quota": {"requests": {"used": 1, "limit": 500}},
    }


def test_ping__of_one_that_is_paused_asks_nothing(client):
    pauses.pause("provider", "default", reason="new key", by="anna")

    data = client.post(f"{API}providers/default/ping/").json()["data"]

    assert (data["isAnswering"], list(DummyProvider.requests)) == (False, [])
    assert data["error"] == "It is paused until somebody resumes it, so it was not asked: new key"


def test_ping__of_one_that_cannot_be_made(client, settings):
    settings.EMBEDDING_PROVIDERS = {**dummy(), "broken": {"BACKEND": "x"}}

    message = problem(client.post(f"{API}providers/broken/ping/"), 400)

    assert message.startswith("EMBEDDING_PROVIDERS['broken'] needs MODEL")


# Pauses.


def test_pauses__are_begun_listed_and_lifted(client):
    make_task(Status.PENDING)
    wanted = {"kind": "target", "name": "TestApp.Post.embedding", "reason": "the bill"}

    begun = client.post(f"{API}pauses/", wanted, format="json")
    listed = get(client, "pauses/")["pauses"]
    ended = client.delete(f"{API}pauses/?kind=target&name=testapp.post.embedding")

    assert begun.status_code == 201
    assert begun.json()["data"] in listed
    assert listed[0] | {"since": ""} == {
        "kind": "target",
        "name": "testapp.post.embedding",
        "reason": "the bill",
        "by": "root",
        "since": "",
        "until": None,
        "waiting": 1,
        "isAtLeast": False,
    }
    assert ended.json()["data"] == {"message": "Target testapp.post.embedding goes on."}
    assert not Pause.objects.exists()
    assert set(AuditEvent.objects.values_list("kind", "by")) == {("paused", "root"), ("resumed", "root")}


def test_pauses__of_everything(client):
    client.post(f"{API}pauses/", {"kind": "everything", "reason": "deploy", "until": LATER}, format="json")

    ended = client.delete(f"{API}pauses/?kind=everything")

    assert ended.json()["data"] == {"message": "Everything goes on."}


def test_pauses__lifting_what_is_not_paused(client):
    assert problem(client.delete(f"{API}pauses/?kind=everything"), 404) == "There is no pause of everything."


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"kind": "all", "reason": "x"}, 'kind: "all" is none of everything, provider, target.'),
        ({"kind": "everything", "name": "default", "reason": "x"}, "name: Leave it out: everything has no name."),
        ({"kind": "provider", "name": "nobody", "reason": "x"}, "name: EMBEDDING_PROVIDERS has no 'nobody'"),
        ({"kind": "provider", "reason": "x"}, "name: EMBEDDING_PROVIDERS has no ''"),
        ({"kind": "target", "name": "testapp.nothing.embedding", "reason": "x"}, "name: "),
        ({"kind": "target", "name": "...", "reason": "x"}, "name: "),
        ({"kind": "everything", "reason": "x", "ends": LATER}, "There is no 'ends'; there are kind, name, "),
    ],
)
def test_pauses__say_what_is_wrong(client, sent, said):
    assert problem(client.post(f"{API}pauses/", sent, format="json"), 400).startswith(said)
    assert not Pause.objects.exists()


# Settings.


def test_settings__tell_what_is_in_force_and_what_was_changed(client, settings):
    settings.EMBEDDING_PROVIDERS = {"default": dummy()["default"] | QUOTAS}
    settings.EMBEDDINGS = {"BATCH_SIZE": 100}
    live.change({"concurrency": 9}, {"default": {"requests_per_minute": 50}}, by="anna")

    data = get(client, "settings/")

    found = {each["name"]: each for each in data["settings"]}
    assert found["BATCH_SIZE"] == {"name": "BATCH_SIZE", "value": 100, "configured": 100, "isChanged": False}
    assert found["CONCURRENCY"] == {"name": "CONCURRENCY", "value": 9, "configured": 5, "isChanged": True}
    (provider,) = data["providers"]
    assert provider["quotas"] == [
        {"name": "REQUESTS_PER_MINUTE", "value": 50, "configured": 500, "isChanged": True},
        {"name": "TOKENS_PER_MINUTE", "value": None, "configured": None, "isChanged": False},
    ]
    assert data["changedBy"] == "anna"
    assert "OPTIONS" not in str(data)
    assert "sk-secret" not in str(data)


def test_settings__without_the_token_of_the_metrics(client, settings):
    settings.EMBEDDINGS = {"METRICS_TOKEN": "a-secret-of-the-scraper"}

    data = get(client, "settings/")

    assert "a-secret-of-the-scraper" not in str(data)
    assert "METRICS_TOKEN" not in [each["name"] for each in data["settings"]]


def test_settings__of_an_entry_that_is_wrong(client, settings):
    settings.EMBEDDING_PROVIDERS = {**dummy(), "broken": {"BACKEND": "x"}}

    broken = get(client, "settings/")["providers"][1]

    assert broken["error"].startswith("EMBEDDING_PROVIDERS['broken'] needs MODEL")
    assert (broken["backend"], broken["quotas"]) == (None, [])


# Alerts.


def test_alerts__open_and_past(client):
    over = Alert.objects.create(kind="failed", message="many", over_at=timezone.now())
    still = Alert.objects.create(kind="provider", subject="default", message="it is blocked")

    everything, open_ones, past = (
        get(client, "alerts/", **query)["results"] for query in ({}, {"open": "true"}, {"open": "false"})
    )

    assert [each["id"] for each in everything] == [still.pk, over.pk]
    assert [each["id"] for each in past] == [over.pk]
    (one,) = open_ones
    assert one.pop("raisedAt")
    assert one == {
        "id": still.pk,
        "kind": "provider",
        "subject": "default",
        "message": "it is blocked",
        "overAt": None,
    }


def test_alerts__refuse_a_wrong_parameter(client):
    assert problem(client.get(f"{API}alerts/?open=perhaps"), 400) == "open: Must be a valid boolean."
