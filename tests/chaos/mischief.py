"""What happens to the servers and to whole processes, besides kills: at moments that the seed spreads over the run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import psycopg
import redis
from django.db import Error as AnyDatabaseError
from django.db import connections

from embeddings.models import EmbeddingTask, Status
from tests.chaos.crew import Crew
from tests.chaos.stage import Stage

# How long a server is away.
AWAY_SECONDS = (0.5, 3.0)
# What has come back is left alone for so long: it is to show what it does.
BREATH_SECONDS = 1.5


class Mischief:
    """Each kind `times` times while the kills go from none to `kills`; what it stops it starts again."""

    def __init__(
        self, stage: Stage, crew: Crew, *, kills: int, times: int, pause_seconds: float, chance: random.Random
    ) -> None:
        self._stage = stage
        self._crew = crew
        self._chance = chance
        self._pause_seconds = pause_seconds
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._rests_until = 0.0
        self.done: Counter[str] = Counter()
        kinds = [kind for kind in self._kinds() for _ in range(times)]
        chance.shuffle(kinds)
        self._waiting = [(kills * (place + 0.5) / len(kinds) * 0.9, kind) for place, kind in enumerate(kinds)]

    def _kinds(self) -> dict[str, Callable[[], bool]]:
        return {
            "Valkey emptied (FLUSHALL)": self._flush,
            "Valkey restarted": partial(self._restart_valkey, "stop"),
            "Valkey killed and started": partial(self._restart_valkey, "kill"),
            "PostgreSQL restarted": partial(self._restart_postgres, "stop"),
            "PostgreSQL killed and started": partial(self._restart_postgres, "kill"),
            "all database connections ended": self._end_connections,
            "child stopped for longer than its lease, then continued": partial(self._pause, with_parent=False),
            "worker and child stopped for longer than the lease, then continued": partial(
                self._pause, with_parent=True
            ),
            "worker asked to stop (SIGTERM)": self._terminate,
        }

    def tick(self, kills_made: int) -> None:
        """Do what is due; one thing of a kind at a time."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()
            self._rests_until = now + BREATH_SECONDS
        if self._waiting and self._waiting[0][0] <= kills_made and not self._later and now > self._rests_until:
            _, kind = self._waiting.pop(0)
            if self._kinds()[kind]():
                self._note(kind)
                self.done[kind] += 1
            else:
                self._waiting.insert(0, (kills_made, kind))

    def _note(self, event: str) -> None:
        """For whoever reads the logs afterwards."""
        with (self._stage.folder / "events.txt").open("a") as file:
            file.write(f"{datetime.now(tz=UTC):%H:%M:%S.%f} {event}\n")

    def is_done(self) -> bool:
        return not self._waiting

    def end(self) -> None:
        """Start and continue at once whatever waits for it."""
        for _, action in self._later:
            action()
        self._later = []

    def _after(self, seconds: float, action: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    def _flush(self) -> bool:
        with redis.Redis.from_url(self._stage.valkey.url) as client:
            client.flushall()
        return True

    def _restart_valkey(self, how: str) -> bool:
        getattr(self._stage.valkey, how)()
        self._after(self._chance.uniform(*AWAY_SECONDS), self._stage.valkey.start)
        return True

    def _restart_postgres(self, how: str) -> bool:
        getattr(self._stage.postgres, how)()
        self._after(self._chance.uniform(*AWAY_SECONDS), self._stage.postgres.start)
        return True

    def _end_connections(self) -> bool:
        with psycopg.connect(self._stage.postgres.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return True

    def _pause(self, *, with_parent: bool) -> bool:
        """Somebody who has tasks in hand, so that others take them over meanwhile."""
        try:
            holders = set(EmbeddingTask.objects.filter(status=Status.PROCESSING).values_list("worker", flat=True))
        except AnyDatabaseError:
            connections.close_all()
            return False
        working = [worker for worker in self._crew.living() if worker.look() and worker.name in holders]
        if not working:
            return False
        worker = self._chance.choice(working)
        assert worker.child is not None
        pids = [worker.child, worker.process.pid] if with_parent else [worker.child]
        worker.is_paused = True
        _send(pids, signal.SIGSTOP)

        self._note(f"{worker.name} stopped")
        # By a timer: it may hold locks that an edit of ours waits for.
        timer = threading.Timer(self._pause_seconds, _send, [pids, signal.SIGCONT])
        timer.start()

        def welcome() -> None:
            timer.join()
            worker.is_paused = False
            self._note(f"{worker.name} continued")

        self._after(self._pause_seconds, welcome)
        return True

    def _terminate(self) -> bool:
        started = [worker for worker in self._crew.living() if worker.has_started and not worker.is_stopping]
        if not started:
            return False
        worker = self._chance.choice(started)
        worker.is_stopping = True
        worker.process.terminate()
        return True


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
