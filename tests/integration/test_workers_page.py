from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from embeddings import broker, stats
from embeddings.models import Status, WorkerStatus
from tests.ledger_rows import make_task
from tests.testapp.models import Memo

pytestmark = pytest.mark.django_db

WORKERS = "/admin/embeddings/workerstatus/"


def make_worker(name: str = "host.1", **values: object) -> WorkerStatus:
    now = timezone.now()
    return WorkerStatus.objects.create(
        name=name, **{"started_at": now - timedelta(seconds=100), "heartbeat_at": now, **values}
    )


def register(redis_client, *names: str) -> None:
    """As RQ's workers do."""
    for name in names:
        redis_client.sadd("rq:workers:embeddings", f"rq:worker:{name}")
        redis_client.hset(f"rq:worker:{name}", "state", "idle")


def html_of(client: Client, address: str = WORKERS) -> str:
    response = client.get(address)

    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def no_redis(settings) -> None:
    settings.RQ_QUEUES = {"embeddings": {"URL": "redis://127.0.0.1:9/0", "SERIALIZER": "json"}}


class TestBroker:
    def test_worker_names__are_those_that_redis_still_knows(self, redis_client):
        register(redis_client, "host.1", "host.2")
        redis_client.sadd("rq:workers:embeddings", "rq:worker:gone")
        redis_client.sadd("rq:workers:other", "rq:worker:elsewhere")

        assert broker.worker_names() == {"host.1", "host.2"}

    def test_look__counts_the_messages(self, redis_client):
        redis_client.rpush("rq:queue:embeddings", "a", "b")

        assert broker.look() == broker.QueueView(depth=2, workers=frozenset())

    def test_worker_names__without_redis(self, no_redis):
        assert broker.worker_names() is None
        assert broker.look() is None


class TestInHand:
    def test_in_hand__counts_by_target(self):
        first = timezone.now() - timedelta(minutes=3)
        make_task(Status.PROCESSING, claimed_at=timezone.now())
        make_task(Status.PROCESSING, claimed_at=first)
        make_task(Status.PROCESSING, model=Memo)
        make_task(Status.PROCESSING, worker="host.2")
        make_task(Status.COMPLETED, worker="host.1")

        found = stats.in_hand("host.1")

        assert [(one.target, one.count, one.since) for one in found] == [
            ("testapp.post.embedding", 2, first),
            ("testapp.memo.embedding", 1, None),
        ]


class TestList:
    def test_list__tells_whom_redis_does_not_know(self, admin_client, redis_client):
        make_worker("known")
        make_worker("lost")
        make_worker("ended", state="stopped")
        make_worker("silent", heartbeat_at=timezone.now() - timedelta(minutes=3))
        register(redis_client, "known")

        html = html_of(admin_client)

        assert html.count("unknown to Redis") == 1
        assert "Redis knows workers" not in html

    def test_list__leads_to_what_is_in_hand(self, admin_client, redis_client):
        make_worker(claimed=1_256)

        html = html_of(admin_client)

        assert '/embeddingtask/?status__exact=processing&amp;worker=host.1">1,256</a>' in html

    def test_list__names_whom_only_redis_knows(self, admin_client, redis_client):
        make_worker("known")
        register(redis_client, "known", "stranger.1", "stranger.2")

        html = html_of(admin_client)

        assert "Redis knows workers that are silent here: stranger.1, stranger.2." in html

    def test_list__without_redis(self, admin_client, no_redis):
        make_worker()

        html = html_of(admin_client)

        assert "unknown to Redis" not in html
        assert "Redis cannot be reached" in html

    def test_list__shows_the_speed_of_a_life(self, admin_client, redis_client):
        make_worker(completed=900, failed=100)

        assert '<td class="field-speed">10 a second</td>' in html_of(admin_client)


class TestDetail:
    def test_detail__shows_what_is_in_hand(self, admin_client, redis_client):
        worker = make_worker(claimed=1, state="active")
        make_task(Status.PROCESSING, claimed_at=timezone.now() - timedelta(minutes=2))

        html = html_of(admin_client, f"{WORKERS}{worker.pk}/change/")

        assert "1 of testapp.post.embedding, the first taken" in html
        assert "/admin/embeddings/embeddingtask/?status__exact=processing&amp;worker=host.1" in html

    def test_detail__with_nothing_in_hand(self, admin_client, redis_client):
        html = html_of(admin_client, f"{WORKERS}{make_worker().pk}/change/")

        assert "Nothing." in html
        assert "registers again within 5 s" in html

    def test_detail__of_a_worker_that_redis_knows(self, admin_client, redis_client):
        register(redis_client, "host.1")

        assert "registers again" not in html_of(admin_client, f"{WORKERS}{make_worker().pk}/change/")
