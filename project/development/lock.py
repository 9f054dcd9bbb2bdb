"""One run at a time in one folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class AlreadyRunningError(Exception):
    """Another process holds the lock; `pid` is its process id, as far as it has written it down."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when this process ends, however it ends."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.seek(0)
            raise AlreadyRunningError(file.read()) from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
