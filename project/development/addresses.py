"""Where the web server listens, and whether it answers."""

from __future__ import annotations

import http.client

from project.development import ports


class PortError(Exception):
    """The web server cannot have its port; the message says what to do."""


def choose_port(wanted: int, *, explicit: bool) -> int:
    """The wanted port if it is free; else the next free one, unless somebody asked for exactly this one."""
    try:
        free = ports.is_free(wanted)
    except (PermissionError, OverflowError) as exc:
        raise PortError(
            f"Port {wanted} cannot be used: choose one from 1024 to 65535, like `make up PORT=8000`."
        ) from exc
    if free:
        return wanted
    if explicit:
        raise PortError(
            f"Port {wanted} is in use: stop what uses it, or choose another, like `make up PORT={wanted + 1}`."
        )
    return ports.next_free_port(wanted + 1)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
