"""The programs of one `make up`: started together, heard together, stopped together.

Not honcho: it takes over the signal handlers and the main thread, puts a process of its own between us and each
program, and forgets all of them when it is killed. Here the next run finds them in a file.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from project.development import processes

STOP_SECONDS = 5


class Supervisor:
    """`record` is the file that names the running programs; `show` gets each line they write, after their name."""

    def __init__(self, record: Path, show: Callable[[str], None]) -> None:
        self._record = record
        self._show = show
        self._programs: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, command: list[str]) -> None:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches only us, and we stop the programs in order.
        )
        self._programs[name] = program
        self._write_record()
        threading.Thread(target=self._relay, args=(name, program), daemon=True).start()

    def ended(self) -> str | None:
        """A sentence about the first program that has ended by itself, if one has."""
        for name, program in self._programs.items():
            if program.poll() is not None:
                return f"{name} has ended with exit code {program.returncode}: its last lines above say why."
        return None

    def stop(self) -> None:
        """Ask all programs to end; those that take too long are killed, and their children with them."""
        processes.end(self._alive(), signal.SIGTERM, seconds=STOP_SECONDS)
        for program in self._programs.values():
            program.wait()
        self._programs.clear()
        self._record.unlink(missing_ok=True)

    def stop_leftovers(self) -> None:
        """End what an earlier run started and, being killed, could not stop."""
        processes.end(_recorded(self._record), signal.SIGTERM, seconds=STOP_SECONDS)

    def _alive(self) -> list[psutil.Process]:
        alive = []
        for program in self._programs.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                alive.append(psutil.Process(program.pid))
        return alive

    def _write_record(self) -> None:
        self._record.write_text(json.dumps([(process.pid, process.create_time()) for process in self._alive()]))

    def _relay(self, name: str, program: subprocess.Popen[str]) -> None:
        assert program.stdout is not None
        with program.stdout:
            for line in program.stdout:
                self._show(f"{name} | {line.rstrip()}")


def _recorded(record: Path) -> list[psutil.Process]:
    """The recorded processes that still live; the time of their start tells them from later owners of their ids."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        for pid, created in json.loads(record.read_text()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                found += [process] if process.create_time() == created else []
    return found
