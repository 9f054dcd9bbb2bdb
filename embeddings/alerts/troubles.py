"""What is wrong now, in one sentence each that says what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.text import Truncator

from embeddings import census, conf, limiter, pauses
from embeddings.durations import duration
from embeddings.models import (
    ALIVE_SECONDS,
    Alert,
    AuditEvent,
    CensusCount,
    EmbeddingTask,
    Pause,
    ProviderState,
    Status,
    WorkerStatus,
)

Kind = Alert.Kind
Reason = ProviderState.Reason

# Failed tasks that are counted, unless the setting asks for more.
MOST_COUNTED = 100_000
# Without a worker, what has waited so long needs one.
PATIENCE = timedelta(seconds=30)
# An older census says nothing of what waits now.
OLDEST_CENSUS_SECONDS = 600.0
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Trouble:
    kind: Alert.Kind
    message: str
    # A provider's alias; "" for what is about everything.
    subject: str = ""


def find(kinds: Iterable[Alert.Kind]) -> list[Trouble]:
    """All there is of these kinds."""
    return [trouble for kind in kinds for trouble in _FINDERS[kind]()]


def _failed() -> Iterator[Trouble]:
    least = conf.current().alert_failed
    if not least:
        return
    most = max(least, MOST_COUNTED)
    failed = sum(_tasks(using, status=Status.FAILED)[:most].count() for using in conf.current().databases)
    if failed >= least:
        count = f"{failed:,}{' or more' if failed >= most else ''} {'task has' if failed == 1 else 'tasks have'} failed"
        yield Trouble(Kind.FAILED, f"{count}. See the failures by group, remove their cause, and retry them.")


def _waiting() -> Iterator[Trouble]:
    """By the census, which has looked at them all."""
    most = conf.current().alert_waiting_seconds
    waited = max((seconds for using in conf.current().databases for seconds in _waits(using)), default=0.0)
    if most and waited > most:
        advice = "See whether enough workers run, and whether a provider is slow or blocked."
        yield Trouble(Kind.WAITING, f"A task has been waiting for {duration(waited)}. {advice}")


def _waits(using: str) -> Iterator[float]:
    """For how many seconds tasks have been waiting that nobody keeps waiting on purpose."""
    count = census.latest(using)
    if count.age_seconds > OLDEST_CENSUS_SECONDS:
        return
    paused = set(_pauses())
    for row in count.tasks:
        if row.waiting_since and not paused & _names(row, using):
            yield (count.taken_at - row.waiting_since).total_seconds() + count.age_seconds


def _pauses() -> Iterator[tuple[str, str]]:
    """(kind, name) of those in force."""
    return iter(pauses.in_force().values_list("kind", "name"))


def _names(row: CensusCount, using: str) -> set[tuple[str, str]]:
    """What holds up these tasks when it is paused."""
    content_type = ContentType.objects.db_manager(using).get_for_id(row.content_type_id)
    target = f"{content_type.app_label}.{content_type.model}.{row.field}"
    return {(Pause.Kind.EVERYTHING, ""), (Pause.Kind.PROVIDER, row.provider), (Pause.Kind.TARGET, target)}


def _no_worker() -> Iterator[Trouble]:
    settings = conf.current()
    if not (settings.enabled and settings.queue_enabled) or _lives_any_worker():
        return
    if any(_awaits_worker(using) for using in settings.databases):
        advice = f"Start one: manage.py rqworker {settings.queue}"
        yield Trouble(Kind.NO_WORKER, f"Tasks wait, and no worker is alive. {advice}")


def _lives_any_worker() -> bool:
    workers = WorkerStatus.objects.using(conf.current().databases[0])
    alive = workers.filter(heartbeat_at__gt=Now() - timedelta(seconds=ALIVE_SECONDS))
    return alive.exclude(state=WorkerStatus.State.STOPPED).exists()


def _awaits_worker(using: str) -> bool:
    """Two questions: each is answered by an index of its own."""
    since = Now() - PATIENCE
    has_time = {"status__in": [Status.SCHEDULED, Status.RATE_LIMITED], "available_at__lt": since}
    return _tasks(using, status=Status.PENDING, requested_at__lt=since).exists() or _tasks(using, **has_time).exists()


def _providers() -> Iterator[Trouble]:
    """Those that a probe has not found well again."""
    paused = {name for kind, name in _pauses() if kind == Pause.Kind.PROVIDER}
    aliases = set(conf.provider_aliases()) - paused
    for state in limiter.known_states():
        if state.alias in aliases and state.blocked_reason in _ADVICE and _is_blocked_for_long(state):
            problem, advice = _ADVICE[Reason(state.blocked_reason)]
            error = Truncator(" ".join(state.last_error.split())).chars(_MESSAGE_CHARACTERS)
            message = f"The provider {state.alias!r} {problem}. {advice} It said: {error}"
            yield Trouble(Kind.PROVIDER, message, state.alias)


def _is_blocked_for_long(state: ProviderState) -> bool:
    """Longer than to the first probe. The audit log says since when; each probe writes the state anew."""
    events = AuditEvent.objects.using(state._state.db).filter(kind=AuditEvent.Kind.BLOCKED)
    last = events.filter(subject=f"provider {state.alias}").order_by("-pk")[:1]
    recent = Now() - timedelta(seconds=conf.current().circuit_open_seconds)
    return not events.filter(pk__in=last.values("pk"), created_at__gt=recent).exists()


_ADVICE = {
    Reason.CIRCUIT: (
        "fails again and again, and is not called",
        "It is tried from time to time, and goes on by itself once it answers.",
    ),
    Reason.CONFIGURATION: (
        "refuses every request",
        "Correct its key, model or number of dimensions in EMBEDDING_PROVIDERS, and restart the workers.",
    ),
}

_FINDERS: dict[Alert.Kind, Callable[[], Iterator[Trouble]]] = {
    Kind.FAILED: _failed,
    Kind.WAITING: _waiting,
    Kind.NO_WORKER: _no_worker,
    Kind.PROVIDER: _providers,
}


def _tasks(using: str, **conditions: object) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(using).filter(**conditions).order_by()
