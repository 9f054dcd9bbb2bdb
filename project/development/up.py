"""`make up`: everything the reference project needs, in the foreground, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from types import FrameType

import django
import psutil
import redis
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection
from rich.console import Console

from project import environment
from project.development import addresses, lock, login, ports, processes
from project.development.postgres import PostgresServer
from project.development.progress import VectorProgress
from project.development.server import Server, ServerError
from project.development.supervisor import Supervisor
from project.development.valkey import ValkeyServer

DATA = environment.SERVICES_FILE.parent
WEB_START_SECONDS = 60
POLL_SECONDS = 0.5

console = Console(soft_wrap=True, markup=False, highlight=False)


class Ended(Exception):
    """A program of ours has ended by itself; the message says which."""


def main() -> int:
    """Run until a signal (exit code 0) or until something cannot run (1, with a sentence)."""
    _turn_signals_into_one_interrupt()
    DATA.mkdir(exist_ok=True)
    try:
        with lock.held(DATA / "up.lock"), contextlib.ExitStack() as stack:
            _run(stack)
    except lock.AlreadyRunningError as exc:
        console.print(
            f"`make up` runs in this folder already: use it, or stop it first (Ctrl-C there, or `kill {exc.pid}`)."
        )
        return 1
    except (ServerError, addresses.PortError, Ended, CommandError) as exc:
        console.print(str(exc))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
    return 0


def _turn_signals_into_one_interrupt() -> None:
    """The first SIGINT, SIGTERM or SIGHUP interrupts the work; later ones must not interrupt the stopping."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        # Not print(): the signal may have come in the middle of one.
        os.write(sys.stdout.fileno(), "\nStopping …\n".encode())
        raise KeyboardInterrupt

    for number in signals:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # As nohup sets it.
            signal.signal(number, interrupt)


def _run(stack: contextlib.ExitStack) -> None:
    """Start all, one after the other; the stack stops all, the other way round."""
    values = environment.read()  # A value that cannot be used stops us here, before anything runs.
    supervisor = Supervisor(DATA / "processes.json", console.print)
    supervisor.stop_leftovers()
    port = addresses.choose_port(values.port, explicit=bool(os.environ.get("PORT")))
    if port != values.port:
        console.print(f"Port {values.port} is in use, so this takes {port}.")
    stack.callback(_end_own_children)
    _start_servers(stack)
    info = _prepare()
    stack.callback(supervisor.stop)
    _start_programs(supervisor, port, values.workers)
    _wait_for_web(supervisor, port)
    _announce(port, info)
    _watch(supervisor, stack)


def _start_servers(stack: contextlib.ExitStack) -> None:
    """Start those that the environment does not name, and tell where they are: by environment, and by file."""
    servers: dict[str, Server] = {
        "DATABASE_URL": PostgresServer(DATA / "postgres"),
        "REDIS_URL": ValkeyServer(DATA / "valkey"),
    }
    for name, server in servers.items():
        stack.callback(server.stop)
        if os.environ.get(name):
            server.stop()  # An earlier run, without the variable, may have been killed.
            console.print(f"Using {name} instead of an own {server.process_name}.")
        else:
            server.start()
            os.environ[name] = server.url
    environment.SERVICES_FILE.write_text(json.dumps({name: os.environ[name] for name in servers}))
    environment.SERVICES_FILE.chmod(0o600)
    stack.callback(environment.SERVICES_FILE.unlink, missing_ok=True)


def _prepare() -> str:
    """Bring database, login and content up to date; returns the login, as it is told."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    _check_servers()
    console.print("Bringing the database up to date …")
    call_command("migrate", interactive=False, verbosity=0)
    info = login.ensure(DATA / "admin-password")
    if not environment.read().debug:
        call_command("collectstatic", interactive=False, verbosity=0)
    console.print("Loading content (some seconds the first time) …")
    # What is wrong with the settings is said here, and not by a worker among the vectors' progress.
    call_command("check", databases=["default"])
    call_command("load_content")
    return info


def _check_servers() -> None:
    try:
        connection.ensure_connection()
    except OperationalError as exc:
        raise ServerError(f"The PostgreSQL server of DATABASE_URL cannot be used: {str(exc).strip()}") from exc
    try:
        redis.Redis.from_url(os.environ["REDIS_URL"], socket_connect_timeout=5).ping()
    except redis.RedisError as exc:
        raise ServerError(f"The server of REDIS_URL cannot be used: {exc}") from exc


def _start_programs(supervisor: Supervisor, port: int, workers: int) -> None:
    os.environ["PYTHONUNBUFFERED"] = "1"
    supervisor.start("web", web_command(port))
    worker = [sys.executable, "manage.py", "rqworker", "embeddings", "--verbosity", "0"]
    for number in range(1, workers + 1):
        supervisor.start(f"worker {number}", worker)


def web_command(port: int) -> list[str]:
    """One process of the web server, with eight threads."""
    options = f"--bind {ports.LOOPBACK}:{port} --threads 8 --graceful-timeout 3 --no-control-socket"
    return [sys.executable, "-m", "gunicorn", "project.wsgi", *options.split(), "--log-level", "error"]


def _wait_for_web(supervisor: Supervisor, port: int) -> None:
    deadline = time.monotonic() + WEB_START_SECONDS
    while not addresses.answers(port):
        _check(supervisor)
        if time.monotonic() > deadline:
            raise Ended(f"The web server did not answer within {WEB_START_SECONDS} seconds.")
        time.sleep(0.1)


def _announce(port: int, info: str) -> None:
    start_page = f"http://{ports.LOOPBACK}:{port}/"
    console.print(f"""
  Search  {start_page}
  Admin   {start_page}admin/
  API     {start_page}api/docs/
  Login   {info}

Ctrl-C stops everything; the data stays in {os.path.relpath(DATA)}/.
""")


def _watch(supervisor: Supervisor, stack: contextlib.ExitStack) -> None:
    """Show the progress until the vectors are there; return never, but raise what ends the run."""
    from embeddings.stats import counts_by_status  # Models can be imported only once Django is set up.

    progress = VectorProgress(console)
    stack.callback(progress.close)
    while True:
        _check(supervisor)
        if not progress.finished:
            with contextlib.suppress(DatabaseError):
                progress.update(counts_by_status())
            connection.close()
        time.sleep(POLL_SECONDS)


def _check(supervisor: Supervisor) -> None:
    if sentence := supervisor.ended():
        raise Ended(sentence)


def _end_own_children() -> None:
    """Whatever an interrupt at a bad moment left."""
    processes.end(psutil.Process().children(), signal.SIGTERM, seconds=2)


if __name__ == "__main__":
    sys.exit(main())
