"""The web server of a benchmark, as `make up` runs it: one gunicorn process with eight threads, and a pool."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import crew
from project.development import addresses, ports
from project.development.up import web_command

START_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where it is, who may write there, and what it logs: a line with a status and microseconds for each request."""

    pid: int
    port: int
    token: str
    log: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}

    def post(self, path: str, data: Any) -> None:
        """Ends the benchmark if it is refused."""
        with contextlib.closing(http.client.HTTPConnection(ports.LOOPBACK, self.port, timeout=60)) as server:
            server.request("POST", path, json.dumps(data), self.headers)
            answer = server.getresponse()
            content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{path} answered {answer.status}: {content[:200]!r}")

    def milliseconds(self) -> list[float]:
        """How long a thread had each request so far, from its first line to the end of its answer."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [int(microseconds) / 1000 for method, _, microseconds in lines if method == "POST"]


@contextlib.contextmanager
def started(token: str) -> Iterator[Site]:
    """A server that answers; `token` is that of a user who may do what is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        log, port = Path(folder) / "access.log", ports.free_port()
        command = [*web_command(port), "--access-logfile", str(log), "--access-logformat", "%(m)s %(s)s %(D)s"]
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
        process = subprocess.Popen(command, cwd=crew.ROOT, env=environment)
        try:
            crew.wait_until(lambda: addresses.answers(port), START_SECONDS, "the web server answered")
            yield Site(process.pid, port, token, log)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
