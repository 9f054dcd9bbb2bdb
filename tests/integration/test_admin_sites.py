"""The operators' pages on admin sites of a host project: all of them, or some without the others."""

from __future__ import annotations

import re
import uuid

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLResolver, path
from django.utils import timezone

from embeddings import pauses
from embeddings.models import (
    Alert,
    EmbeddingBatch,
    EmbeddingOperation,
    ProviderState,
    Status,
    WebhookDelivery,
    WebhookEndpoint,
    WorkerStatus,
)
from tests.ledger_rows import make_task

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

# The pages that any project has registered.
REGISTERED = {
    model: type(page) for model, page in admin.site._registry.items() if model._meta.app_label == "embeddings"
}
whole = admin.AdminSite(name="whole")
urlpatterns: list[URLResolver] = []
for model, page in REGISTERED.items():
    whole.register(model, page)
    alone = admin.AdminSite(name=f"only-{model._meta.model_name}")
    alone.register(model, page)
    urlpatterns.append(path(f"{alone.name}/", alone.urls))
urlpatterns.append(path("whole/", whole.urls))


@pytest.fixture
def rows() -> None:
    """What makes the pages link to each other."""
    batch = EmbeddingBatch.objects.create(name="a batch")
    make_task(Status.FAILED, batch=batch, error_signature="input: X")
    make_task(Status.PROCESSING, worker="host.1")
    EmbeddingOperation.objects.create(kind="requeue", target="testapp.post.embedding", batch=batch)
    pauses.pause("provider", "default", reason="a new key", by="bob")
    ProviderState.objects.create(alias="default", blocked_reason="circuit", failures_in_a_row=9)
    Alert.objects.create(kind="failed", message="Many tasks have failed.")
    endpoint = WebhookEndpoint.objects.create(name="a", url="https://8.8.8.8/", events=["task.failed"], secret="whsec_")
    WebhookDelivery.objects.create(endpoint=endpoint, kind="task.failed", payload={}, state="failed")
    now = timezone.now()
    WorkerStatus.objects.create(name="host.1", started_at=now, heartbeat_at=now, claimed=1)


def opened(client: Client, site: str, model: type) -> list[str]:
    """The list and the page of its first row, as HTML."""
    url = f"/{site}/embeddings/{model._meta.model_name}/"
    pages = [client.get(url, follow=True)]
    if found := re.search(rf'href="({url}[^/"]+/change/)', pages[0].content.decode()):
        pages.append(client.get(found[1]))
    assert [page.status_code for page in pages] == [200] * len(pages)
    return [page.content.decode() for page in pages]


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.model_name)
class TestSites:
    def test_pages__work_without_the_others(self, admin_client, rows, model):
        site = f"only-{model._meta.model_name}"

        for html in opened(admin_client, site, model):
            links = re.findall(r'(?:href|action)="(/[^"]+)"', html)
            assert [link for link in links if not link.startswith((f"/{site}/", "/static/"))] == []

    def test_pages__stay_on_their_site(self, admin_client, rows, model):
        for html in opened(admin_client, "whole", model):
            links = re.findall(r'(?:href|action)="(/[^"]+)"', html)
            assert [link for link in links if not link.startswith(("/whole/", "/static/"))] == []


def test_bulk__begins_where_operations_have_no_page(admin_client, rows):
    url = "/only-embeddingtask/embeddings/embeddingtask/bulk/retry/?status__exact=failed"

    response = admin_client.post(url, {"token": str(uuid.uuid4())}, follow=True)

    assert response.redirect_chain == [("/only-embeddingtask/embeddings/embeddingtask/?status__exact=failed", 302)]
    assert "Workers do it now" in " ".join(map(str, response.context["messages"]))
