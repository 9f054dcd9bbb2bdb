"""Find the processes that belong to us, and end them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

import psutil


def working_in(folder: Path, name: str) -> list[psutil.Process]:
    """The living processes called `name` whose working directory is `folder`, parents before children.

    A process id in a file proves nothing once its process has died: the id may be somebody else's by now. A server's
    working directory is its data folder, also when the folder was deleted under it.
    """
    return [process for _, process in sorted(_matches(folder.resolve(), name), key=itemgetter(0))]


def _matches(folder: Path, name: str) -> Iterator[tuple[float, psutil.Process]]:
    """With the time of each one's start. A process may end while we look at it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == name and is_alive(process) and process.cwd() == str(folder):
                yield process.create_time(), process


def with_children(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and everything they have started, as far as it is still their child."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process, *process.children(recursive=True)]
    return list(dict.fromkeys(found))


def end(processes: Iterable[psutil.Process], polite: signal.Signals, *, seconds: float) -> None:
    """Send each process the polite signal, wait that long, then kill what is left, children included."""
    asked = list(processes)
    everybody = with_children(asked)
    send(asked, polite)
    send(wait(everybody, seconds), signal.SIGKILL)
    wait(everybody, seconds)


def wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended, at most that long; returns those that have not."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs: a zombie has ended, and only waits for its parent to notice."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
