"""Who may do what on the operators' pages: every page and every action, with no permission, and with each by itself."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core import serializers
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from embeddings import pauses
from embeddings.models import (
    Alert,
    AuditEvent,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    LiveSettings,
    Pause,
    ProviderCall,
    ProviderQuota,
    ProviderState,
    Status,
    WebhookDelivery,
    WebhookEndpoint,
    WorkerStatus,
)
from project.content.models import Article
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(databases=["default", "other"])

MODELS = (
    Alert,
    AuditEvent,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    LiveSettings,
    Pause,
    ProviderCall,
    ProviderQuota,
    ProviderState,
    WebhookDelivery,
    WebhookEndpoint,
    WorkerStatus,
)
# Pages of the tasks, without rows of their own.
OVERVIEW, FAILURES = "embeddings_overview_changelist", "embeddings_failuregroup_changelist"


@pytest.fixture
def rows() -> dict[str, Any]:
    """One of everything, {model name: key}."""
    article = Article.objects.create(slug="a", title="a title", content="some words")
    EmbeddingTask.objects.all().delete()
    batch = EmbeddingBatch.objects.create(name="a batch")
    task = make_task(Status.FAILED, model=Article, object_id=str(article.pk), batch=batch, error_signature="input: X")
    operation = EmbeddingOperation.objects.create(kind="requeue", target="testapp.post.embedding")
    pause = pauses.pause(Pause.Kind.PROVIDER, "default", reason="a new key", by="bob")
    state = ProviderState.objects.create(alias="default", blocked_reason="circuit", failures_in_a_row=9)
    call = ProviderCall.objects.create(provider="default", model_id="m", inputs=1, latency_ms=1, outcome="ok")
    alert = Alert.objects.create(kind=Alert.Kind.FAILED, message="Many tasks have failed.")
    worker = WorkerStatus.objects.create(name="host.1", started_at=task.created_at, heartbeat_at=task.created_at)
    endpoint = WebhookEndpoint.objects.create(name="a", url="https://8.8.8.8/", events=["task.failed"], secret="whsec_")
    delivery = WebhookDelivery.objects.create(endpoint=endpoint, kind="task.failed", payload={}, state="failed")
    settings, _ = LiveSettings.objects.get_or_create(pk=1)
    made = (batch, task, operation, pause, state, call, alert, worker, endpoint, delivery)
    made += (AuditEvent.objects.latest("pk"), article)
    return {str(row._meta.model_name): row.pk for row in made} | {
        "livesettings": settings.pk,
        "seen_at": settings.updated_at.isoformat(),
    }


@pytest.fixture
def staff(client: Client):
    """Log in a member of staff who has exactly these permissions."""

    def log_in(codenames: set[str]) -> Client:
        user = User.objects.create_user(f"staff{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client.force_login(user)
        return client

    return log_in


def views() -> set[str]:
    names = Permission.objects.filter(codename__startswith="view_", content_type__app_label="embeddings")
    return {*names.values_list("codename", flat=True), "view_article"}


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    url: str
    model: str


def pages(rows: dict[str, Any]) -> list[Page]:
    """Every address of the app in the admin, for rows that are there."""
    found = []
    for pattern in patterns(admin.site.get_urls()):
        name = pattern.name or ""
        if not name.startswith("embeddings_"):
            continue
        model = name.split("_")[1]
        taken = pattern.pattern.converters
        values = {"object_id": rows.get(model), "pause_id": rows["pause"], "verb": "retry", "way": "requeue"}
        found.append(Page(name, reverse(f"admin:{name}", kwargs={key: values[key] for key in taken}), model))
    return found


def patterns(found: list[Any]) -> Iterator[URLPattern]:
    for one in found:
        if isinstance(one, URLResolver):
            yield from patterns(one.url_patterns)
        else:
            yield one


def opened(client: Client, rows: dict[str, Any]) -> set[str]:
    """The names of the pages that show something."""
    answers = {page.name: client.get(page.url).status_code for page in pages(rows)}
    assert set(answers.values()) <= {200, 302, 403, 405}, answers
    return {name for name, status in answers.items() if status in {200, 302, 405}}


def state() -> str:
    """All that an operator could change, but the log of it."""
    models = [EmbeddingBatch, EmbeddingOperation, EmbeddingTask, LiveSettings, Pause, ProviderQuota, ProviderState]
    models += [WebhookDelivery, WebhookEndpoint]
    return serializers.serialize("json", [row for model in models for row in model.objects.order_by("pk")])


class TestPages:
    def test_pages__are_closed_without_a_permission(self, staff, rows):
        client = staff(set())

        assert opened(client, rows) == set()
        assert client.get("/admin/embeddings/").status_code in {403, 404}

    def test_pages__are_open_to_who_may_view_all(self, staff, rows):
        found = opened(staff(views()), rows)

        writing = {"add", "delete", "pause", "resume", "begin", "bulk", "rotate", "test", "replay"}
        shown = {page.name for page in pages(rows) if page.name.rpartition("_")[2] not in writing}
        assert found == shown

    @pytest.mark.parametrize("permission", [model._meta.model_name for model in MODELS if model is not ProviderQuota])
    def test_pages__need_the_permission_of_their_model(self, staff, rows, permission):
        client = staff({f"view_{permission}"})

        found = opened(client, rows)

        mine = {f"embeddings_{permission}_{name}" for name in ("changelist", "change", "history")}
        mine |= {OVERVIEW, FAILURES} if permission == "embeddingtask" else set()
        assert found == mine


# All that the form of a webhook endpoint asks for.
ENDPOINT = {"name": "b", "url": "https://8.8.8.8/", "events": ["task.failed"], "is_enabled": "on"}


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that changes something: where it is sent to, and what."""

    permission: str
    url: str
    data: dict[str, Any]


def deeds(rows: dict[str, Any]) -> dict[str, Deed]:
    """Every way to change something that the pages offer, as somebody may craft it."""
    base = "/admin/embeddings"
    task, operation, batch = rows["embeddingtask"], rows["embeddingoperation"], rows["embeddingbatch"]
    endpoint, delivery = rows["webhookendpoint"], rows["webhookdelivery"]
    token = {"token": str(uuid.uuid4())}

    def ticked(action: str, key: Any) -> dict[str, Any]:
        return {"action": action, "_selected_action": [str(key)], "index": "0"}

    def every(action: str) -> dict[str, Any]:
        return {"action": action, "_selected_action": ["0"], "index": "0", "select_across": "1"}

    tasks = {}
    for verb in ("retry", "cancel", "clear"):
        permission, action = f"{verb}_embeddingtask", f"{verb}_tasks"
        tasks |= {
            f"{verb} ticked": Deed(permission, f"{base}/embeddingtask/", ticked(action, task)),
            f"{verb} all": Deed(permission, f"{base}/embeddingtask/", every(action)),
            f"{verb} here": Deed(permission, f"{base}/embeddingtask/{task}/change/", {"_action": action}),
            f"{verb} in bulk": Deed(permission, f"{base}/embeddingtask/bulk/{verb}/", token),
        }
    pause = {"what": "everything:", "reason": "why", "ends": "never", "_confirmed": "1"}
    begin = {**token, "priority": "low", "conditions": ["missing"]}
    return tasks | {
        "retry a batch": Deed("retry_embeddingtask", f"{base}/embeddingbatch/", ticked("retry_failed", batch)),
        "retry this batch": Deed(
            "retry_embeddingtask", f"{base}/embeddingbatch/{batch}/change/", {"_action": "retry_failed"}
        ),
        "embed again": Deed(
            "retry_embeddingtask", f"/admin/content/article/{rows['article']}/embed-again/embedding/", {}
        ),
        "requeue": Deed(
            "add_embeddingoperation", f"{base}/embeddingoperation/begin/requeue/?target=testapp.memo.embedding", begin
        ),
        "regenerate": Deed(
            "add_embeddingoperation",
            f"{base}/embeddingoperation/begin/regenerate/?target=testapp.memo.embedding",
            {**token, "priority": "low"},
        ),
        "stop": Deed("stop_embeddingoperation", f"{base}/embeddingoperation/", ticked("stop_operations", operation)),
        "stop this": Deed(
            "stop_embeddingoperation",
            f"{base}/embeddingoperation/{operation}/change/",
            {"_action": "stop_operations"},
        ),
        "pause": Deed("set_pause", f"{base}/pause/pause/", pause),
        "resume": Deed("set_pause", f"{base}/pause/{rows['pause']}/resume/", {}),
        "resume ticked": Deed("set_pause", f"{base}/pause/", ticked("resume_pauses", rows["pause"])),
        "resume here": Deed("set_pause", f"{base}/pause/{rows['pause']}/change/", {"_action": "resume_pauses"}),
        "call again": Deed(
            "resume_providerstate", f"{base}/providerstate/default/change/", {"_action": "resume_providers"}
        ),
        "call ticked again": Deed(
            "resume_providerstate", f"{base}/providerstate/", ticked("resume_providers", "default")
        ),
        "add an endpoint": Deed("add_webhookendpoint", f"{base}/webhookendpoint/add/", {**ENDPOINT, "name": "new"}),
        "change an endpoint": Deed("change_webhookendpoint", f"{base}/webhookendpoint/{endpoint}/change/", ENDPOINT),
        "delete an endpoint": Deed(
            "delete_webhookendpoint", f"{base}/webhookendpoint/{endpoint}/delete/", {"post": "yes"}
        ),
        "new secret": Deed("change_webhookendpoint", f"{base}/webhookendpoint/{endpoint}/rotate/", {}),
        "send a test": Deed("change_webhookendpoint", f"{base}/webhookendpoint/{endpoint}/test/", {}),
        "replay ticked": Deed(
            "replay_webhookdelivery", f"{base}/webhookdelivery/", ticked("replay_deliveries", delivery)
        ),
        "replay here": Deed(
            "replay_webhookdelivery", f"{base}/webhookdelivery/{delivery}/change/", {"_action": "replay_deliveries"}
        ),
        "replay since": Deed(
            "replay_webhookdelivery", f"{base}/webhookendpoint/{endpoint}/replay/", {"since": "2020-01-01T00:00"}
        ),
        "settings": Deed(
            "change_livesettings", f"{base}/livesettings/1/change/", {"batch_size": "17", "seen_at": rows["seen_at"]}
        ),
    }


# What is done to tasks that are not in the state for it changes nothing.
FITTING = {"cancel": Status.PENDING}
ALL = list(deeds(defaultdict(int)))
ACTIONS = [
    "retry_embeddingtask",
    "cancel_embeddingtask",
    "clear_embeddingtask",
    "add_embeddingoperation",
    "stop_embeddingoperation",
    "set_pause",
    "resume_providerstate",
    "change_livesettings",
    "add_webhookendpoint",
    "change_webhookendpoint",
    "delete_webhookendpoint",
    "replay_webhookdelivery",
]


def do(client: Client, name: str, rows: dict[str, Any]) -> bool:
    """Whether it changed something."""
    if status := FITTING.get(name.split()[0]):
        EmbeddingTask.objects.update(status=status, error_kind="", error_class="", error_message="")
    deed = deeds(rows)[name]
    before, logged = state(), LogEntry.objects.count()
    response = client.post(deed.url, deed.data)
    assert response.status_code in {200, 302, 403, 405}
    has_changed = state() != before
    assert has_changed or LogEntry.objects.count() == logged
    return has_changed


@pytest.mark.parametrize("name", ALL)
class TestDeeds:
    def test_deeds__are_done_by_who_may(self, staff, rows, name):
        client = staff(views() | {deeds(rows)[name].permission})

        assert do(client, name, rows)

    def test_deeds__are_refused_to_who_may_do_all_else(self, staff, rows, name):
        client = staff(views() | {one for one in ACTIONS if one != deeds(rows)[name].permission})

        assert not do(client, name, rows)

    def test_deeds__are_not_done_by_looking(self, staff, rows, name):
        client = staff(views() | set(ACTIONS))
        deed, before = deeds(rows)[name], state()

        client.get(deed.url, deed.data)
        client.get(deed.url)

        assert state() == before

    def test_deeds__need_a_token(self, rows, name):
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.create_superuser("root"))
        deed, before = deeds(rows)[name], state()

        response = client.post(deed.url, deed.data)

        assert response.status_code == 403
        assert state() == before
