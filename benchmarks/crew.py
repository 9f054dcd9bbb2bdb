"""Worker processes of a benchmark: started, waited for until they wait for work, and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rq import Queue, Worker
from rq.worker import WorkerStatus

ROOT = Path(__file__).resolve().parents[1]
POLL_SECONDS = 0.02
START_SECONDS = 60.0
STOP_SECONDS = 60.0


@contextlib.contextmanager
def started(
    count: int = 1,
    *,
    embeddings: Mapping[str, Any] | None = None,
    providers: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many workers as they run in production, with their models loaded, that wait for work.

    `embeddings` changes keys of their EMBEDDINGS, `providers` replaces whole entries of their EMBEDDING_PROVIDERS.
    """
    from embeddings import broker, conf

    environment = {
        "BENCHMARK_EMBEDDINGS": json.dumps(dict(embeddings or {})),
        "BENCHMARK_PROVIDERS": json.dumps(dict(providers or {})),
    }
    with at_work(broker.queue(), [conf.current().queue], count, environment) as workers:
        yield workers


@contextlib.contextmanager
def at_work(
    queue: Queue, arguments: Sequence[str], count: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many `manage.py rqworker` with these arguments, all waiting for jobs of `queue`, which is empty."""
    command = [sys.executable, "manage.py", "rqworker", *arguments, "--verbosity", "0"]
    workers = [_start(command, environment or {}) for _ in range(count)]
    try:
        wait_until(lambda: _are_idle(workers, queue), START_SECONDS, f"{count} workers waited for work")
        yield workers
    finally:
        _stop(workers)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until it is so; ends the benchmark with a sentence if it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"It took more than {seconds:.0f} s until {what}.")
        time.sleep(POLL_SECONDS)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    settings = {"DJANGO_SETTINGS_MODULE": "benchmarks.settings", "LOG_LEVEL": "WARNING"}
    # Standard output is the table's.
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings, **environment}, stdout=sys.stderr)


def _are_idle(workers: Sequence[subprocess.Popen[bytes]], queue: Queue) -> bool:
    for worker in workers:
        if worker.poll() is not None:
            raise SystemExit(f"A worker ended with {worker.returncode} before it had anything to do.")
    pids = {worker.pid for worker in workers}
    found = [worker for worker in Worker.all(queue=queue) if worker.pid in pids]
    is_idle = len(found) == len(pids) and all(worker.get_state() == WorkerStatus.IDLE for worker in found)
    # One that has just started calls itself idle before its first sweep; only then it blocks on Redis.
    are_blocked = queue.connection.info("clients")["blocked_clients"] >= len(pids)
    return is_idle and are_blocked and queue.is_empty()


def _stop(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
