"""Connections that go to an address that was checked, and end in time.

The name is looked up here and nowhere else, and the connection goes to what was found: a name that leads elsewhere a
moment later changes nothing. TLS still verifies the certificate against the name.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from embeddings.webhooks import addresses


class Deadline:
    """A moment by which everything is over."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; raises httpcore2's TimeoutException when there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise httpcore2.TimeoutException("The time is over.")
        return left


class CheckedBackend(httpcore2.NetworkBackend):
    """Connects over TCP to checked addresses only. Raises AddressRefused, OSError, and httpcore2's errors."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        found = addresses.resolve(host.strip("[]"), port, seconds=self._deadline.left())
        for number, address in enumerate(found, 1):
            try:
                stream = self._sockets.connect_tcp(address, port, self._deadline.left(), local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(found):
                    raise
            else:
                return _TimedStream(stream, self._deadline)
        raise httpcore2.ConnectError(f"{host} has no address.")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        raise httpcore2.ConnectError("Webhooks are not sent to sockets in the file system.")


class _TimedStream(httpcore2.NetworkStream):
    """One connection; its steps together take no longer than the deadline, however slowly the other side answers."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), 16_384):  # each piece under what is left of the time
            self._stream.write(buffer[start : start + 16_384], self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
