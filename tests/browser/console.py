"""What the operator of the stories finds, and how he goes about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from playwright.sync_api import Locator

from embeddings.exceptions import InputRejected, ProviderError, TransientError
from embeddings.failure import Failure
from embeddings.models import EmbeddingTask, Status
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
    tasks.update(status=Status.FAILED, attempts=3, **{**Failure.of(error).columns(), **values})


def fail_for_three_reasons() -> list[Article]:
    """500 articles failed in an outage: those are returned. 25 and 15 others have other causes."""
    articles = make_articles(540)
    fail(articles[:500], TransientError(OUTAGE), http_status=503)
    fail(articles[500:525], InputRejected("The provider refused the text."), http_status=400)
    fail(articles[525:], TransientError("There was no answer within 60 s."))
    return articles[:500]


def make_completed(count: int) -> None:
    """So many tasks that are done, of objects that need not exist."""
    now = timezone.now()
    common = {
        "content_type": ContentType.objects.get_for_model(Article),
        "field": "embedding",
        "provider": "default",
        "status": Status.COMPLETED,
        "model_id": "dummy",
        "dimensions": 256,
        "fingerprint": "f" * 64,
        **dict.fromkeys(("sort_key", "created_at", "updated_at", "requested_at", "completed_at"), now),
    }
    rows = [EmbeddingTask(object_id=str(10_000_000 + number), **common) for number in range(count)]
    EmbeddingTask.objects.bulk_create(rows, batch_size=2_000)
