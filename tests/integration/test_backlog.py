"""What a supervisor sees: what there is to do, and whether a provider is the limit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from embeddings import conf, limiter, metrics, pauses, quotas
from embeddings.models import EmbeddingOperation, Pause, ProviderMinute, ProviderState, Status
from embeddings.providers import get_provider
from embeddings.scaling import backlog
from embeddings.scaling.backlog import Backlog
from tests.integration.conftest import dummy
from tests.ledger_rows import make_task
from tests.testapp.models import Essay

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@pytest.fixture(autouse=True)
def _with_redis(redis_client):
    """Its queue is empty."""


def read(*, is_anybody_there: bool = True) -> Backlog:
    return backlog.read(is_anybody_there=is_anybody_there)


def make_tasks(count: int, **values: object) -> None:
    for _ in range(count):
        make_task(**values)


def test_read__counts_what_may_be_claimed():
    make_tasks(3)
    for status in set(Status.values) - {Status.PENDING}:
        make_task(status)

    found = read()

    assert (found.waiting, found.held, found.limit, found.provider) == (3, 0, "", "default")
    assert not found.has_errand


def test_read__counts_texts_that_are_to_be_split():
    make_task(provider="")

    assert (read().waiting, read().provider) == (1, "")


def test_read__counts_no_more_than_it_has_to(monkeypatch):
    monkeypatch.setattr(backlog, "MOST_COUNTED", 2)
    make_tasks(5)

    found = read()

    # No worker has taken a census, so that it takes one.
    assert (found.waiting, found.is_at_least) == (5, True)


def test_read__of_a_target_that_is_paused():
    make_tasks(2)
    make_task(model=Essay)
    pauses.pause(Pause.Kind.TARGET, "testapp.post.embedding", reason="a test", by="")

    assert (read().waiting, read().held) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "name", "limit"),
    [
        (Pause.Kind.EVERYTHING, "", "everything is paused"),
        (Pause.Kind.PROVIDER, "default", "provider default is paused"),
    ],
)
def test_read__of_a_pause_needs_no_worker(kind, name, limit):
    make_tasks(2)
    pauses.pause(kind, name, reason="a test", by="")

    found = read()

    assert (found.waiting, found.held, found.limit) == (0, 2, limit)
    assert not found.has_errand


def test_read__of_an_open_circuit_needs_one_worker():
    make_task()
    for _ in range(conf.current().circuit_failures):
        limiter.transient_failure("default", "It is down.")

    found = read()

    assert (found.waiting, found.held, found.limit) == (0, 1, "provider default fails")
    assert found.has_errand


def test_read__of_a_wrong_configuration():
    make_task()
    limiter.misconfigured("default", "Invalid key.")

    assert read().limit == "provider default refuses every request"


def test_read__of_a_rate_limit_is_over_with_it():
    make_task()
    limiter.rate_limited("default", 60.0, "Slow down.")
    assert read().limit == "provider default has asked to slow down"

    ProviderState.objects.update(blocked_until=timezone.now() - timedelta(seconds=1))

    assert (read().limit, read().waiting) == ("", 1)


def test_read__of_requests_that_were_rate_limited():
    make_task()
    minute = timezone.now().replace(second=0, microsecond=0)
    ProviderMinute.objects.create(provider="default", minute=minute, requests=20, failed=2, rate_limited=2)

    assert read().limit == "provider default has told 2 of the last 20 requests to slow down"


def test_read__of_a_quota_that_is_used_up(settings):
    settings.EMBEDDING_PROVIDERS = {"default": {**dummy()["default"], "REQUESTS_PER_MINUTE": 10}}
    make_task()
    for _ in range(9):
        quotas.spend(get_provider("default"), 1)

    assert read().limit == "provider default has used 9 of the 10 requests of its quota of a minute"


def test_read__where_nobody_is_there():
    assert not read(is_anybody_there=False).has_errand

    task = make_task(Status.SCHEDULED)
    assert not read(is_anybody_there=False).has_errand

    task.available_at = timezone.now() - timedelta(seconds=1)
    task.save()
    assert read(is_anybody_there=False).has_errand
    assert not read().has_errand  # Somebody's sweep makes it pending.


def test_read__of_what_a_dead_worker_held():
    make_task(Status.PROCESSING, lease_until=timezone.now() - timedelta(seconds=1))

    assert read(is_anybody_there=False).has_errand


def test_read__of_an_operation():
    EmbeddingOperation.objects.create(kind=EmbeddingOperation.Kind.REQUEUE, target="testapp.post")

    assert read(is_anybody_there=False).has_errand


def test_read__with_the_app_switched_off(settings):
    make_task()
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "ENABLED": False}

    assert read() == Backlog()


def test_usual_speed__is_that_of_the_last_requests():
    assert backlog.usual_speed("default") == conf.current().concurrency * conf.current().batch_size

    provider = get_provider("default")
    metrics.record_call(provider, inputs=10, tokens=1, seconds=2.0, outcome="ok", worker="")

    assert backlog.usual_speed("default") == 5.0 * conf.current().concurrency
