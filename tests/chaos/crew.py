"""The worker processes: started, watched, and started again when they have died, as systemd would."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Worker:
    """One `rqworker` process; `name` is its name for RQ, in the ledger and in PostgreSQL."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    # The child in which it runs a job, as last seen; it may outlive its parent.
    child: int | None = None
    is_stopping: bool = False
    # It, or its child, is stopped until it has lost its tasks: whoever kills it misses how it comes back.
    is_paused: bool = False

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def has_started(self) -> bool:
        """Whether it waited for work, once."""
        return b"Listening on" in self.log.read_bytes()

    @property
    def has_worked(self) -> bool:
        """Whether it took a job, once. Before that a signal may find it without its handlers."""
        return b"there is work" in self.log.read_bytes()

    def look(self) -> int | None:
        """The child just now."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            self.child = int(children[0]) if children else None
            return self.child
        return None


class Crew:
    """`size` workers at any time. No two of one stage have the same name: RQ remembers the dead for minutes."""

    _numbers = itertools.count(1)

    def __init__(self, size: int, folder: Path, *, embeddings: Mapping[str, Any] | None = None) -> None:
        """`embeddings` is their EMBEDDINGS setting, where it is not the stage's."""
        self._folder = folder
        self._description = json.loads(os.environ["CHAOS_STAGE"])
        if embeddings is not None:
            self._description["embeddings"] = dict(embeddings)
        self._workers: dict[int, Worker | None] = dict.fromkeys(range(1, size + 1))
        # Those that ended without being killed or asked to, and the end of what they said.
        self.deserters: list[str] = []
        self.failed_starts = 0
        self.names: list[str] = []

    def __enter__(self) -> Crew:
        self.keep()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill_all()

    def living(self) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker and worker.is_alive]

    def keep(self) -> None:
        """Start again whoever has ended, once its servers can be had."""
        for slot, worker in self._workers.items():
            if worker is None or not worker.is_alive:
                if worker is not None:
                    self._judge(worker)
                self._workers[slot] = self._start(slot)
            else:
                worker.look()

    def _judge(self, worker: Worker) -> None:
        code = worker.process.returncode
        if code == -signal.SIGKILL or (worker.is_stopping and (code == 0 or not worker.has_worked)):
            return
        if not worker.has_started:
            self.failed_starts += 1  # Valkey was away: systemd tries again, and so do we
            return
        end = "\n".join(worker.log.read_text(errors="replace").splitlines()[-15:])
        self.deserters.append(f"{worker.name} ended with code {code}:\n{end}")

    def _start(self, slot: int) -> Worker:
        name = f"worker-{slot}-{next(self._numbers)}"
        self.names.append(name)
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "rqworker", "embeddings", "--name", name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the run, which ends its workers
                env={**os.environ, "CHAOS_WORKER": name, "CHAOS_STAGE": json.dumps(self._description)},
            )
        return Worker(name, process, log)

    def stop(self, seconds: float) -> list[str]:
        """Ask all to stop; returns the names of those that did not in time."""
        stopping = self.living()
        for worker in stopping:
            worker.is_stopping = True
            worker.process.terminate()
        deadline = time.monotonic() + seconds
        while any(worker.is_alive for worker in stopping) and time.monotonic() < deadline:
            time.sleep(0.05)
        for worker in stopping:
            if not worker.is_alive:
                self._judge(worker)
        late = [worker for worker in stopping if worker.is_alive]
        for worker in late:
            for pid in {worker.process.pid, worker.look() or worker.process.pid}:
                os.kill(pid, signal.SIGUSR2)  # it writes into its log where it is
        time.sleep(0.5 if late else 0)
        return [worker.name for worker in late]

    def orphans(self) -> list[psutil.Process]:
        """Children that have outlived their parents."""
        parents = {worker.process.pid for worker in self.living()}
        return [process for process in self._processes() if not ({process.pid, process.ppid()} & parents)]

    def kill_all(self) -> None:
        """End every process of the crew, orphans and stopped ones too."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for worker in self._workers.values():
            if worker:
                worker.process.wait()

    def _processes(self) -> list[psutil.Process]:
        """All living processes whose environment says that they are of this stage."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if "CHAOS_WORKER" in environment and self._description["folder"] in environment["CHAOS_STAGE"]:
                    found.append(process)
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
