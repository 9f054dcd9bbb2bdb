"""How often a process waits for an answer of Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from redis.connection import AbstractConnection


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """A list with one number: the packets of commands, of all connections, that are sent in the block.

    What a pipeline sends at once is one, as is a command by itself: the next waits for its answer.
    """
    count = [0]
    send = AbstractConnection.send_packed_command

    def send_counted(self: AbstractConnection, *args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return send(self, *args, **kwargs)

    with mock.patch.object(AbstractConnection, "send_packed_command", send_counted):
        yield count
