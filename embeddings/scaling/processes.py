"""One `rqworker` process: its start, its last words, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence

from embeddings.worker import supervised

# Lines of what a process writes as errors that are kept, to be shown if it dies.
LAST_LINES = 5


def command(queue: str, *options: str) -> list[str]:
    """What starts a worker: the way in which this process was started, with `rqworker` for its own command."""
    return [sys.executable, *_program(), "rqworker", queue, *options]


def _program() -> list[str]:
    """The path of manage.py, or "-m django" where that is how it was done."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return ["-m", spec.name.removesuffix(".__main__")]
    return [os.path.abspath(sys.argv[0])]


class Process:
    """One run of a worker. In a session of its own: Ctrl-C reaches the supervisor only, which ends all in order."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        # No name is used twice: RQ keeps that of a worker that was killed.
        self.name = f"{socket.gethostname()}.{number}.{uuid.uuid4().hex[:8]}"
        self.started_at = time.monotonic()
        # When it was last asked to end, and how often.
        self.told_at, self.times_told = float("inf"), 0
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._process = subprocess.Popen(
            [*command, "--name", self.name],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **supervised.environment()},
        )
        self._reader = threading.Thread(target=self._relay, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_told(self) -> bool:
        return self.times_told > 0

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.started_at

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end: once to finish what is in flight, twice to give it back; SIGKILL does not ask."""
        self.told_at = time.monotonic()
        self.times_told += 1
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        return self._process.poll()

    def last_words(self) -> str:
        """The last line that it has written as an error; what it was killed by says nothing."""
        self._reader.join(timeout=1.0)
        return next((line for line in reversed(self._lines) if line), "")

    def _relay(self) -> None:
        """Hand on what it writes as errors, as it is: what collects logs may want whole lines of JSON."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._lines.append(line.decode(errors="replace").strip())
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.buffer.write(line)
                    sys.stderr.buffer.flush()


def ending(code: int) -> str:
    """ "exit code 1", "killed by SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
