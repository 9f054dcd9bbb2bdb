"""A receiver of webhooks: a real HTTP server that verifies every message with the standardwebhooks library."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError


@dataclass(slots=True)
class Received:
    """One message that was verified."""

    id: str
    payload: dict[str, Any]
    headers: dict[str, str]
    path: str


@dataclass(slots=True)
class Receiver:
    """What a receiver has had, and how it answers."""

    secrets: list[str]
    url: str = ""
    messages: list[Received] = field(default_factory=list)
    # Requests that no secret could verify.
    forged: int = 0
    # Status, headers and body of the next answers; 204 once they are used up.
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    # Seconds before each answer.
    delay: float = 0.0
    # Messages that are being answered now, and the most there ever were.
    present: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, *statuses: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.answers += [(status, headers or {}, body) for status in statuses]

    def kinds(self) -> list[str]:
        return [message.payload["type"] for message in self.messages]

    def tasks(self) -> list[dict[str, Any]]:
        """Of all messages of tasks, in the order in which they came."""
        return [task for message in self.messages for task in message.payload["data"].get("tasks", [])]

    def verify(self, body: bytes, headers: dict[str, str]) -> dict[str, Any] | None:
        for secret in self.secrets:
            try:
                payload: dict[str, Any] = Webhook(secret).verify(body, headers)
            except WebhookVerificationError:
                continue
            return payload
        return None


@contextmanager
def receiving(*secrets: str) -> Iterator[Receiver]:
    """A receiver on a free port of this machine that knows these secrets."""
    receiver = Receiver(list(secrets))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with receiver.lock:
                receiver.present += 1
                receiver.most = max(receiver.most, receiver.present)
            try:
                self._answer()
            finally:
                with receiver.lock:
                    receiver.present -= 1

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            payload = receiver.verify(body, headers)
            time.sleep(receiver.delay)
            with receiver.lock:
                if payload is None:
                    receiver.forged += 1
                else:
                    receiver.messages.append(Received(headers["webhook-id"], payload, headers, self.path))
                status, given, text = receiver.answers.pop(0) if receiver.answers else (204, {}, b"")
            self.send_response(status if payload is not None else 401)
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # whoever sent it has been killed
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
