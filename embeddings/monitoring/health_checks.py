"""Health checks for django-health-check: these, or some of them, also fit a project's own HealthCheckView.

Whoever asks learns a word; only where the view says `is_detailed`, a sentence. Neither names a host, a user or a key.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod

from django.db import Error, connections
from health_check.base import HealthCheck
from health_check.exceptions import HealthCheckException

from embeddings import broker, conf, limiter, setup_facts, stats
from embeddings.models import OPEN, ProviderState

Reason = ProviderState.Reason


class Trouble(HealthCheckException):  # type: ignore[misc]
    """What is wrong: a word for everybody, a sentence for who may know more."""

    def __init__(self, sentence: str, word: str = "down") -> None:
        super().__init__(sentence)
        self.word = word

    def __str__(self) -> str:
        return str(self.message)


@dataclasses.dataclass(repr=False)
class Check(HealthCheck):  # type: ignore[misc]
    """Runs on a thread of its own, so on database connections of its own, which it closes."""

    is_detailed: bool = dataclasses.field(default=False, repr=False)

    def __repr__(self) -> str:
        return type(self).__name__.lower()

    def run(self) -> None:
        try:
            self.look()
        except Trouble as exc:
            raise exc if self.is_detailed else Trouble(exc.word, exc.word) from None
        except Error:
            raise Trouble("The database cannot be asked." if self.is_detailed else "down") from None
        finally:
            connections.close_all()

    @abstractmethod
    def look(self) -> None:
        """Raise Trouble, or the database's errors."""


class Process(Check):
    """The process answers; nothing else is asked."""

    def run(self) -> None:
        return

    look = run


class Database(Check):
    """Each of EMBEDDINGS["DATABASES"] answers, has pgvector, and has this app's migrations."""

    def look(self) -> None:
        for using in conf.current().databases:
            facts = setup_facts.of_database(using)
            if not facts.pgvector:
                raise Trouble(f"Database {using!r} has no pgvector: run manage.py migrate.")
            if facts.unapplied:
                raise Trouble(f"Database {using!r} lacks {', '.join(facts.unapplied)}: run manage.py migrate.")


class Redis(Check):
    """The Redis of the queue answers; without a queue none is needed."""

    def look(self) -> None:
        if conf.current().queue_enabled and broker.look() is None:
            raise Trouble("Redis cannot be reached: saves are recorded, but no new work starts.")


class Workers(Check):
    """A worker lives, or nothing waits for one."""

    def look(self) -> None:
        if not conf.current().queue_enabled or stats.workforce().alive:
            return
        counts = stats.ledger_counts().by_status
        if any(counts[status] for status in OPEN):
            raise Trouble("No worker is alive, and tasks wait: start one.")


class Providers(Check):
    """None has its circuit open, or refuses every request."""

    def look(self) -> None:
        known = [state for state in limiter.known_states() if state.alias in conf.provider_aliases()]
        broken = [state.alias for state in known if state.blocked_reason in {Reason.CIRCUIT, Reason.CONFIGURATION}]
        if broken:
            raise Trouble(f"Not called after failures: {', '.join(broken)}.", "degraded")


class Queue(Check):
    """`stats.health` is well."""

    def look(self) -> None:
        health = stats.health()
        if health.level != "well":
            raise Trouble(f"{health.sentence} {health.advice}".strip(), health.level)
