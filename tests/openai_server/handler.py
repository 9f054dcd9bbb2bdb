"""HTTP: one request in, one answer out, or a fault."""

from __future__ import annotations

import json
import math
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from tests.openai_server.answers import answer
from tests.openai_server.faults import Fault
from tests.openai_server.protocol import Refused, check_key, parse

if TYPE_CHECKING:
    from tests.openai_server.server import Listener, OpenAIServer


class Handler(BaseHTTPRequestHandler):
    """POST /v1/embeddings; GET and DELETE /_stats; POST and DELETE /_faults."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet
    disable_nagle_algorithm = True

    @property
    def app(self) -> OpenAIServer:
        return cast("Listener", self.server).app

    def log_message(self, format: str, *args: object) -> None:
        """Tests read the statistics, not a log."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that gave up on us, or was killed
            super().handle()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/_stats":
            self._send(200, self.app.stats_as_json(with_texts="texts" in query))
        else:
            self._send_refusal(Refused(404, f"Invalid URL (GET {path})"))

    def do_DELETE(self) -> None:
        if self.path == "/_stats":
            self.app.stats.reset()
        elif self.path == "/_faults":
            self.app.faults.clear()
        self._send(200, {})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/_faults":
            self.app.faults.add(**json.loads(content))
            self._send(200, {})
        elif self.path == "/v1/embeddings":
            self._embeddings(content)
        else:
            self._send_refusal(Refused(404, f"Invalid URL (POST {self.path})"))

    def _embeddings(self, content: bytes) -> None:
        self.app.quotas.arrive()
        time.sleep(self.app.latency_seconds)
        fault = self.app.faults.next()
        if fault and fault.kind in {"respond", "cut_before"}:
            self._fail(fault)
            return
        try:
            check_key(self.headers.get("authorization"), self.app.api_key)
            request = parse(content, self.app.limits)
            headers = self.app.quotas.take(request.tokens)
        except Refused as refused:
            self.app.stats.answered(refused.status)
            self._send_refusal(refused)
            return
        self.app.stats.billed(request)
        self.app.stats.answered(200)
        self._answer(answer(request, fault.kind if fault else None), headers, fault)

    def _answer(self, body: dict[str, Any], headers: dict[str, str], fault: Fault | None) -> None:
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault and fault.kind == "garbage":
            self._send(200, "<html>200, but not JSON", headers)
        elif fault and fault.kind == "cut_body":
            self._send(200, body, headers, cut=True)
        else:
            self._send(200, body, headers)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "cut_before":
            self.app.stats.answered(0)
            self._hang_up()
            return
        self.app.stats.answered(fault.status)
        if "retry-after-ms" in fault.headers or fault.headers.get("retry-after", "").isdigit():
            seconds = float(fault.headers.get("retry-after-ms", math.inf)) / 1000
            self.app.quotas.told_to_wait(min(seconds, float(fault.headers.get("retry-after", math.inf))))
        error = {"error": {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}}
        self._send(fault.status, error if fault.body is None else fault.body, fault.headers)

    def _send_refusal(self, refused: Refused) -> None:
        self._send(refused.status, refused.body, refused.headers)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
