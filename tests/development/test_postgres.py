from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest

from project.development import processes
from project.development.postgres import PostgresServer
from project.development.server import ServerError


@pytest.fixture(scope="module")
def server(module_server_folder):
    with PostgresServer(module_server_folder / "postgres") as server:
        yield server


@pytest.fixture
def running(server):
    if not server.is_running():
        server.start()
    return server


def ask(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]


def test_start__has_pgvector(running):
    version = ask(running.url, "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")

    assert tuple(map(int, version.split("."))) >= (0, 8, 4)


def test_start__is_durable_unless_told_otherwise(running):
    assert ask(running.url, "SHOW fsync") == "on"


def test_stop__leaves_no_process_and_keeps_data(running):
    with psycopg.connect(running.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS number")
    port = running.port

    with psycopg.connect(running.url):  # An open session must not delay it.
        running.stop()
    stopped = not running.is_running()
    running.start()

    assert stopped
    assert running.port == port
    assert ask(running.url, "SELECT number FROM kept") == 7


def test_kill__committed_data_survives(running):
    with psycopg.connect(running.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS survived AS SELECT 8 AS number")

    running.kill()
    killed = not running.is_running()
    running.start()

    assert killed
    assert ask(running.url, "SELECT number FROM survived") == 8


def test_start__takes_over_from_a_killed_run(running):
    running.stop()
    child = (
        "import sys, pathlib, project.development.postgres as p; p.PostgresServer(pathlib.Path(sys.argv[1])).start()"
    )
    subprocess.run([sys.executable, "-c", child, str(running.folder)], check=True)
    left = processes.working_in(running.folder, "postgres")

    running.start()

    assert left
    assert not any(processes.is_alive(process) for process in left)
    assert ask(running.url, "SELECT 1") == 1


def test_start__pid_file_names_a_foreign_process(running):
    running.kill()
    pid_file = running.folder / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    # Of the same account: those of others, PostgreSQL passes over by itself.
    bystander = subprocess.Popen(["sleep", "60"], user=running.folder.stat().st_uid)
    pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")

    running.start()

    unharmed = bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert unharmed


def test_start__data_of_another_version(server_folder):
    folder = server_folder / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("15\n")

    with pytest.raises(ServerError, match=rf"PostgreSQL 15, .* is 18: move the folder away \(`mv {folder} "):
        PostgresServer(folder).start()


def test_start__after_a_killed_initdb(server_folder):
    (server_folder / "postgres.unfinished").mkdir()
    (server_folder / "postgres.unfinished" / "PG_VERSION").write_text("18\n")

    with PostgresServer(server_folder / "postgres", durable=False) as server:
        assert ask(server.url, "SHOW fsync") == "off"


def test_start__port_in_use(running, server_folder):
    with pytest.raises(ServerError, match=f"another program uses its port, {running.port}"):
        PostgresServer(server_folder / "postgres", port=running.port).start()


def test_start__failure_shows_the_log(server_folder):
    with PostgresServer(server_folder / "postgres", durable=False) as server:
        server.stop()
        (server.folder / "postgresql.conf").write_text("nonsense = 1\n")

        with pytest.raises(ServerError, match=r'(?s)postgres did not start; .*unrecognized .* "nonsense"'):
            server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_start__as_root_in_a_closed_folder(server_folder):
    closed = server_folder / "closed"
    closed.mkdir(mode=0o700)

    with PostgresServer(closed / "postgres", durable=False) as server:
        [postmaster, *_] = processes.working_in(server.folder, "postgres")
        assert postmaster.uids().effective != 0
