"""The command as shells, pipes, monitors and people at a terminal have it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from embeddings import heartbeats
from embeddings.models import EmbeddingOperation, Status, WorkerStatus
from tests.integration.conftest import ROOT, Workers, counts, wait_until
from tests.integration.test_cli_bulk import make_many
from tests.ledger_rows import make_task

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

NOWHERE = "127.0.0.1:1"


def begin(*arguments: str, streams: dict[str, Any] | None = None, **environment: str) -> subprocess.Popen[str]:
    """`manage.py embeddings …` on the databases of the test."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "embeddings", *arguments],
        cwd=ROOT,
        text=True,
        env={**os.environ, **Workers.environment(), "TERM": "xterm", **environment},
        **(streams or {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}),
    )


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error)"""
    process = begin(*arguments, **environment)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


class AtTerminal:
    """A run on a pseudo-terminal."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        streams = {"stdin": slave, "stdout": slave, "stderr": slave, "start_new_session": True}
        self.process = begin(*arguments, streams=streams, **environment)
        os.close(slave)
        self.seen = ""

    def until(self, text: str, seconds: float = 30.0) -> str:
        """Read until this was shown."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.seen += self._read()
        return self.seen

    def rest(self) -> str:
        """Read to the end."""
        while piece := self._read():
            self.seen += piece
        self.process.wait(timeout=30)
        return self.seen

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> str:
        try:
            return os.read(self._master, 4096).decode(errors="replace")
        except OSError:  # the other end is closed
            return ""


@pytest.fixture
def terminal() -> Iterator[Callable[..., AtTerminal]]:
    opened: list[AtTerminal] = []

    def start(*arguments: str, **environment: str) -> AtTerminal:
        opened.append(AtTerminal(*arguments, **environment))
        return opened[-1]

    yield start
    for one in opened:
        one.end()


@pytest.fixture
def living() -> None:
    """A worker that lives, however slow the test is, and never does anything."""
    heartbeats.born("host.1")
    WorkerStatus.objects.update(heartbeat_at=timezone.now() + timedelta(minutes=10))


def test_health__in_a_pipe_with_its_exit_code():
    make_task(Status.PENDING)

    code, out, err = run("health", "--json")

    assert (code, err) == (2, "")
    assert json.loads(out)["level"] == "down"


def test_wrong_options__as_text_and_as_json():
    as_text, as_json = run("retry", "--nonsense"), run("nonsense", "--json")

    assert as_text[0] == as_json[0] == 2
    assert "unrecognized arguments: --nonsense" in as_text[2]
    assert json.loads(as_json[1])["error"]["code"] == "usage"
    assert as_json[2] == ""


def test_options_of_django__after_the_subcommand():
    code, out, _ = run("health", "--settings", "tests.worker_settings", "--no-color")

    assert code == 1
    assert out.startswith("degraded: No worker is alive.")


@pytest.mark.parametrize("arguments", [["health"], ["status"], ["failed"], ["retry", "--all", "--yes"], ["check"]])
def test_without_a_database__one_sentence(arguments):
    url = f"postgresql://nobody:secret-password@{NOWHERE}/nothing"

    code, out, err = run(*arguments, DATABASE_URL=url)

    assert code == 2
    assert "cannot be asked" in out + err
    assert "Traceback" not in out + err
    assert "secret-password" not in out + err
    assert (out + err).count("cannot be asked") == 1


def test_without_tables__says_migrate(transactional_db):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE embeddings_embeddingoperation RENAME TO away")
    try:
        code, out, err = run("operations")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO embeddings_embeddingoperation")

    assert (code, out) == (2, "")
    assert err.strip() == ("CommandError: The database lacks tables or columns of embeddings: run manage.py migrate.")


def test_without_redis__is_part_of_the_answer_and_work_is_recorded(living):
    make_task(Status.FAILED)
    environment = {"REDIS_URL": f"redis://{NOWHERE}/0"}

    health, retried = run("health", **environment), run("retry", "--all", "--yes", **environment)

    assert (health[0], health[2]) == (1, "")
    assert "Redis cannot be reached" in health[1]
    assert (retried[0], retried[2]) == (0, "")
    assert counts() == {"pending": 1}


def test_on_a_terminal__colours_unless_they_are_not_wanted(terminal, living):
    coloured = terminal("status").rest()
    plain = terminal("status", NO_COLOR="1").rest()
    piped = run("status")[1]

    assert "\x1b[1;32mwell" in coloured
    assert "\x1b[" not in plain
    assert "\x1b[" not in piped
    assert "well: " in piped


def test_on_a_terminal__asks(terminal):
    make_task(Status.CANCELLED)

    shown = terminal("clear", "--all")
    shown.until("Clear 1 task? [y/N]")
    before = counts()
    shown.type("y\n")

    assert "1 task deleted from the ledger." in shown.rest()
    assert shown.process.returncode == 0
    assert before == {"cancelled": 1}
    assert counts() == {}


def test_ctrl_c__leaves_it_to_the_workers_and_says_how_to_watch_it(terminal, living):
    make_many(1_001)

    shown = terminal("clear", "--all", "--yes")
    operation = wait_until(EmbeddingOperation.objects.first)
    time.sleep(0.5)
    shown.process.send_signal(signal.SIGINT)
    seen = shown.rest()

    assert shown.process.returncode == 130
    assert f"Operation {operation.pk} goes on without you." in seen
    assert f"manage.py embeddings operations {operation.pk} --stop" in seen
    assert "Traceback" not in seen
    operation.refresh_from_db()
    assert operation.is_open


def test_pipe_that_is_closed__no_traceback():
    process = subprocess.run(
        f"{sys.executable} manage.py embeddings check | head -1",
        shell=True,
        cwd=ROOT,
        env={**os.environ, **Workers.environment()},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert process.stdout.count("\n") == 1
    assert "Traceback" not in process.stderr
