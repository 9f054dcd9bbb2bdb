"""Quotas that several processes share on a real Valkey, and what becomes of them without it.

Minutes are some seconds long here: the window is patched, and the test server's bucket holds as much.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from embeddings import broker, conf, ledger, quotas
from embeddings.models import OPEN, EmbeddingTask, Status, WorkerStatus
from embeddings.providers import get_provider
from embeddings.providers.dummy import DummyProvider
from embeddings.quotas import local, shared, waits
from tests.integration.conftest import openai
from tests.openai_server import OpenAIServer
from tests.openai_server.quotas import Bucket
from tests.testapp.models import Post

ROOT = Path(__file__).resolve().parents[2]
DUMMY = {"BACKEND": "embeddings.providers.dummy.DummyProvider", "MODEL": "dummy", "DIMENSIONS": 8}

# The part of a quota that is used in short windows on a busy machine, where who should ask again is often late by a
# twentieth of one. For minutes see the simulation in tests/unit/quotas.
USED_UP = 0.85

Allowed = list[tuple[float, int]]


@pytest.fixture(autouse=True)
def _no_memory(redis_client: Any) -> Iterator[None]:
    """Nothing is used of any quota, and Redis has never been away."""
    shared.reset()
    local.reset()
    yield
    shared.reset()


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the length of a window, in seconds."""
    return lambda seconds: monkeypatch.setattr(waits, "WINDOW_SECONDS", seconds)


def provider(requests: int | None = None, tokens: int | None = None, *, alias: str = "default") -> DummyProvider:
    """A provider with these quotas a window."""
    factor = 60 // waits.WINDOW_SECONDS
    return DummyProvider(
        conf.ProviderSettings(
            alias,
            "",
            "dummy",
            8,
            requests_per_minute=requests and requests * factor,
            tokens_per_minute=tokens and tokens * factor,
        )
    )


def taken(quota: DummyProvider, tokens: int = 1, *, tries: int = 100) -> int:
    """How many of `tries` requests were allowed."""
    return sum(quotas.take(quota, tokens) == 0 for _ in range(tries))


def count(redis_client: Any, name: str) -> int:
    """What Redis counts of a quota in the present window."""
    return int(redis_client.get(f"embeddings:quota:{{embeddings/default/{name}}}") or 0)


# Asking.


def test_take__allows_the_quota_and_then_says_when_to_ask_again(window):
    window(2)
    quota = provider(requests=20)

    allowed, wait = taken(quota), quotas.take(quota, 1)

    assert allowed == 20
    assert 1.5 < wait <= 2.01  # The window began with the first request, and ends two seconds later.


@pytest.mark.parametrize(("limit", "cost"), [({"requests": 20}, 1), ({"tokens": 20}, 1), ({"tokens": 20}, 10)])
def test_take__is_right_about_when_to_ask_again(window, limit, cost):
    window(1)
    quota = provider(**limit)
    taken(quota)

    time.sleep(quotas.take(quota, cost) - 0.25)
    too_early = quotas.take(quota, cost)
    time.sleep(too_early)

    assert 0 < too_early <= 0.25
    assert quotas.take(quota, cost) == 0


def test_take__waits_for_the_slower_of_two_quotas(window):
    window(2)
    quota = provider(requests=10, tokens=1000)
    taken(provider(requests=10), tries=10)
    wait_for_a_request = quotas.take(quota, 1)

    taken(provider(tokens=1000), 1000, tries=1)

    assert 0.5 < wait_for_a_request < quotas.take(quota, 1000)


def test_take__uses_both_quotas_or_neither(redis_client):
    quota = provider(requests=10, tokens=1000)
    assert quotas.take(quota, 1000) == 0

    refused_for_tokens = taken(quota, 1, tries=5)
    after_refusals = count(redis_client, "requests"), count(redis_client, "tokens")
    redis_client.flushdb()
    taken(quota, 1, tries=10)
    refused_for_requests = taken(quota, 100, tries=5)

    assert refused_for_tokens == refused_for_requests == 0
    assert after_refusals == (1, 1000)
    assert (count(redis_client, "requests"), count(redis_client, "tokens")) == (10, 10)


def test_take__uses_both_quotas_or_neither_whoever_else_asks(redis_client):
    quota = provider(requests=60, tokens=6000)

    with ThreadPoolExecutor(8) as threads:
        allowed = sum(threads.map(lambda _: taken(quota, 50, tries=50), range(8)))

    assert 55 <= allowed <= 60  # What another is about to give back may cost one its turn, for a millisecond.
    assert (count(redis_client, "requests"), count(redis_client, "tokens")) == (allowed, allowed * 50)


def test_take__a_request_larger_than_the_quota_costs_all_of_it(window):
    window(1)
    quota = provider(tokens=100)

    first, then = quotas.take(quota, 5000), quotas.take(quota, 1)
    wait = quotas.take(quota, 5000)
    time.sleep(wait)

    assert (first, quotas.take(quota, 5000)) == (0, 0)
    assert 0 < then < wait <= 2.01


def test_take__leaves_other_providers_alone(redis_client):
    taken(provider(requests=10), tries=20)

    assert taken(provider(requests=10, alias="second"), tries=20) == 10


def test_take__leaves_other_projects_on_the_same_redis_alone(settings):
    taken(provider(requests=10), tries=20)

    settings.RQ_QUEUES = {**settings.RQ_QUEUES, "theirs": settings.RQ_QUEUES["embeddings"]}
    settings.EMBEDDINGS = {"QUEUE": "theirs"}

    assert taken(provider(requests=10), tries=20) == 10


def test_take__follows_a_quota_that_changes_without_forgetting_what_was_used():
    taken(provider(requests=10), tries=20)

    assert taken(provider(requests=15), tries=20) == 5
    assert taken(provider(requests=10), tries=20) == 0


def test_take__leaves_nothing_behind(window, redis_client):
    window(1)
    taken(provider(requests=10, tokens=10))
    keys = redis_client.keys()

    assert {key.decode() for key in keys} == {
        "embeddings:quota:{embeddings/default/requests}",
        "embeddings:quota:{embeddings/default/tokens}",
    }
    time.sleep(2.1)
    assert redis_client.keys() == []


def test_take__costs_neither_redis_nor_the_database_without_quotas(monkeypatch):
    """… whether Redis is away or not; this test may not use the database."""
    asked: list[str] = []
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0)
    monkeypatch.setattr(broker, "redis", lambda: asked.append("Redis"))
    quota = provider()

    for is_away in (False, True):
        shared._note(is_away=is_away)
        quotas.spend(quota, 100)
        quotas.correct(quota, 1, 100)
        assert quotas.take(quota, 10**9) == 0
        assert shared._is_away == is_away  # Nobody has learnt anything.

    assert asked == []


def test_take__outlives_a_redis_that_forgets_everything(redis_client, caplog):
    quota = provider(requests=10)
    taken(quota)

    redis_client.flushall()

    assert taken(quota) == 10
    assert not caplog.records


# Using without asking.


def test_spend__counts_even_when_nothing_is_left(redis_client):
    quota = provider(requests=10, tokens=1000)
    taken(quota, 100)

    quotas.spend(quota, 7)

    assert (count(redis_client, "requests"), count(redis_client, "tokens")) == (11, 1007)


@pytest.mark.parametrize(("actual", "counted"), [(150, 150), (100, 100), (50, 100), (0, 100), (None, 100)])
def test_correct__counts_what_was_estimated_too_low(redis_client, actual, counted):
    quota = provider(requests=10, tokens=1000)
    quotas.take(quota, 100)

    quotas.correct(quota, 100, actual)

    assert (count(redis_client, "requests"), count(redis_client, "tokens")) == (1, counted)


# Several processes.


def take_in_processes(processes: int, **arguments: Any) -> Allowed:
    """What so many processes were allowed together, in order."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.quota_taker", json.dumps({**arguments, "seed": seed})],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(processes)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0] for process in running]
    assert all(json.loads(output) for output in printed), "One process was allowed nothing."
    return sorted((at, tokens) for output in printed for at, tokens in json.loads(output))


def most_in_a_window(allowed: Allowed, seconds: float) -> int:
    """The most requests in any stretch of so many seconds."""
    times = [at for at, _ in allowed]
    return max(sum(start <= at < start + seconds for at in times) for start in times)


def refused_by_a_bucket(allowed: Allowed, requests: int, seconds: int) -> int:
    """How many of the requests a server would refuse that refills a bucket of `requests` evenly in `seconds`."""
    bucket = Bucket(requests * 60 / seconds, capacity=requests, level=requests, filled_at=allowed[0][0])
    refused = 0
    for at, _ in allowed:
        bucket.fill(at)
        if bucket.wait_seconds(1):
            refused += 1
        else:
            bucket.level -= 1
    return refused


def test_take__two_processes_share_a_quota_and_use_it_up():
    """From nothing used: no more than the quota in any window, however it is laid.

    But for those that waited together for less than MIN_WAIT_SECONDS, which is much of these short windows.
    """
    allowed = take_in_processes(
        2, window=2, provider={**DUMMY, "REQUESTS_PER_MINUTE": 6000}, tokens=[1, 1], seconds=6, send=False
    )

    # A busy machine writes some times down late, so that they fall together. Each by itself would take 400.
    assert most_in_a_window(allowed, 2) <= 260
    assert refused_by_a_bucket(allowed, 200, 2) <= 6
    assert USED_UP * 600 <= len(allowed) <= 600


@pytest.mark.parametrize(
    ("scarce", "limits", "tokens"),
    [
        ("requests", {"requests_per_minute": 1200, "tokens_per_minute": 600_000}, (1, 300)),
        ("tokens", {"requests_per_minute": 6000, "tokens_per_minute": 180_000}, (50, 150)),
    ],
)
def test_take__uses_a_server_s_quota_up_without_being_refused(scarce, limits, tokens):
    windows, seconds = 3, 3
    with OpenAIServer(**limits, burst_seconds=seconds) as server:
        entry = {**openai(server)["default"], **{name.upper(): value for name, value in limits.items()}}
        take_in_processes(2, window=seconds, provider=entry, tokens=tokens, seconds=windows * seconds, send=True)

    used = {"requests": server.stats.statuses[200], "tokens": server.stats.tokens}[scarce]
    assert server.stats.statuses[429] <= 0.01 * server.stats.requests
    assert USED_UP <= used / (limits[f"{scarce}_per_minute"] * windows * seconds / 60) <= 1


# Without Redis.


@pytest.fixture
def _three_workers_live(db: None) -> None:
    """… one has stopped, one has not been heard of for long."""
    for number, (state, age) in enumerate([("active", 1), ("idle", 5), ("error", 25), ("stopped", 1), ("active", 60)]):
        beaten_at = Now() - timedelta(seconds=age)
        WorkerStatus.objects.create(name=f"{number}", state=state, started_at=beaten_at, heartbeat_at=beaten_at)


@pytest.fixture
def without_redis(valkey_server: Any) -> Iterator[None]:
    valkey_server.stop()
    yield
    valkey_server.start()


@pytest.fixture
def _in_one_window() -> None:
    """A process counts by the minutes of the clock: don't let one end during the test."""
    if (left := 60 - time.time() % 60) < 5:
        time.sleep(left)


@pytest.mark.usefixtures("_three_workers_live", "_in_one_window", "without_redis")
def test_take__without_redis_is_from_this_worker_s_share():
    quota = provider(requests=30, tokens=3000)

    assert taken(quota, 1) == 10
    assert quotas.take(quota, 1) > 0
    assert taken(provider(tokens=3000, alias="second"), 100) == 10


@pytest.mark.usefixtures("_three_workers_live", "_in_one_window")
def test_take__what_a_worker_used_before_redis_went_is_of_its_share(valkey_server, caplog, monkeypatch):
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0)
    quota = provider(requests=30)
    before = taken(quota, tries=7)

    valkey_server.stop()
    try:
        after = taken(quota)
    finally:
        valkey_server.start()

    assert (before, after) == (7, 3)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Redis is away (ConnectionError)" in caplog.text


@pytest.mark.usefixtures("_three_workers_live", "_in_one_window")
def test_take__shares_again_when_redis_is_back(valkey_server, redis_client, caplog, monkeypatch):
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.2)
    quota = provider(requests=30)
    valkey_server.stop()
    try:
        alone = taken(quota)
    finally:
        valkey_server.start()
    time.sleep(0.2)

    with caplog.at_level(logging.INFO, "embeddings"):
        together = taken(quota)

    assert (alone, together, count(redis_client, "requests")) == (10, 30, 30)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.usefixtures("db", "_in_one_window", "without_redis")
def test_take__without_redis_and_workers_is_from_the_whole():
    """Nobody but this process embeds: the queue is off."""
    assert taken(provider(requests=30)) == 30


@pytest.mark.usefixtures("_three_workers_live", "_in_one_window", "without_redis")
def test_take__without_redis_a_request_larger_than_the_share_goes_alone():
    quota = provider(requests=300, tokens=3000)

    assert taken(quota, 2000) == 1
    assert taken(quota, 1) == 0


@pytest.mark.usefixtures("_three_workers_live", "without_redis")
def test_take__without_redis_is_right_about_when_to_ask_again(window):
    window(1)
    quota = provider(tokens=60)
    taken(quota)

    time.sleep(quotas.take(quota, 20))

    assert quotas.take(quota, 20) == 0


@pytest.mark.usefixtures("db")
def test_take__asks_for_the_workers_once_in_a_while(django_assert_num_queries, without_redis):
    with django_assert_num_queries(1):
        count = taken(provider(requests=30), tries=50)

    assert count == 30


@pytest.mark.usefixtures("db", "without_redis")
def test_spend_and_correct__never_raise_and_count_without_redis():
    quota = provider(requests=30, tokens=3000)

    quotas.spend(quota, 1000)
    quotas.correct(quota, 1000, 1500)

    assert taken(quota, 100) == 15


@pytest.mark.usefixtures("db")
def test_take__does_not_wait_again_for_a_redis_that_hangs(redis_client, caplog):
    quota = provider(requests=1000)
    quotas.take(quota, 1)
    redis_client.execute_command("CLIENT", "PAUSE", 1500, "ALL")

    started = time.monotonic()
    allowed = taken(quota, tries=50)
    seconds = time.monotonic() - started

    assert allowed == 50
    assert broker.TIMEOUT_SECONDS <= seconds < broker.TIMEOUT_SECONDS + 0.5
    assert "Redis is away (TimeoutError)" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("db")
def test_take__goes_on_where_redis_is_full(redis_client, caplog):
    quota = provider(requests=10)
    redis_client.config_set("maxmemory", "1")
    try:
        allowed = taken(quota)
    finally:
        redis_client.config_set("maxmemory", "0")

    assert allowed == 10
    assert "OutOfMemoryError" in caplog.text


# Threads and forks.


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    """Threads interrupt each other wherever they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("db", "_in_one_window", "without_redis", "_hasty_threads")
def test_take__threads_share_what_the_process_counts(monkeypatch):
    monkeypatch.setattr(shared, "RETRY_SECONDS", 60)
    many = [provider(requests=4, tokens=40, alias=f"{number}") for number in range(50)]
    local.live_workers()  # They are known, so that no thread opens a connection.

    with ThreadPoolExecutor(8) as threads:
        allowed = [sum(threads.map(lambda _, quota=quota: taken(quota, 10, tries=1), range(8))) for quota in many]

    assert allowed == [4] * len(many)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_redis_there", [True, False])
def test_take__works_in_a_child_whose_parent_held_every_lock(valkey_server, is_redis_there):
    quota = provider(requests=10)
    taken(quota, tries=20)
    if not is_redis_there:
        valkey_server.stop()
    connections.close_all()
    try:
        with local._lock, shared._lock, local._counts().locks["anything"]:
            in_child = taken_in_child(quota)
    finally:
        if not is_redis_there:
            valkey_server.start()

    assert in_child == (0 if is_redis_there else 10)


def taken_in_child(quota: DummyProvider) -> int:
    """How many of 20 requests are allowed in a forked child; fails if it hangs."""
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: sending.send(taken(quota, tries=20)))
    child.start()
    try:
        assert receiving.poll(15), "The child hangs."
        answer: int = receiving.recv()
    finally:
        child.kill()
        child.join()
    return answer


def test_take__a_process_leaves_no_thread_that_keeps_it_from_ending():
    taken(provider(requests=10))

    before = set(threading.enumerate())
    time.sleep(0.1)

    assert set(threading.enumerate()) <= before
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


# Through the pipeline.


@pytest.mark.django_db(transaction=True)
def test_drain__uses_a_server_s_quota_up_without_being_refused(window, settings, drain):
    window(2)
    limits = {"requests_per_minute": 900, "tokens_per_minute": 1_000_000}
    with OpenAIServer(**limits, burst_seconds=2, latency_seconds=0.01) as server:
        entry = {**openai(server)["default"], **{name.upper(): value for name, value in limits.items()}}
        entry["OPTIONS"] = {**entry["OPTIONS"], "MAX_INPUTS": 1}
        settings.EMBEDDING_PROVIDERS = {"default": entry}
        get_provider("default").ping()  # The SDK is imported, which takes long on a busy machine.
        Post.objects.bulk_create([Post(title=f"text {number}") for number in range(120)])

        started = time.monotonic()
        while EmbeddingTask.objects.filter(status__in=OPEN).exists():
            ledger.promote_due()
            drain()
            time.sleep(0.02)
        seconds = time.monotonic() - started

    assert not EmbeddingTask.objects.exclude(status=Status.COMPLETED, attempts=1).exists()
    assert server.stats.statuses[429] <= 0.01 * server.stats.requests
    assert seconds <= 8 / USED_UP  # 30 at once, and from two seconds later on 15 a second.
