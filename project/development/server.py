"""A server program in a folder of its own, on a port of 127.0.0.1."""

from __future__ import annotations

import abc
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from project.development import ports, processes

START_SECONDS = 60  # Long, because after a crash PostgreSQL replays its log first.
STOP_SECONDS = 8
LOG_LINES_SHOWN = 10


class ServerError(Exception):
    """The server cannot run; the message says why and what to do."""


class Server(abc.ABC):
    """Starts, stops and kills the program; what differs between programs is in the subclasses.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches only the process that will stop it. It keeps
    its port from one start to the next. Everything it writes to its output is in a log file beside its folder.
    """

    process_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port or ports.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """What DATABASE_URL or REDIS_URL is set to."""

    @property
    def log(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")

    def start(self) -> None:
        """Return once the server answers; whatever an earlier run left in the folder is stopped first."""
        self.stop()
        if not ports.is_free(self.port):
            raise ServerError(f"{self.process_name} cannot start: another program uses its port, {self.port}.")
        self._prepare()
        self._process = self._run(self._command())
        self._wait_until_it_answers(self._process)

    def stop(self) -> None:
        """Shut down in order: open connections are closed, data is written."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it at once and without warning, as a power failure would."""
        self._end(signal.SIGKILL)

    def is_running(self) -> bool:
        return bool(processes.working_in(self.folder, self.process_name))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abc.abstractmethod
    def _command(self) -> list[str]: ...

    @abc.abstractmethod
    def _prepare(self) -> None: ...

    @abc.abstractmethod
    def _answers(self) -> bool: ...

    def _popen_options(self) -> dict[str, Any]:
        return {}

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._popen_options(),
            )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerError(f"{self.process_name} did not start; the end of {self.log}:\n{self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def _end(self, number: signal.Signals) -> None:
        found = processes.working_in(self.folder, self.process_name)
        # Only the first is asked: it ends its own children. A kill takes all of them, or the survivors hold the data.
        processes.end(found if number is signal.SIGKILL else found[:1], number, seconds=STOP_SECONDS)
        if self._process is not None:
            self._process.wait()
            self._process = None
