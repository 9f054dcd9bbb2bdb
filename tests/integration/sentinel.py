"""A Valkey Sentinel, and the two servers that it watches."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import redis

from project.development import ports
from project.development.server import Server
from project.development.valkey import PROGRAM, ValkeyServer
from tests.integration.conftest import wait_until

NAME = "main"
DOWN_MS = 1_000
TEMPLATE = """\
bind {host}
port {port}
dir {folder}
sentinel monitor {name} {host} {main} 1
sentinel down-after-milliseconds {name} {down}
sentinel failover-timeout {name} 5000
"""


class Sentinel(Server):
    """Watches the server on the port `main`, and makes another one the main server when it is gone."""

    process_name: ClassVar[str] = "valkey-server"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, *, main: int) -> None:
        super().__init__(folder)
        self.main = main

    @property
    def url(self) -> str:
        return f"redis://{ports.LOOPBACK}:{self.port}"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def main_port(self) -> int:
        """Of the server that it names to clients."""
        with self.client() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def knows_a_replica(self) -> bool:
        with self.client() as client:
            replicas = client.sentinel_slaves(NAME)
        return any(each["master-link-status"] == "ok" for each in replicas)

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = TEMPLATE.format(
            host=ports.LOOPBACK, port=self.port, folder=self.folder, name=NAME, main=self.main, down=DOWN_MS
        )
        (self.folder / "sentinel.conf").write_text(text)

    def _command(self) -> list[str]:
        return [str(PROGRAM), str(self.folder / "sentinel.conf"), "--sentinel"]

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[tuple[Sentinel, ValkeyServer]]:
    """A Sentinel that knows a main server, which it gives too, and its replica."""
    with ValkeyServer(folder / "main") as main, ValkeyServer(folder / "replica") as replica:
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof(ports.LOOPBACK, main.port)
        with Sentinel(folder / "sentinel", main=main.port) as sentinel:
            wait_until(sentinel.knows_a_replica)
            yield sentinel, main
