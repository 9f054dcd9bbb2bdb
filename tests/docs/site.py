"""The reference project as it stands after `make up`, for the commands of the documents to be run against."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from project.development import addresses, ports
from project.development.valkey import ValkeyServer
from tests.acceptance.databases import fresh_database
from tests.docs.shell import python_first

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
# What a developer, or the test session, has exported.
_OTHERS = ("EMBEDDING_", "DJANGO_", "SEMANTIC_", "OPENAI_", "TEST_", "LOG_", "METRICS_", "PORT")
_OPEN = "'pending', 'scheduled', 'rate_limited', 'processing'"
_WAITING = f"SELECT count(*) FROM embeddings_embeddingtask WHERE status IN ({_OPEN})"


@dataclass
class Site:
    """Processes of the project on a database and a Valkey of their own. `environment` is that of the commands."""

    folder: Path
    environment: dict[str, str]
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self) -> None:
        """Return once the web server answers, and the worker has made every vector."""
        self.environment["TOKEN"] = self._fill()
        port = ports.free_port()
        self.environment["SITE"] = f"http://{ports.LOOPBACK}:{port}"
        options = ["--bind", f"{ports.LOOPBACK}:{port}", "--threads", "4", "--no-control-socket"]
        self._start("web", "-m", "gunicorn", "project.wsgi", *options)
        self._start("worker", "manage.py", "rqworker", "embeddings", "--verbosity", "0")
        self._wait(lambda: addresses.answers(port))
        self._wait(lambda: self._waiting() == 0)

    def tidy(self) -> None:
        """Return once nothing is open; what a page has left failed, cancelled, paused or asked for is gone."""
        self._wait(lambda: self._waiting() == 0)
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            connection.execute("DELETE FROM embeddings_embeddingtask WHERE status IN ('failed', 'cancelled')")
            connection.execute("TRUNCATE embeddings_pause, embeddings_webhookendpoint CASCADE")

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _fill(self) -> str:
        filled = subprocess.run(
            [sys.executable, "-m", "tests.docs.content"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert filled.returncode == 0, filled.stdout + filled.stderr
        return filled.stdout.split()[-1]

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [sys.executable, *arguments]
            self._processes.append(
                subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
            )

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            is_alive = all(process.poll() is None for process in self._processes)
            assert is_alive and time.monotonic() < deadline, self._logs()
            time.sleep(0.1)

    def _waiting(self) -> int:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            row = connection.execute(_WAITING).fetchone()
        return int(row[0]) if row else 0

    def _logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Site]:
    """The site, in a folder for its files; all of it has ended afterwards."""
    with ValkeyServer(folder / "valkey") as valkey, _receiver() as receiver:
        own = {
            "DATABASE_URL": fresh_database("docs"),
            "REDIS_URL": valkey.url,
            "RECEIVER": receiver,
            "DJANGO_SETTINGS_MODULE": "tests.docs.settings",
            **python_first(),
            "NO_PROXY": ports.LOOPBACK,
            "TMPDIR": str(folder),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        site = Site(folder, {**inherited, **own})
        try:
            site.begin()
            yield site
        finally:
            site.end()


class _Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every message."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def _receiver() -> Iterator[str]:
    """The address of a server that takes webhooks."""
    with http.server.ThreadingHTTPServer((ports.LOOPBACK, 0), _Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{ports.LOOPBACK}:{server.server_port}/"
        server.shutdown()
