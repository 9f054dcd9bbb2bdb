from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from project.development import processes
from tests import services

START_AND_TELL = """
from tests import services
services.start()
print(services.postgres.folder.parent, flush=True)
input()
"""


def started_session():
    """A process that has started its own servers, as a test session does, and their folder."""
    session = subprocess.Popen(
        [sys.executable, "-c", START_AND_TELL],
        env={name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = Path(session.stdout.readline().strip())
    servers = processes.working_in(folder / "postgres", "postgres")
    return session, folder, servers + processes.working_in(folder / "valkey", "valkey-server")


def test_stop__happens_when_the_session_ends():
    session, folder, servers = started_session()

    session.communicate("\n")

    assert servers
    assert not any(processes.is_alive(server) for server in servers)
    assert not folder.exists()


def test_remove_leftovers__of_a_killed_session():
    session, folder, servers = started_session()
    psutil.Process(session.pid).send_signal(signal.SIGKILL)
    session.communicate()
    orphans = [server for server in servers if processes.is_alive(server)]

    services.remove_leftovers()

    assert orphans
    assert not any(processes.is_alive(server) for server in orphans)
    assert not folder.exists()


def test_remove_leftovers__spares_a_living_session():
    session, _, servers = started_session()

    services.remove_leftovers()

    alive = [processes.is_alive(server) for server in servers]
    session.communicate("\n")
    assert alive
    assert all(alive)
