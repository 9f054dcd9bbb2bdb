"""Signals as messages: none is lost, none waits for a server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import connection, connections

from embeddings.scaling.signals import Inbox, Interrupted

FIRST, SECOND = signal.SIGUSR1, signal.SIGUSR2
SOON_SECONDS = 0.2


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox((FIRST, SECOND))
    yield made
    made.close()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def send_soon(number: signal.Signals) -> None:
    threading.Timer(SOON_SECONDS, send, [number]).start()


def test_wait__returns_what_came_in_order(inbox):
    for number in (FIRST, SECOND, FIRST):
        send(number)

    assert inbox.wait(30) == [FIRST, SECOND, FIRST]
    assert inbox.wait(0.01) == []


def test_wait__ends_with_the_first_signal(inbox):
    started = time.monotonic()
    send_soon(FIRST)

    assert inbox.wait(30) == [FIRST]
    assert time.monotonic() - started < 10


def test_wait__ends_with_the_end_of_a_child(inbox):
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", str(SOON_SECONDS))
    started = time.monotonic()

    assert inbox.wait(30) == []
    assert time.monotonic() - started < 10
    os.waitpid(child, 0)


@pytest.mark.django_db(transaction=True)
def test_interrupting__breaks_off_a_query(inbox):
    send_soon(FIRST)
    started = time.monotonic()

    with pytest.raises(Interrupted), inbox.interrupting(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")

    assert time.monotonic() - started < 10
    assert inbox.wait(30) == [FIRST]
    connections.close_all()
    with connection.cursor() as cursor:  # The server would sleep on.
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")


def test_interrupting__does_not_begin_once_a_signal_came(inbox):
    send(FIRST)

    with pytest.raises(Interrupted), inbox.interrupting():
        pytest.fail("It began.")

    assert inbox.wait(30) == [FIRST]


def test_receive__breaks_off_nothing_else(inbox):
    with inbox.interrupting():
        pass

    send(FIRST)

    assert inbox.wait(30) == [FIRST]


def test_close__puts_all_back():
    before = signal.getsignal(FIRST)
    inbox = Inbox((FIRST,))
    assert signal.getsignal(FIRST) != before

    inbox.close()

    assert signal.getsignal(FIRST) == before
    assert signal.set_wakeup_fd(-1) == -1
