"""Web processes share a few connections between all their threads; nothing else has a pool."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from project import environment
from project.content.models import Article
from project.development import addresses, ports
from tests.integration import sessions
from tests.integration.conftest import wait_until

NAME = "web-with-a-pool"
USERS = 40
MOST = 10
TOKEN = "a" * 32


@pytest.fixture(autouse=True)
def _no_variables_of_the_developer(monkeypatch) -> None:
    for name in ("DATABASE_POOL", "DATABASE_POOL_MIN_SIZE", "DATABASE_POOL_MAX_SIZE"):
        monkeypatch.delenv(name, raising=False)


# The settings.


def test_database_settings__of_a_web_process(monkeypatch):
    monkeypatch.setenv("DATABASE_POOL", "true")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h:1/d?sslmode=require&conn_max_age=60")

    database = environment.database_settings(environment.read())

    pool = database["OPTIONS"].pop("pool")
    assert (pool["min_size"], pool["max_size"]) == (2, 10)
    assert database["OPTIONS"] == {"sslmode": "require"}
    assert (database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == (0, True)


def test_database_settings__of_any_other_process():
    assert "pool" not in environment.database_settings(environment.read()).get("OPTIONS", {})


def test_database_settings__of_a_pool_smaller_than_the_usual_least(monkeypatch):
    monkeypatch.setenv("DATABASE_POOL", "true")
    monkeypatch.setenv("DATABASE_POOL_MAX_SIZE", "1")

    assert environment.database_settings(environment.read())["OPTIONS"]["pool"]["min_size"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_POOL", "maybe"),
        ("DATABASE_POOL_MAX_SIZE", "0"),
        ("DATABASE_POOL_MAX_SIZE", "many"),
        ("DATABASE_POOL_MIN_SIZE", "-1"),
        ("DATABASE_POOL_MIN_SIZE", "11"),
    ],
)
def test_read__a_pool_that_cannot_be_stops_the_start_with_one_sentence(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=rf"^The environment variable {name} must be .*, not '{value}'\.$"):
        environment.read()


# A web process with more threads than connections.

Request = Callable[..., int]


@pytest.fixture
def web(transactional_db, client) -> Iterator[Request]:
    """request(method, path, **fields) → status, of an operator who is logged in."""
    client.force_login(User.objects.create_superuser("operator"))
    cookie = f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}"
    headers = {"Cookie": cookie, "X-CSRFToken": TOKEN, "Content-Type": "application/x-www-form-urlencoded"}
    port = ports.free_port()

    def request(method: str, path: str, **fields: str) -> int:
        with contextlib.closing(http.client.HTTPConnection(ports.LOOPBACK, port, timeout=30)) as server:
            server.request(method, path, body=urlencode(fields), headers=headers)
            with server.getresponse() as response:
                response.read()
                return response.status

    process = start_web(port)
    wait_until(lambda: addresses.answers(port))
    yield request
    process.terminate()
    assert process.wait(timeout=10) == 0  # Its pool's threads do not hold it up.


def start_web(port: int) -> subprocess.Popen[bytes]:
    database = connection.settings_dict
    address = f"postgresql://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    options = ["--bind", f"{ports.LOOPBACK}:{port}", "--threads", str(USERS), "--no-control-socket"]
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "project.wsgi", *options, "--log-level", "error", "--graceful-timeout", "3"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DJANGO_DEBUG": "false",  # Django's page for developers asks the database nine times over.
            "DJANGO_SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": address,
            "PGAPPNAME": NAME,
        },
    )


def connections_of_web() -> int:
    with sessions.session() as other:
        count = other.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [NAME]).fetchone()
        assert count
        return int(count[0])


def save(web: Request, number: int) -> int:
    fields = {"slug": f"article-{number}", "title": f"Article {number}", "content": "text"}
    return web("POST", "/admin/content/article/add/", **fields)


def test_web__keeps_to_its_pool_when_many_save_at_once(web):
    most = 0
    is_over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_over.is_set():
            most = max(most, connections_of_web())
            time.sleep(0.01)

    watcher = sessions.in_thread(watch)
    with ThreadPoolExecutor(USERS) as users:
        statuses = list(users.map(lambda number: save(web, number), range(5 * USERS)))
    is_over.set()
    watcher()

    assert statuses == [302] * 5 * USERS
    assert Article.objects.count() == 5 * USERS
    assert 2 <= most <= MOST


def test_web__hands_out_no_connection_that_was_ended(web):
    assert web("GET", "/") == 200

    with sessions.session() as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [NAME])

    assert [web("GET", "/") for _ in range(5)] == [200] * 5


def test_web__says_so_soon_when_its_database_is_away_and_is_back_with_it(web, postgres_server):
    assert web("GET", "/") == 200
    connection.close()
    postgres_server.stop()
    try:
        asked_at = time.monotonic()
        assert web("GET", "/") == 500
        assert time.monotonic() - asked_at < 8
    finally:
        postgres_server.start()

    wait_until(lambda: web("GET", "/") == 200, seconds=6)
