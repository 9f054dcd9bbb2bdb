"""A console in the middle of a day: much is done, something went wrong, and workers are at it. For pictures."""

from __future__ import annotations

import math
import uuid
from datetime import datetime, timedelta
from typing import Any

import redis
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from embeddings import audit, census, live, pauses, quotas
from embeddings.exceptions import InputRejected, TransientError
from embeddings.histogram import empty
from embeddings.models import (
    AuditEvent,
    EmbeddingTask,
    ProviderMinute,
    Status,
    TargetMinute,
    TaskAttempt,
    WorkerStatus,
)
from embeddings.providers import get_provider
from project.content.models import Article, Block, Note, PageChunk, Receipt, ReceiptItem, Recommendation
from tests.browser.console import OUTAGE, fail, make_completed

MODEL = "text-embedding-3-small"
PROVIDERS = {
    "default": {
        "BACKEND": "embeddings.providers.openai.OpenAIProvider",
        "MODEL": MODEL,
        "DIMENSIONS": 256,
        "REQUESTS_PER_MINUTE": 3_000,
        "TOKENS_PER_MINUTE": 1_000_000,
        "OPTIONS": {"API_KEY": "none", "PRICE_PER_MILLION_TOKENS": 0.02},
    }
}
TITLES = (
    "Opening hours in winter",
    "How to prune an apple tree",
    "Lending tools to neighbours",
    "The flood of last May",
)


def make(client: redis.Redis) -> Article:
    """All of it. Returns an article whose embedding has failed."""
    failed = _texts()
    _minutes(timezone.now())
    _workers(client)
    _history(EmbeddingTask.objects.get(object_id=str(failed.pk), field="embedding"))
    live.change({"batch_size": 128}, {"default": {"requests_per_minute": 4_000}}, by="ada")
    audit.record(
        AuditEvent.Kind.BLOCKED,
        "Provider default is not called: it failed 5 times in a row.",
        subject="provider default",
    )
    pauses.pause(
        "target",
        "content.recommendation.embedding",
        reason="Their texts are being rewritten",
        by="ada",
        ends_at=timezone.now() + timedelta(minutes=45),
    )
    for _ in range(300):
        quotas.spend(get_provider("default"), 1_900)
    Article.objects.filter(pk=failed.pk).update(embedding=[0.0625] * 256)
    census.take_if_due("default")
    return failed


def _texts() -> Article:
    slugs = [f"{title.lower().replace(' ', '-')}-{number}" for number in range(135) for title in TITLES]
    articles = Article.objects.bulk_create(
        Article(slug=slug, title=slug.rpartition("-")[0].replace("-", " ").capitalize(), content=slug) for slug in slugs
    )
    fail(articles[:500], TransientError(OUTAGE), http_status=503, updated_at=_ago(minutes=4))
    fail(articles[500:525], InputRejected("The provider refused the text as unsafe."), http_status=400)
    fail(articles[525:], TransientError("There was no answer within 60 s."), updated_at=_ago(hours=3))
    done: dict[str, Any] = {"model_id": MODEL, "completed_at": _ago(hours=5)}
    make_completed(13_400, **done)
    make_completed(600, model_id="text-embedding-ada-002")
    make_completed(3_800, model=Note, **done)
    make_completed(1_400, model=Receipt, field="text_embedding", **done)
    make_completed(900, model=Recommendation, **done)
    make_completed(2_300, model=ReceiptItem, **done)
    make_completed(5_160, model=PageChunk, **done)
    make_completed(1_090, model=Block, **done)
    unmade = {
        "model_id": "",
        "dimensions": None,
        "fingerprint": "",
        "completed_at": None,
        "requested_at": _ago(seconds=9),
    }
    make_completed(3_412, model=Receipt, field="merchant_embedding", status=Status.PENDING, **unmade)
    lease = {"lease_until": timezone.now() + timedelta(seconds=40), "worker": "embeddings.1", "attempts": 1}
    in_hand = {"status": Status.PROCESSING, "lease_token": uuid.UUID(int=1), **lease, **unmade}
    make_completed(256, model=Receipt, field="merchant_embedding", **in_hand)
    make_completed(130, model=Note, status=Status.PENDING, **unmade)
    make_completed(40, model=Note, status=Status.EMPTY, **{**unmade, "requested_at": _ago(hours=9)})
    return articles[0]


def _minutes(now: datetime) -> None:
    """A day's figures: busy by day, and an outage some minutes ago."""
    this = now.replace(second=0, microsecond=0)
    targets, requests = [], []
    for age in range(1_440):
        wave = 1 + math.sin(age / 190) + 0.3 * math.sin(age / 3.1)
        done, failed = int(4_000 * max(wave, 0.1)), 0
        if 4 <= age < 9:
            done, failed = done // 5, 108
        minute = this - timedelta(minutes=age)
        waiting, latency = _spread(done, 8 + (2 if 2 <= age < 9 else 0)), _spread(done // 100, 4)
        targets.append(
            TargetMinute(
                target="content.article.embedding", minute=minute, completed=done, failed=failed, waiting=waiting
            )
        )
        tokens = 55 * done
        requests.append(
            ProviderMinute(
                provider="default",
                minute=minute,
                requests=done // 100 + failed // 10,
                failed=failed // 10,
                inputs=done,
                tokens=tokens,
                cost=tokens * 0.02 / 1e6,
                latency=latency,
            )
        )
    TargetMinute.objects.bulk_create(targets)
    ProviderMinute.objects.bulk_create(requests)


def _spread(count: int, middle: int) -> list[int]:
    """So many durations, in the buckets of `embeddings.histogram` around one of them."""
    counts = empty()
    for offset, share in ((-1, 0.3), (0, 0.5), (1, 0.15), (2, 0.04), (3, 0.01)):
        counts[middle + offset] = int(count * share)
    return counts


def _workers(client: redis.Redis) -> None:
    now = timezone.now()
    for number, (claimed, completed) in enumerate(((128, 61_204), (128, 60_877), (0, 12_450))):
        name = f"embeddings.{number + 1}"
        state = "active" if claimed else "idle"
        WorkerStatus.objects.create(
            name=name,
            hostname=f"worker-{number + 1}",
            pid=400 + number,
            state=state,
            claimed=claimed,
            completed=completed,
            started_at=now - timedelta(hours=7),
            # Ahead, so that it is alive in each picture.
            heartbeat_at=now + timedelta(seconds=30),
        )
        client.sadd("rq:workers:embeddings", f"rq:worker:{name}")
        client.hset(f"rq:worker:{name}", "state", "busy" if claimed else "idle")


def _history(task: EmbeddingTask) -> None:
    attempts = [
        ("completed", True, 4_320, 1.2, 61, ""),
        *(("failed", n == 3, 10 - 2 * n, 0.4, None, OUTAGE) for n in (1, 2, 3)),
    ]
    for number, (outcome, is_final, minutes, seconds, tokens, message) in enumerate(attempts):
        ended_at = _ago(minutes=minutes)
        TaskAttempt.objects.create(
            task=task,
            outcome=outcome,
            is_final=is_final,
            number=max(number, 1),
            version=2 if number else 1,
            worker=f"embeddings.{1 + number % 3}",
            claimed_at=ended_at - timedelta(seconds=seconds),
            ended_at=ended_at,
            tokens=tokens,
            error_kind="transient" if message else "",
            error_class="TransientError" if message else "",
            error_message=message,
        )
    LogEntry.objects.log_actions(User.objects.get(username="ada").pk, [task], CHANGE, "Retried.")
    LogEntry.objects.update(action_time=_ago(minutes=9))
    EmbeddingTask.objects.filter(pk=task.pk).update(
        requested_at=_ago(minutes=11), model_id=MODEL, dimensions=256, fingerprint="5d41" * 16
    )


def _ago(**age: float) -> datetime:
    return timezone.now() - timedelta(**age)
