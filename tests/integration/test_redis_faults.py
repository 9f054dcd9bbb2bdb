"""Redis may lose everything, stop, stall or break its connections: saves go on, nothing is lost, workers reappear."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import rq
from rq.command import send_shutdown_command
from rq.serializers import JSONSerializer

from embeddings import broker, jobs
from embeddings.models import EmbeddingTask, Status, WorkerStatus
from tests.integration import sessions
from tests.integration.conftest import child_of, counts, dummy, wait_until
from tests.integration.proxy import Proxy
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

QUEUE = "embeddings"
# A save waits for an answer of Redis at most half a second; the rest is the machine's.
SAVE_SECONDS = 1.0
# A backfill of some seconds, in many requests.
BACKFILL = {"embeddings": {"BATCH_SIZE": 20, "CONCURRENCY": 2}, "providers": dummy(LATENCY_SECONDS=0.1)}
BACKFILL_ROWS = 400


@pytest.fixture(autouse=True)
def _no_memory_of_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_redis_failed_at", float("-inf"))


@pytest.fixture
def proxy(redis_client, settings) -> Iterator[Proxy]:
    """Between this process and Redis; `through` puts it between a worker and Redis too."""
    url = urlsplit(os.environ["REDIS_URL"])
    queue = settings.RQ_QUEUES[QUEUE]
    with Proxy(url.hostname, url.port) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setitem(queue, "URL", through(proxy)["REDIS_URL"])
        forget_connections()
        yield proxy
    forget_connections()


def through(proxy: Proxy) -> dict[str, str]:
    """The environment of a worker that reaches Redis through the proxy."""
    url = urlsplit(os.environ["REDIS_URL"])
    return {"REDIS_URL": url._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()}


def forget_connections() -> None:
    broker.queue.cache_clear()
    broker.redis.cache_clear()


@pytest.fixture
def memory(redis_client) -> Iterator[Callable[[int, str], None]]:
    """Limits the memory of Redis to a number of bytes, under a policy; both are put back at the end."""
    names = ("maxmemory", "maxmemory-policy")
    before = {name: redis_client.config_get(name)[name] for name in names}

    def limit(size: int, policy: str) -> None:
        redis_client.config_set("maxmemory-policy", policy)
        redis_client.config_set("maxmemory", size)

    yield limit
    for name, value in before.items():
        redis_client.config_set(name, value)


def make_posts(count: int) -> list[Post]:
    return Post.objects.bulk_create([Post(title=f"text {number}") for number in range(count)])


def timed_save(title: str) -> float:
    """The seconds that a save takes."""
    started = time.monotonic()
    Post.objects.create(title=title)
    return time.monotonic() - started


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def assert_complete(rows: int) -> None:
    """Every row has its vector, and nothing failed or was counted as a crash."""
    assert counts() == {"completed": rows}
    assert not Post.objects.filter(embedding=None).exists()
    assert not EmbeddingTask.objects.exclude(crashes=0).exists()


def in_the_list(redis_client, state: str = "idle") -> bool:
    """Whether RQ's pages show one worker, with all that they show of one."""
    queue = rq.Queue(QUEUE, connection=redis_client)
    found = [rq.Worker.all(connection=redis_client), rq.Worker.all(queue=queue)]
    return [[describe(worker) for worker in workers] for workers in found] == [[(True, [QUEUE], state, True)]] * 2


def describe(worker: rq.Worker) -> tuple[bool, list[str], str, bool]:
    known = all([worker.pid, worker.hostname, worker.ip_address, worker.last_heartbeat])
    return known, worker.queue_names(), worker.get_state(), worker.birth_date is not None


def takes_commands(redis_client, worker) -> bool:
    """Once the worker listens again: tells it to end, and whether it does."""
    name = WorkerStatus.objects.get(pid=worker.pid).name
    wait_until(lambda: redis_client.pubsub_numsub(f"rq:pubsub:{name}")[0][1])
    send_shutdown_command(redis_client, name)
    with contextlib.suppress(Exception):
        worker.wait(timeout=20)
    return worker.poll() == 0 and WorkerStatus.objects.get(pid=worker.pid).state == "stopped"


# Lost data.


def test_flushall__costs_an_idle_worker_nothing(workers, redis_client):
    worker = workers.started()
    wait_until(lambda: in_the_list(redis_client))

    redis_client.flushall()

    wait_until(lambda: in_the_list(redis_client), seconds=5)
    assert redis_client.ttl(rq.Worker.all(connection=redis_client)[0].key) > 0
    Post.objects.create(title="after it")
    wait_until(is_done, seconds=2)
    assert takes_commands(redis_client, worker), workers.output()
    assert rq.Worker.all(connection=redis_client) == []


def test_flushall__costs_a_backfill_nothing(workers, redis_client):
    workers.started(**BACKFILL)
    make_posts(BACKFILL_ROWS)
    wait_until(lambda: counts().get("completed"))

    saves = 0
    while not is_done():
        redis_client.flushall()
        assert timed_save("amid it") < SAVE_SECONDS
        saves += 1
        time.sleep(0.5)

    assert saves > 1
    assert_complete(BACKFILL_ROWS + saves)
    wait_until(lambda: in_the_list(redis_client), seconds=5)


def test_flushall__leaves_a_busy_worker_in_the_list(workers, redis_client):
    worker = workers.started(providers=dummy(LATENCY_SECONDS=20))
    Post.objects.create(title="slow")
    wait_until(lambda: child_of(worker))

    redis_client.flushall()

    wait_until(lambda: in_the_list(redis_client, "busy"), seconds=8)
    assert child_of(worker), "The job was not disturbed."


# Restarts.


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart__is_waited_for(workers, valkey_server, redis_client, end):
    worker = workers.started(**BACKFILL)
    make_posts(BACKFILL_ROWS)
    wait_until(lambda: counts().get("completed"))

    getattr(valkey_server, end)()
    try:
        seconds = [timed_save(f"without Redis {number}") for number in range(20)]
        time.sleep(5)  # The job ends, and the worker looks for the next one.
    finally:
        valkey_server.start()

    assert max(seconds) < SAVE_SECONDS
    wait_until(is_done)
    assert_complete(BACKFILL_ROWS + 20)
    wait_until(lambda: in_the_list(redis_client), seconds=5)
    assert takes_commands(redis_client, worker), workers.output()
    assert "Exception in thread" not in workers.output()


# Slow, silent, cut.


def test_slow__costs_time_only(workers, redis_client, proxy):
    """Each answer comes 0.3 s late; a save waits for up to three."""
    worker = workers.started(**BACKFILL, **through(proxy))
    Post.objects.create(title="so that a connection is open")
    proxy.delay_seconds = 0.3
    make_posts(BACKFILL_ROWS)

    seconds = [timed_save(f"slow {number}") for number in range(10)]

    assert max(seconds) < 0.9 + SAVE_SECONDS
    wait_until(is_done)
    assert_complete(BACKFILL_ROWS + 11)
    wait_until(lambda: in_the_list(redis_client))  # The end of a job alone takes a dozen answers.
    assert worker.poll() is None


def test_half_open__is_noticed_by_an_idle_worker(workers, redis_client, proxy):
    worker = workers.started(**through(proxy))
    Post.objects.create(title="so that connections are open")
    wait_until(is_done)

    proxy.freeze()
    seconds = [timed_save(f"nobody answers {number}") for number in range(3)]
    wait_until(is_done, seconds=15)

    assert max(seconds) < SAVE_SECONDS
    wait_until(lambda: in_the_list(redis_client), seconds=15)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=10) == 0


def test_half_open__is_noticed_by_a_busy_worker(workers, redis_client, proxy):
    worker = workers.started(**BACKFILL, **through(proxy))
    make_posts(BACKFILL_ROWS)
    wait_until(lambda: counts().get("completed"))

    proxy.freeze()
    assert timed_save("nobody answers") < SAVE_SECONDS

    wait_until(is_done)
    assert_complete(BACKFILL_ROWS + 1)
    Post.objects.create(title="after it")
    wait_until(is_done, seconds=15)
    wait_until(lambda: in_the_list(redis_client), seconds=15)
    assert worker.poll() is None


def test_cut_connections__are_made_anew_each_time(workers, redis_client, proxy):
    worker = workers.started(**BACKFILL, **through(proxy))
    make_posts(BACKFILL_ROWS)

    with proxy.cutting(every_seconds=0.3):
        seconds = [timed_save(f"cut {number}") for number in range(50)]
        wait_until(is_done)

    assert max(seconds) < SAVE_SECONDS
    assert_complete(BACKFILL_ROWS + 50)
    wait_until(lambda: in_the_list(redis_client), seconds=5)
    assert takes_commands(redis_client, worker), workers.output()
    assert "Exception in thread" not in workers.output()


# Memory.


def test_eviction__loses_no_work(workers, redis_client, memory):
    workers.started(**BACKFILL)
    memory(redis_client.info("memory")["used_memory"] + 1_000_000, "allkeys-random")
    make_posts(BACKFILL_ROWS)

    saves = 0
    while not is_done():
        for number in range(200):
            redis_client.set(f"junk-{saves}-{number}", "x" * 20_000)
        assert timed_save("amid it") < SAVE_SECONDS
        saves += 1
        time.sleep(0.2)

    assert redis_client.info("stats")["evicted_keys"] > 500
    assert_complete(BACKFILL_ROWS + saves)
    wait_until(lambda: in_the_list(redis_client), seconds=5)


def test_full_memory__is_waited_for(workers, redis_client, memory):
    worker = workers.started(**BACKFILL)
    make_posts(BACKFILL_ROWS)
    wait_until(lambda: counts().get("completed"))

    memory(1, "noeviction")
    seconds = [timed_save(f"full {number}") for number in range(20)]
    time.sleep(5)
    memory(0, "noeviction")

    assert max(seconds) < SAVE_SECONDS
    wait_until(is_done)
    assert_complete(BACKFILL_ROWS + 20)
    assert worker.poll() is None, workers.output()


# Nonsense.


def test_nonsense_in_redis__does_not_end_a_worker(workers, redis_client):
    worker = workers.started()
    name = WorkerStatus.objects.get(pid=worker.pid).name
    worker.send_signal(signal.SIGSTOP)
    remnant = rq.Queue(QUEUE, connection=redis_client, serializer=JSONSerializer).enqueue("embeddings.jobs.drain")
    redis_client.delete(remnant.key)
    redis_client.hset(remnant.key, "last_heartbeat", "what a late sign of life leaves of a lost job")
    redis_client.rpush(f"rq:queue:{QUEUE}", remnant.id, "no-such-job")
    redis_client.publish(f"rq:pubsub:{name}", b"\xff no JSON")

    worker.send_signal(signal.SIGCONT)
    Post.objects.create(title="beside it")

    wait_until(is_done, seconds=10)
    assert worker.poll() is None, workers.output()
    assert takes_commands(redis_client, worker), workers.output()


# Doing it at once.


def test_schedule__embeds_here_while_redis_is_away_where_settings_say_so(redis_client, valkey_server, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DIRECT_FALLBACK": True, "BATCH_SIZE": 3}
    valkey_server.stop()
    try:
        post = Post.objects.create(title="while Redis is away")
        Post.objects.bulk_create(Post(title=f"one of many {number}") for number in range(5))
    finally:
        valkey_server.start()

    assert Post.objects.get(pk=post.pk).embedding is not None
    assert counts() == {Status.COMPLETED: 4, Status.PENDING: 2}


def test_schedule__leaves_the_work_to_workers_that_can_be_called(redis_client, settings):
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "DIRECT_FALLBACK": True}

    Post.objects.create(title="while Redis is there")

    assert counts() == {Status.PENDING: 1}
    assert redis_client.llen(f"rq:queue:{QUEUE}") == 1
