"""What there is to do for workers: a bounded question, however much it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from embeddings import broker, census, conf, pauses, sql, stats, timeouts
from embeddings.exceptions import EmbeddingsError
from embeddings.models import EmbeddingTask, Status
from embeddings.registry import NO_PROVIDER
from embeddings.scaling.limits import limits

# Tasks of a provider that are counted in each database; beyond, the census says how many there are.
MOST_COUNTED = 20_000
# Nobody waits longer for an answer: the next question comes soon.
SECONDS = 5.0
# Before anything is known of a provider, each of its requests is taken to last so long.
REQUEST_SECONDS = 1.0


class RedisAway(EmbeddingsError):
    """Redis cannot be reached, so that no worker hears of work."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Tasks that may be claimed now. Those that wait for their time are no work yet."""

    # Tasks that more workers would end sooner; those whose provider is the limit; and what limits the most of these.
    waiting: int = 0
    held: int = 0
    limit: str = ""
    is_at_least: bool = False
    # Whether a worker is needed for anything at all, be it to ask a provider whether it works again.
    has_errand: bool = False
    # The provider of most of what waits.
    provider: str = ""


def read(*, is_anybody_there: bool) -> Backlog:
    """What there is to do now. Raises RedisAway, and the database's errors.

    Where nobody is there to see to it, what would become work by any worker's sweep counts as well.
    """
    pauses.forget()
    queue = broker.look()
    if queue is None:
        raise RedisAway("Redis cannot be reached, so that no worker hears of work")
    if not conf.current().enabled:
        return Backlog()
    reasons = {NO_PROVIDER: "everything is paused" if pauses.is_everything_paused() else ""}
    reasons |= limits(conf.provider_aliases())
    counts = _counts(list(reasons))
    waiting = Counter({lane: count for lane, count in counts.items() if not reasons[lane]})
    held = Counter({lane: count for lane, count in counts.items() if reasons[lane]})
    limit = reasons[held.most_common(1)[0][0]] if held.total() else ""
    return Backlog(
        waiting=waiting.total(),
        held=held.total(),
        limit=limit,
        is_at_least=any(count >= MOST_COUNTED for count in counts.values()),
        has_errand=_may_be_called(held) or (not is_anybody_there and (queue.depth > 0 or _is_anything_due())),
        provider=next((lane for lane, _ in waiting.most_common() if lane), ""),
    )


def usual_speed(provider: str) -> float:
    """Tasks a second that one worker may be expected to end, by the provider's last requests or, without, a guess."""
    settings = conf.current()
    known = stats.provider_rate(provider) if provider else None
    return known or settings.concurrency * settings.batch_size / REQUEST_SECONDS


def _may_be_called(held: Counter[str]) -> bool:
    """Whether a worker has to wait for one of these providers, or to ask whether it works again."""
    return bool(pauses.open_providers(lane for lane, count in held.items() if lane and count))


def _counts(lanes: list[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for using in conf.current().databases:
        targets = pauses.open_targets(lanes, using)
        counts = _counted(lanes, targets, using)
        if targets is None and any(count >= MOST_COUNTED for count in counts.values()):
            counts |= _census(counts, using)
        found += counts
    return found


def _counted(lanes: list[str], targets: list[tuple[int, str, str]] | None, using: str) -> Counter[str]:
    with timeouts.reading(SECONDS, using) as cursor:
        if targets is None:
            cursor.execute(sql.load("backlog"), {"providers": lanes, "most": MOST_COUNTED})
            return Counter(dict(cursor.fetchall()))
        names = ("content_types", "fields", "providers")
        columns: tuple[Any, ...] = tuple(zip(*targets, strict=True)) if targets else ((),) * 3
        params = {name: list(column) for name, column in zip(names, columns, strict=True)}
        cursor.execute(sql.load("backlog_open"), {**params, "most": MOST_COUNTED})
        return Counter(dict(cursor.fetchall()))


def _census(counted: Counter[str], using: str) -> Counter[str]:
    """What the last census says of the lanes that hold more than were counted."""
    census.take_if_due(using)  # Without a worker nobody else does.
    found: Counter[str] = Counter()
    for row in census.latest(using).tasks:
        if row.status == Status.PENDING and counted[row.provider] >= MOST_COUNTED:
            found[row.provider] += row.count
    return found


def _is_anything_due() -> bool:
    is_due = Q(status__in=[Status.SCHEDULED, Status.RATE_LIMITED], available_at__lte=Now())
    is_lost = Q(status=Status.PROCESSING, lease_until__lt=Now())
    for using in conf.current().databases:
        tasks = EmbeddingTask.objects.using(using)
        if tasks.filter(is_due).exists() or tasks.filter(is_lost).exists():
            return True
        if pauses.open_operations(using).exists():
            return True
    return False
