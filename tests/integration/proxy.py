"""A TCP proxy between a client and a server, which fails as networks do: slow, silent, cut."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536
# Closing with this sends a reset instead of an orderly end.
ABORT = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes everything on to the server at an address."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        # How much later each answer of the server arrives.
        self.delay_seconds = 0.0
        self._links: set[_Link] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def freeze(self) -> None:
        """From now on the present connections carry neither data nor an end, for ever; new ones do."""
        for link in list(self._links):
            link.is_frozen.set()

    def cut(self) -> None:
        """Reset all connections."""
        for link in list(self._links):
            link.cut()

    @contextlib.contextmanager
    def cutting(self, every_seconds: float) -> Iterator[None]:
        """Reset all connections again and again."""
        ended = threading.Event()

        def cut() -> None:
            while not ended.wait(every_seconds):
                self.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        yield
        ended.set()
        thread.join()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # The listener is closed.
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._server)
                except OSError:
                    _reset(client)
                    continue
                self._links.add(_Link(self, client, server))


class _Link:
    """One connection through the proxy, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self.is_frozen = threading.Event()
        for source, target in ((client, server), (server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def cut(self) -> None:
        for end in (self._client, self._server):
            _reset(end)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # The other direction's thread, or `cut`, has closed both.
            while data := source.recv(CHUNK_BYTES):
                if source is self._server:
                    time.sleep(self._proxy.delay_seconds)
                if self.is_frozen.is_set():
                    return
                target.sendall(data)
        if not self.is_frozen.is_set():
            self.cut()
            self._proxy._links.discard(self)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
