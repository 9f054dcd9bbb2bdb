"""Settings and quotas that operators change: kept, recorded, and in force in every process within seconds."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from embeddings import conf, limiter, live
from embeddings.models import AuditEvent, EmbeddingTask, LiveSettings, ProviderQuota, ProviderState, Status
from embeddings.providers import get_provider
from embeddings.providers.base import Embedded
from embeddings.providers.dummy import DummyProvider
from tests.integration import sessions
from tests.integration.conftest import counts, dummy, wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import Memo, Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

WITHIN_SECONDS = 5.0

_without_flush = pytest.fixture(autouse=True, scope="module")(sessions.without_flush)


class WatchedProvider(DummyProvider):
    """Writes down with each request how many texts it has, and how many requests are in flight with it."""

    _in_flight = 0
    _lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Embedded:
        with WatchedProvider._lock:
            WatchedProvider._in_flight += 1
            with Path(self.options["LOG"]).with_suffix(".watched").open("a") as log:
                log.write(f"{len(texts)} {WatchedProvider._in_flight}\n")
        try:
            return super().embed(texts)
        finally:
            with WatchedProvider._lock:
                WatchedProvider._in_flight -= 1


@pytest.fixture
def both(settings: Any) -> None:
    """Objects of two databases have embeddings."""
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DATABASES": ["default", "other"]}


@pytest.fixture
def without_table() -> Iterator[None]:
    """The second database has lost the table."""
    with sessions.session("other") as other:
        other.execute("ALTER TABLE embeddings_livesettings RENAME TO lost")
        yield
        other.execute("ALTER TABLE lost RENAME TO embeddings_livesettings")


def provider(**options: Any) -> dict[str, Any]:
    """EMBEDDING_PROVIDERS with the dummy provider, and these keys beside OPTIONS."""
    return {"default": {**dummy()["default"], **options}}


def make_posts(count: int) -> None:
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(count)])


# Changing.


def test_change__is_saved_everywhere_recorded_and_in_force_here(both):
    changes = live.change({"batch_size": 300, "max_attempts": None}, {"default": {"tokens_per_minute": 9}}, by="anna")

    rows = [LiveSettings.objects.using(using).get() for using in ("default", "other")]
    event = AuditEvent.objects.get()
    assert changes == {"batch_size": [None, 300], "default.tokens_per_minute": [None, 9]}
    assert [(row.batch_size, row.concurrency, row.updated_by) for row in rows] == [(300, None, "anna")] * 2
    assert (event.kind, event.by, event.details) == ("settings", "anna", changes)
    assert event.message == (
        f"Batch size: {conf.configured().batch_size} (default) → 300. "
        "Tokens per minute of provider default: no limit (default) → 9."
    )
    assert (conf.current().batch_size, get_provider("default").tokens_per_minute) == (300, 9)


def test_change__leaves_alone_what_is_not_named_and_takes_back_what_is_none():
    live.change({"batch_size": 300, "concurrency": 7}, {"default": {"tokens_per_minute": 9}}, by="anna")

    changes = live.change({"batch_size": None}, {}, by="ben")

    assert changes == {"batch_size": [300, None]}
    assert (conf.current().batch_size, conf.current().concurrency) == (conf.configured().batch_size, 7)
    assert get_provider("default").tokens_per_minute == 9


def test_change__of_nothing_records_nothing():
    live.change({"batch_size": 300}, {}, by="anna")

    changes = live.change({"batch_size": 300, "concurrency": None}, {"default": {"tokens_per_minute": None}}, by="ben")

    assert changes == {}
    assert AuditEvent.objects.count() == 1
    assert LiveSettings.objects.get().updated_by == "anna"


@pytest.mark.parametrize(
    ("values", "quotas", "where", "words"),
    [
        ({"batch_size": 0}, {}, "batch_size", "greater than or equal to 1"),
        ({"concurrency": 65}, {}, "concurrency", "less than or equal to 64"),
        ({"batch_size": "many"}, {}, "batch_size", "must be an integer"),
        ({"backoff_base_seconds": float("nan")}, {}, "__all__", "not a number"),
        ({"backoff_base_seconds": 9, "backoff_cap_seconds": 8}, {}, "backoff_base_seconds", "9 s, .* longest, 8 s"),
        ({"backoff_base_seconds": 301}, {}, "backoff_base_seconds", "301 s, .* longest, 300 s"),
        ({"backoff_cap_seconds": 0.5}, {}, "backoff_cap_seconds", "first delay"),
        ({"head_start_normal_seconds": 3601}, {}, "head_start_normal_seconds", "3601 s, would overtake"),
        ({"head_start_low_seconds": 601}, {}, "head_start_low_seconds", "601 s, would overtake"),
        ({"batchsize": 1}, {}, "__all__", "no live setting 'batchsize'"),
        ({}, {"default": {"tokens_per_minute": 0}}, "default.tokens_per_minute", "greater than or equal to 1"),
        ({}, {"default": {"tokens_a_minute": 5}}, "__all__", "no quota 'tokens_a_minute'"),
        ({}, {"nobody": {"tokens_per_minute": 5}}, "__all__", "no provider 'nobody'; there are default"),
    ],
)
def test_change__refuses_what_cannot_be(values, quotas, where, words):
    with pytest.raises(ValidationError) as caught:
        live.change({"audit_retention_days": 3, **values}, quotas, by="anna")

    messages = caught.value.message_dict if hasattr(caught.value, "error_dict") else {"__all__": caught.value.messages}
    assert list(messages) == [where]
    assert re.search(words, messages[where][0])
    assert not LiveSettings.objects.exists() and not AuditEvent.objects.exists()
    assert conf.current() == conf.configured()


def test_change__refuses_to_overwrite_what_was_not_seen():
    live.change({"batch_size": 300}, {}, by="anna")
    seen_at = LiveSettings.objects.get().updated_at
    live.change({"batch_size": 400}, {}, by="ben", seen_at=seen_at)

    for late in (seen_at, None):
        with pytest.raises(ValidationError, match="ben has changed the settings") as caught:
            live.change({"batch_size": 500}, {}, by="anna", seen_at=late)

        assert caught.value.code == live.OUTDATED
    assert LiveSettings.objects.get().batch_size == 400


def test_change__of_nothing_is_no_news_to_who_has_seen_no_settings():
    assert live.change({"batch_size": None}, {}, by="ben", seen_at=None) == {}

    live.change({"batch_size": 300}, {}, by="anna", seen_at=None)

    assert LiveSettings.objects.get().batch_size == 300


def test_change__is_all_or_nothing(both, without_table):
    with pytest.raises(DatabaseError):
        live.change({"batch_size": 300}, {"default": {"tokens_per_minute": 9}}, by="anna")

    assert not LiveSettings.objects.exists()
    assert not ProviderQuota.objects.exists() and not AuditEvent.objects.exists()
    assert conf.current() == conf.configured()


# Reading.


def test_refresh__brings_what_another_process_has_saved_and_looks_only_so_often(django_assert_num_queries):
    LiveSettings.objects.create(concurrency=3)
    ProviderQuota.objects.create(alias="default", requests_per_minute=7)

    with django_assert_num_queries(0):
        assert not live.refresh(max_age_seconds=60)
    before = conf.current().concurrency, get_provider("default").requests_per_minute
    was_changed = live.refresh(max_age_seconds=0), live.refresh(max_age_seconds=0)

    assert before == (conf.configured().concurrency, None)
    assert (conf.current().concurrency, get_provider("default").requests_per_minute) == (3, 7)
    assert was_changed == (True, False)
    assert conf.current() is conf.current()


def test_refresh__keeps_what_is_in_force_without_the_database(caplog):
    live.change({"batch_size": 300}, {}, by="anna")

    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_livesettings RENAME TO lost")
        try:
            was_changed = live.refresh(max_age_seconds=0)
        finally:
            other.execute("ALTER TABLE lost RENAME TO embeddings_livesettings")

    assert not was_changed
    assert conf.current().batch_size == 300
    assert "could not be read; those in force stay" in caplog.text


def test_refresh__spoils_no_transaction_of_the_caller():
    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_livesettings RENAME TO lost")
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                live.refresh(max_age_seconds=0)
                cursor.execute("SELECT 1")
                answer = cursor.fetchone()
        finally:
            other.execute("ALTER TABLE lost RENAME TO embeddings_livesettings")

    assert answer == (1,)


def test_refresh__refuses_a_row_that_no_form_has_checked(caplog):
    LiveSettings.objects.create(batch_size=0, concurrency=3)

    assert not live.refresh(max_age_seconds=0)

    assert conf.current() == conf.configured()
    assert "EMBEDDINGS['BATCH_SIZE'] must be more than 0" in caplog.text


# Head starts.


def test_head_starts__are_in_force_at_once_in_processes_that_only_save(both, settings):
    def head_start(using: str) -> float:
        memo = Memo.objects.using(using).create(text="text")
        task = EmbeddingTask.objects.using(using).get(object_id=memo.pk, field="embedding")
        return round((task.created_at - task.sort_key).total_seconds())

    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "HEAD_START_SECONDS": {"high": 30, "normal": 20, "low": 10}}
    configured = head_start("default"), head_start("other")
    live.change({"head_start_high_seconds": 99, "head_start_normal_seconds": 50}, {}, by="anna")
    live.forget()  # Another process, which has not looked.
    changed = head_start("default"), head_start("other")
    live.refresh(max_age_seconds=0)
    LiveSettings.objects.update(head_start_normal_seconds=None)
    LiveSettings.objects.using("other").update(head_start_normal_seconds=None)
    taken_back = head_start("default"), head_start("other")

    assert (configured, changed, taken_back) == ((20, 20), (50, 50), (20, 20))


# In workers, without a restart.


def watched(log: Path) -> list[tuple[int, int]]:
    """(texts, requests in flight) of the requests so far."""
    lines = log.with_suffix(".watched").read_text().splitlines() if log.with_suffix(".watched").exists() else []
    return [(int(texts), int(in_flight)) for texts, in_flight in (line.split() for line in lines)]


def test_worker__sends_more_and_larger_requests_within_seconds(workers, tmp_path):
    log = tmp_path / "log"
    backend = f"{__name__}.WatchedProvider"
    options = {"LOG": str(log), "LATENCY_SECONDS": 0.2}
    make_posts(3000)
    workers.start(
        embeddings={"CONCURRENCY": 1, "BATCH_SIZE": 2},
        providers=provider(BACKEND=backend, OPTIONS=options),
    )
    wait_until(lambda: len(watched(log)) > 2)

    changed_at = time.monotonic()
    live.change({"concurrency": 4, "batch_size": 7}, {}, by="anna")
    before = set(watched(log))
    wait_until(lambda: (7, 4) in watched(log), seconds=WITHIN_SECONDS)

    assert time.monotonic() - changed_at < WITHIN_SECONDS
    assert before == {(2, 1)}


def test_worker__goes_on_within_seconds_when_a_quota_is_raised(workers, settings):
    settings.EMBEDDING_PROVIDERS = provider(REQUESTS_PER_MINUTE=1)
    make_posts(9)
    workers.start(embeddings={"BATCH_SIZE": 3}, providers=settings.EMBEDDING_PROVIDERS)
    wait_until(lambda: counts().get("completed") == 3 and counts().get("rate_limited"))

    live.change({}, {"default": {"requests_per_minute": 600}}, by="anna")

    wait_until(lambda: counts() == {"completed": 9}, seconds=WITHIN_SECONDS)


def test_worker__sends_less_within_seconds_when_a_quota_is_set(workers, redis_client):
    make_posts(3000)
    workers.start(embeddings={"BATCH_SIZE": 1, "CONCURRENCY": 1}, providers=dummy(LATENCY_SECONDS=0.1))
    wait_until(lambda: counts().get("completed"))

    live.change({}, {"default": {"requests_per_minute": 2}}, by="anna")

    wait_until(lambda: ProviderState.objects.filter(blocked_reason="quota").exists(), seconds=WITHIN_SECONDS)


def test_worker__fails_a_task_within_seconds_when_its_attempts_are_lowered(workers):
    Post.objects.create(title="[[transient]]")
    workers.start(
        embeddings={"MAX_ATTEMPTS": 50, "BACKOFF_BASE_SECONDS": 0.5, "BACKOFF_CAP_SECONDS": 0.5}, providers=dummy()
    )
    task = wait_until(lambda: EmbeddingTask.objects.filter(attempts__gte=2).first())
    assert task.status != Status.FAILED

    live.change({"max_attempts": 2}, {}, by="anna")

    wait_until(lambda: counts() == {"failed": 1}, seconds=WITHIN_SECONDS)


# Rests for a quota.


def test_drain__that_knows_only_the_old_quota_looks_again_before_it_lets_a_provider_rest(settings, drain, redis_client):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "BATCH_SIZE": 3}
    settings.EMBEDDING_PROVIDERS = provider(REQUESTS_PER_MINUTE=1)
    make_posts(9)
    ProviderQuota.objects.create(alias="default", requests_per_minute=600)

    drain()

    assert counts() == {"completed": 9}
    assert not ProviderState.objects.exclude(blocked_reason="").exists()


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [(10, 20, True), (10, 9, False), (10, None, False), (4, None, True), (None, 10, True), (None, 4, False)],
)
def test_change__ends_the_rest_of_a_provider_whose_quota_is_larger_now(settings, before, after, goes_on):
    settings.EMBEDDING_PROVIDERS = provider(TOKENS_PER_MINUTE=5)
    live.change({}, {"default": {"tokens_per_minute": before}}, by="anna")
    until = limiter.wait_for_quota("default", 60, "The quota is used up.")
    task = make_task(Status.RATE_LIMITED, available_at=until)

    live.change({}, {"default": {"tokens_per_minute": after}}, by="anna")

    task.refresh_from_db()
    assert (limiter.open_lanes(["default"]) == ["default"]) == goes_on
    assert (task.available_at <= timezone.now()) == goes_on


def test_change__to_no_limit_at_all_ends_the_rest_too():
    live.change({}, {"default": {"tokens_per_minute": 5}}, by="anna")
    limiter.wait_for_quota("default", 60, "The quota is used up.")

    live.change({}, {"default": {"tokens_per_minute": None}}, by="anna")

    assert limiter.open_lanes(["default"]) == ["default"]


def test_change__leaves_a_cooldown_that_the_provider_has_asked_for():
    live.change({}, {"default": {"tokens_per_minute": 5}}, by="anna")
    limiter.rate_limited("default", 60, "The provider said: too many requests.")

    live.change({}, {"default": {"tokens_per_minute": 500}}, by="anna")

    assert limiter.open_lanes(["default"]) == []
