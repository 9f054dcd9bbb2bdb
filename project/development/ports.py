"""TCP ports of this machine."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range that systems hand out to outgoing connections (32768 up on Linux), so that a server which is
# stopped finds its port still free when it starts again.
SERVER_PORTS = range(20000, 32000)


def is_free(port: int) -> bool:
    """Whether a server may listen on the port now. Raises PermissionError where the system reserves it for root."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except PermissionError:
            raise
        except OSError:
            return False
    return True


def free_port() -> int:
    return next(port for port in iter(lambda: random.choice(SERVER_PORTS), None) if is_free(port))


def next_free_port(first: int) -> int:
    """The first free port from `first` on."""
    return next(port for port in range(first, 65536) if is_free(port))
