"""What workers hold just now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min

from embeddings import conf
from embeddings.models import EmbeddingTask, Status


@dataclass(frozen=True, slots=True)
class InHand:
    """The tasks of one target that a worker holds."""

    using: str
    # "content.article.embedding".
    target: str
    count: int
    # When it took the first of them.
    since: datetime | None


def in_hand(worker: str) -> list[InHand]:
    """What a worker holds, the largest part first. Only tasks in hand are read, by the index of their leases."""
    found = []
    for using in conf.current().databases:
        held = EmbeddingTask.objects.using(using).filter(status=Status.PROCESSING, worker=worker).order_by()
        groups = held.values_list("content_type__app_label", "content_type__model", "field")
        for app, model, field, count, since in groups.annotate(count=Count("*"), since=Min("claimed_at")):
            found.append(InHand(using, f"{app}.{model}.{field}", count, since))
    return sorted(found, key=lambda held: -held.count)
