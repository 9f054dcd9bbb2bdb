"""Redis behind Sentinel, as docs/deployment.md has it: a change of servers is a delay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from embeddings import broker
from embeddings.models import EmbeddingTask, Status
from project.development import ports
from project.development.valkey import ValkeyServer
from tests.integration.conftest import counts, wait_until
from tests.integration.sentinel import NAME, Sentinel, watched
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def servers(server_folder, settings) -> Iterator[tuple[Sentinel, ValkeyServer]]:
    with watched(server_folder) as (sentinel, main):
        settings.RQ_QUEUES = {"embeddings": queue(sentinel)}
        yield sentinel, main


def queue(sentinel: Sentinel) -> dict[str, Any]:
    return {
        "SENTINELS": [(ports.LOOPBACK, sentinel.port)],
        "MASTER_NAME": NAME,
        "DB": 0,
        "SOCKET_TIMEOUT": 2,
        "SENTINEL_KWARGS": {"socket_timeout": 2},
        "SERIALIZER": "json",
    }


def test_sentinel__work_goes_on_with_the_next_server(workers, servers):
    sentinel, main = servers
    queues = json.dumps({"embeddings": queue(sentinel)})
    workers.started(DJANGO_SETTINGS_MODULE="tests.integration.sentinel_settings", TEST_QUEUES=queues)
    Post.objects.create(title="before")
    wait_until(lambda: counts() == {Status.COMPLETED: 1})

    main.kill()
    Post.objects.create(title="while it is away")
    wait_until(lambda: sentinel.main_port() != main.port)
    Post.objects.create(title="after")

    wait_until(lambda: counts() == {Status.COMPLETED: 3}, seconds=60)
    assert set(EmbeddingTask.objects.values_list("attempts", "crashes")) == {(1, 0)}
    assert broker.redis().connection_pool.get_connection().port == sentinel.main_port()
