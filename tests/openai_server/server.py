"""The server itself: start, address, stop."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.openai_server.faults import Faults
from tests.openai_server.handler import Handler
from tests.openai_server.protocol import Limits
from tests.openai_server.quotas import Quotas
from tests.openai_server.stats import Stats

API_KEY = "sk-test-0123456789abcdefghijklmnopqrstuv"


class Listener(ThreadingHTTPServer):
    """A thread a connection."""

    daemon_threads = True
    request_queue_size = 128
    app: OpenAIServer

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class OpenAIServer:
    """Listens on 127.0.0.1 from its making on, and answers within its `with` block (or in `serve_forever`).

    `port` 0 takes a free one; `api_key` None lets everybody in, as Ollama does.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str | None = API_KEY,
        limits: Limits | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst_seconds: float = 60.0,
        latency_seconds: float = 0.0,
    ) -> None:
        self.api_key = api_key
        self.limits = limits or Limits()
        self.quotas = Quotas(requests_per_minute, tokens_per_minute, burst_seconds=burst_seconds)
        self.latency_seconds = latency_seconds
        self.faults = Faults()
        self.stats = Stats()
        self._listener = Listener(("127.0.0.1", port))
        self._listener.app = self
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_port}"

    @property
    def base_url(self) -> str:
        """What goes into BASE_URL."""
        return f"{self.url}/v1"

    def stats_as_json(self, *, with_texts: bool) -> dict[str, Any]:
        violations = [asdict(violation) for violation in self.quotas.violations]
        return {**self.stats.as_json(with_texts=with_texts), "violations": violations}

    def serve_forever(self) -> None:
        self._listener.serve_forever(poll_interval=0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.hang_up()
        self._listener.server_close()
