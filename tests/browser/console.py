"""What the operator of the stories finds, and how he goes about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone
from playwright.sync_api import Locator

from embeddings import audit, batch
from embeddings.exceptions import InputRejected, ProviderError, TransientError
from embeddings.failure import Failure
from embeddings.models import (
    Alert,
    AuditEvent,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    Pause,
    ProviderCall,
    ProviderMinute,
    ProviderState,
    Status,
    TargetMinute,
    WorkerStatus,
)
from project.content.models import Article

OVERVIEW = "/admin/embeddings/overview/"
OUTAGE = "The provider answered 503: the model is overloaded, try again later."


class Clicks:
    """Counts what the operator clicks."""

    def __init__(self) -> None:
        self.count = 0

    def on(self, target: Locator) -> None:
        self.count += 1
        target.click()


def make_articles(count: int) -> list[Article]:
    """Articles whose vectors are asked for."""
    start = Article.objects.count()
    numbers = range(start, start + count)
    articles = [Article(slug=f"story-{n}", title=f"Story {n}", content=f"What happened on day {n}.") for n in numbers]
    return Article.objects.bulk_create(articles)


def fail(articles: Sequence[Article], error: ProviderError, *, http_status: int | None = None, **values: Any) -> None:
    """As if their last attempt had failed with this error."""
    error.http_status = http_status
    keys = [str(article.pk) for article in articles]
    tasks = EmbeddingTask.objects.filter(content_type=ContentType.objects.get_for_model(Article), object_id__in=keys)
    tasks.update(status=Status.FAILED, attempts=3, tokens_estimated=61, **{**Failure.of(error).columns(), **values})


def fail_for_three_reasons() -> list[Article]:
    """500 articles failed in an outage: those are returned. 25 and 15 others have other causes."""
    articles = make_articles(540)
    fail(articles[:500], TransientError(OUTAGE), http_status=503)
    fail(articles[500:525], InputRejected("The provider refused the text."), http_status=400)
    fail(articles[525:], TransientError("There was no answer within 60 s."))
    return articles[:500]


def make_completed(count: int, *, model: type[models.Model] = Article, field: str = "embedding", **values: Any) -> None:
    """So many tasks that are done, or are as `values` say, of objects that need not exist."""
    done = {"status": Status.COMPLETED, "model_id": "dummy", "dimensions": 256, "fingerprint": "f" * 64}
    times = ("sort_key", "created_at", "updated_at", "requested_at", "completed_at")
    common = {
        "content_type": ContentType.objects.get_for_model(model),
        "field": field,
        "provider": "default",
        **done,
        **dict.fromkeys(times, timezone.now()),
        **values,
    }
    first = 10_000_000 + EmbeddingTask.objects.count()
    rows = [EmbeddingTask(object_id=str(first + number), **common) for number in range(count)]
    EmbeddingTask.objects.bulk_create(rows, batch_size=2_000)


# {name: path of each page that shows something}.
EVERYTHING = {
    "the overview": "overview/",
    "tasks": "embeddingtask/",
    "failed tasks": "embeddingtask/?status__exact=failed",
    "a task": "embeddingtask/{task}/change/",
    "failures": "failuregroup/",
    "batches": "embeddingbatch/",
    "a batch": "embeddingbatch/{batch}/change/",
    "operations": "embeddingoperation/",
    "an operation": "embeddingoperation/{operation}/change/",
    "workers": "workerstatus/",
    "a worker": "workerstatus/{worker}/change/",
    "providers": "providerstate/",
    "a provider": "providerstate/default/change/",
    "requests": "providercall/",
    "pauses": "pause/",
    "a pause": "pause/{pause}/change/",
    "settings": "livesettings/1/change/",
    "the audit log": "auditevent/",
    "an entry of the log": "auditevent/{event}/change/",
    "alerts": "alert/",
    "an alert": "alert/{alert}/change/",
    "an article": "/admin/content/article/{article}/change/",
}


def address(path: str) -> str:
    """Of a page, with the keys of the first rows; a path that begins with a slash is not one of ours."""
    keys = {name: model.objects.order_by("pk").values_list("pk", flat=True).first() for name, model in _ROWS.items()}
    return (path if path.startswith("/") else f"/admin/embeddings/{path}").format(**keys)


_ROWS = {
    "alert": Alert,
    "article": Article,
    "batch": EmbeddingBatch,
    "event": AuditEvent,
    "operation": EmbeddingOperation,
    "pause": Pause,
    "task": EmbeddingTask,
    "worker": WorkerStatus,
}


def make_everything() -> None:
    """One or more of all that the pages show: open, paused, blocked and failed, so that there is much to press."""
    now = timezone.now()
    with batch("catalogue of spring"):
        fail(make_articles(3), TransientError(OUTAGE), http_status=503)
    make_articles(2)
    for number, heard_of in enumerate((now, now - timedelta(minutes=3))):
        started = heard_of - timedelta(hours=2)
        WorkerStatus.objects.create(name=f"worker-{number}.example", started_at=started, heartbeat_at=heard_of)
    soon = now + timedelta(minutes=3)
    ProviderState.objects.create(
        alias="default", blocked_reason="circuit", blocked_until=soon, failures_in_a_row=7, last_error=OUTAGE
    )
    ProviderCall.objects.create(
        provider="default", model_id="dummy", inputs=3, tokens=42, latency_ms=210, outcome="transient"
    )
    Pause.objects.create(kind="target", name="content.article.embedding", reason="It is being moved", by="ada")
    EmbeddingOperation.objects.create(kind="requeue", target="content.article.embedding", rows_total=200, rows_read=50)
    Alert.objects.create(kind="provider", subject="default", message="Provider default is not called.")
    audit.record(AuditEvent.Kind.PAUSED, "Paused.", subject="content.article.embedding", by="ada")
    minute = now.replace(second=0, microsecond=0) - timedelta(minutes=5)
    TargetMinute.objects.create(target="content.article.embedding", minute=minute, completed=120, failed=3)
    ProviderMinute.objects.create(provider="default", minute=minute, requests=9, failed=1, tokens=4_000)
