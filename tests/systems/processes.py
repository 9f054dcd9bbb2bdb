"""The reference project as its operators run it: commands, workers and a web server, told by the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from project.development import addresses, ports
from tests.integration.conftest import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "t" * 32


class Visitor:
    """Somebody who is logged in at a web server; addresses begin with "/"."""

    def __init__(self, port: int, user: User) -> None:
        self._address = f"http://{ports.LOOPBACK}:{port}"
        login = Client()
        login.force_login(user)
        self._session = requests.Session()
        self._session.cookies.update({"sessionid": login.cookies["sessionid"].value, "csrftoken": TOKEN})
        self._session.headers["X-CSRFToken"] = TOKEN

    def get(self, path: str, parameters: dict[str, str]) -> requests.Response:
        return self._session.get(self._address + path, params=parameters, timeout=30)

    def send(self, method: str, path: str, values: Any) -> requests.Response:
        """Send `values` as JSON."""
        return self._session.request(method, self._address + path, json=values, timeout=30)


class Project:
    """Processes with the project's own settings, on the test's database and Redis."""

    def __init__(self, folder: Path, **environment: str) -> None:
        """`environment` holds for all of them; each may add to it."""
        self._folder = folder
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without a terminal."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._env(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def server(self, user: User, **environment: str) -> Visitor:
        """Start a web server; returns `user`, logged in there."""
        port = ports.free_port()
        options = ["--bind", f"{ports.LOOPBACK}:{port}", "--threads", "2", "--no-control-socket"]
        self._start("web", [sys.executable, "-m", "gunicorn", "project.wsgi", *options], environment)
        wait_until(lambda: addresses.answers(port), seconds=60)
        return Visitor(port, user)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self._folder / f"{name}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._env(environment), stdout=log, stderr=subprocess.STDOUT
            )
        self._processes.append(process)

    def _env(self, environment: dict[str, str]) -> dict[str, str]:
        """Nothing of what a developer has exported."""
        own = ("EMBEDDING_", "DJANGO_", "SEMANTIC_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        database = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
        return {**inherited, "DATABASE_URL": database, **self._environment, **environment}
