"""How many tasks a pause keeps waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from embeddings import conf, pauses, registry
from embeddings.models import EmbeddingTask, Pause, Status

# Tasks that are counted at most, in each database.
MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Held:
    """How many tasks wait, or that there are at least so many."""

    count: int
    is_at_least: bool = False

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.is_at_least else ''}"


def held(kind: str, name: str = "", *, most: int = MOST_COUNTED) -> Held:
    """The tasks that wait now of what a pause names, or would name; quick at any size: `most` of a database's."""
    counts = [_held(_condition(kind, name, using), most, using) for using in conf.current().databases]
    return Held(sum(count.count for count in counts), any(count.is_at_least for count in counts))


def _held(condition: Q, most: int, using: str) -> Held:
    tasks = EmbeddingTask.objects.using(using)
    pending = tasks.filter(condition, status=Status.PENDING)[: most + 1].count()
    # No index leads to one target's tasks that wait for their time: so many of all are looked at.
    later = tasks.filter(status__in=[Status.SCHEDULED, Status.RATE_LIMITED])[:most]
    counted: dict[str, Any] = later.aggregate(seen=Count("pk"), mine=Count("pk", filter=condition))
    return Held(min(pending, most) + counted["mine"], pending > most or counted["seen"] >= most)


def _condition(kind: str, name: str, using: str) -> Q:
    match kind:
        case Pause.Kind.PROVIDER:
            return Q(provider=name)
        case Pause.Kind.TARGET:
            found = [target for target in registry.all_derived() if pauses.name_of(target) == name]
            keys = [(target.content_type_id(using), target.field) for target in found] or [(0, "")]
            return Q(content_type_id=keys[0][0], field=keys[0][1])
        case _:
            return Q(pk__isnull=False)
