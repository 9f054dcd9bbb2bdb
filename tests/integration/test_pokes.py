"""Pokes: one a transaction, without content, and never needed; Redis may lose, double, reorder and hold them."""

from __future__ import annotations

import json
import random
import time
import zlib
from typing import Any

import pytest
import redis
import rq
from django.db import connection, transaction
from rq.serializers import JSONSerializer

from embeddings import jobs
from embeddings.models import EmbeddingTask, Status
from tests.integration.conftest import dummy, wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "rq:queue:embeddings"
# RQ's own sets: which queues and workers there are.
KEYS_THAT_STAY = {"rq:queues", "rq:workers", "rq:workers:embeddings"}


@pytest.fixture(autouse=True)
def _no_memory_of_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_redis_failed_at", float("-inf"))


def has_vector(post: Post) -> bool:
    return Post.objects.filter(pk=post.pk, embedding__isnull=False).exists()


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def is_current(post: Post) -> bool:
    return EmbeddingTask.objects.filter(object_id=post.pk, status=Status.COMPLETED).exists()


# How many.


def test_poke_on_commit__is_one_for_a_transaction(redis_client):
    with transaction.atomic():
        for number in range(50):
            Post.objects.create(title=f"text {number}")
        with transaction.atomic():
            Post.objects.create(title="in a savepoint")
        hooks = len(connection.run_on_commit)
        queued_before = redis_client.llen(QUEUE)

    assert queued_before == 0
    assert hooks <= 2
    assert redis_client.llen(QUEUE) == 1


def test_poke_on_commit__is_none_for_a_transaction_that_rolls_back(redis_client):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.create(title="never")
        1 / 0  # noqa: B018

    assert redis_client.keys() == []
    assert not EmbeddingTask.objects.exists()


@pytest.mark.parametrize(
    ("outer", "inner", "pokes"), [(True, True, 1), (True, False, 1), (False, True, 0), (False, False, 0)]
)
def test_poke_on_commit__follows_savepoints(redis_client, outer, inner, pokes):
    """`outer` and `inner` say whether the object is saved there; the savepoint inside rolls back."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                if inner:
                    Post.objects.create(title="rolled back")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        if outer:
            Post.objects.create(title="kept")

    assert redis_client.llen(QUEUE) == pokes
    assert EmbeddingTask.objects.count() == pokes


def test_poke_on_commit__is_sent_if_only_an_inner_transaction_saved(redis_client):
    with transaction.atomic(), transaction.atomic():
        Post.objects.create(title="inside")

    assert redis_client.llen(QUEUE) == 1


# What they hold, and what they leave.


def test_poke__carries_neither_ids_nor_texts(redis_client):
    post = Post.objects.create(pk=7654321, title="a secret title")

    (job_id,) = redis_client.lrange(QUEUE, 0, -1)
    job = redis_client.hgetall(f"rq:job:{job_id.decode()}")
    assert json.loads(zlib.decompress(job[b"data"])) == ["embeddings.jobs.drain", None, [], {}]
    everything = repr([content(redis_client, key) for key in redis_client.scan_iter()])
    assert "secret" not in everything
    assert str(post.pk) not in everything


def test_poke__leaves_nothing_behind(workers, redis_client, tmp_path):
    worker = workers.started(providers=dummy())
    for number in range(3):
        Post.objects.create(title=f"text {number}")
        wait_until(is_done)
    Post.objects.create(title="[[transient]]").delete()
    wait_until(lambda: not redis_client.exists(QUEUE, f"{QUEUE}:intermediate"))
    worker.terminate()
    worker.wait(timeout=10)

    stay = {key.decode() for key in redis_client.scan_iter() if redis_client.ttl(key) == -1}
    assert stay <= KEYS_THAT_STAY
    assert max(map(redis_client.ttl, redis_client.keys())) <= 15 * 60


def test_poke__is_forgotten_by_redis_if_no_worker_takes_it_up(redis_client):
    Post.objects.create(title="text")

    stay = {key.decode() for key in redis_client.scan_iter() if redis_client.ttl(key) == -1}
    assert stay <= {*KEYS_THAT_STAY, QUEUE}  # Of the list only the job's id is left when the job is gone.
    assert 0 < redis_client.ttl("embeddings:poked:embeddings") <= 2


def test_poke__does_not_pile_up_when_no_worker_runs(redis_client):
    for _ in range(200):
        jobs.poke(is_coalesced=False)

    assert redis_client.llen(QUEUE) < 100


def content(client: redis.Redis, key: bytes) -> Any:
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"zset": lambda name: client.zrange(name, 0, -1),
    }
    return key, readers[client.type(key)](key)


# Delays.


def test_poke__is_never_held_back_to_the_harm_of_a_save(workers):
    """Each vector within a second of its save, however the save falls into the drain of the one before."""
    workers.started(providers=dummy())
    post = Post.objects.create(title="first")
    wait_until(lambda: has_vector(post))
    chance = random.Random(1)

    delays = []
    for number in range(30):
        post.title = f"text {number}"
        post.save()
        saved_at = time.monotonic()
        wait_until(lambda: is_current(post))
        delays.append(time.monotonic() - saved_at)
        time.sleep(chance.choice([0, 0, 0.005, 0.02, 0.05, 0.1]))

    assert max(delays) < 1.0


def test_poke__may_be_doubled_reordered_and_stale(workers, redis_client, tmp_path):
    log = tmp_path / "requests"
    posts = [Post.objects.create(title=f"text {number}") for number in range(20)]
    for _ in range(5):
        jobs.poke(is_coalesced=False)
    ids = redis_client.lrange(QUEUE, 0, -1)
    redis_client.delete(QUEUE)
    redis_client.rpush(QUEUE, *reversed(ids), *ids, b"no-such-job", *ids)
    rq.Queue("embeddings", connection=redis_client, serializer=JSONSerializer).enqueue("embeddings.jobs.drain")

    workers.start(providers=dummy(LOG=str(log)))

    wait_until(is_done)
    wait_until(lambda: not redis_client.llen(QUEUE))
    texts = [text for line in log.read_text().splitlines() for text in line.split()[1:]]
    assert len(texts) == len(set(texts)) == len(posts)


# Without Redis.


def test_poke__costs_a_save_little_while_redis_is_away_and_the_worker_outlives_it(
    workers, valkey_server, redis_client, tmp_path
):
    log = tmp_path / "requests"
    worker = workers.started(providers=dummy(LATENCY_SECONDS=1.0, LOG=str(log)))
    in_hand = Post.objects.create(title="in hand while Redis stops")
    wait_until(log.exists)

    valkey_server.stop()
    try:
        seconds = [timed_save(f"text {number}") for number in range(100)]
        wait_until(lambda: has_vector(in_hand))
        time.sleep(4)  # The job ends, and the worker looks for the next one, without Redis.
        last = Post.objects.create(title="nobody is told of this one")
    finally:
        valkey_server.start()

    assert max(seconds) < 1.0
    assert sum(seconds) < 10  # A hundred timeouts would be fifty seconds.
    wait_until(is_done)
    assert has_vector(last)
    assert worker.poll() is None, workers.output()
    quick = Post.objects.create(title="the worker hears of this one")
    wait_until(lambda: has_vector(quick))

    valkey_server.stop()
    try:
        worker.terminate()
        assert worker.wait(timeout=10) == 0, workers.output()
    finally:
        valkey_server.start()


def test_poke__costs_a_save_little_while_redis_does_not_answer(redis_client):
    Post.objects.create(title="so that a connection is open")
    redis_client.execute_command("CLIENT", "PAUSE", 4000, "ALL")

    seconds = [timed_save(f"text {number}") for number in range(30)]

    assert max(seconds) < 1.0
    assert sum(seconds) < 3
    assert EmbeddingTask.objects.count() == 31


def timed_save(title: str) -> float:
    """The seconds that a save takes."""
    started = time.monotonic()
    Post.objects.create(title=title)
    return time.monotonic() - started
