"""Bring the articles into line with their sources, touching only what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from django.utils import timezone

from project.content.kinds import Kind
from project.content.models import Article
from project.content.sources import Text

T = TypeVar("T")

BATCH = 1000
FIELDS = ("title", "signature", "keywords", "content", "source", "kind")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. `kept` are articles that somebody edited or wrote under the slug of a text."""

    added: list[Article] = field(default_factory=list)
    updated: list[Article] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    unchanged: int = 0
    kept: int = 0

    @property
    def writes(self) -> int:
        return len(self.added) + len(self.updated) + len(self.removed)


def plan(texts: Iterable[Text], *, complete: bool = True) -> Plan:
    """Compare all texts with all articles in one query.

    `complete` says that `texts` is everything there is: loaded articles without a text are then removed. Articles
    written by hand are never touched.
    """
    existing = {row[1]: row for row in Article.objects.values_list("pk", "slug", *FIELDS)}
    added, updated, unchanged, kept = [], [], 0, 0
    for text in texts:
        pk, _, *values = existing.pop(text.slug, (None, text.slug))
        if pk is None:
            added.append(_article(text))
        elif values[-1] == Kind.WRITTEN:
            kept += 1
        elif values == [getattr(text, name) for name in FIELDS]:
            unchanged += 1
        else:
            updated.append(_article(text, pk))
    removed = [pk for pk, *_, kind in existing.values() if kind != Kind.WRITTEN] if complete else []
    return Plan(added, updated, removed, unchanged, kept)


def carry_out(planned: Plan, progress: Callable[[int], None] = lambda done: None) -> None:
    """Write a plan in batches, each in its own transaction; `progress` is told how many articles are done.

    The manager queues the embeddings of what is added and updated. A run that was cut short is made good by the next.
    """
    done = 0
    for write, articles in ((_add, planned.added), (_update, planned.updated), (_remove, planned.removed)):
        for batch in _batches(articles):
            write(batch)
            done += len(batch)
            progress(done)


def _article(text: Text, pk: int | None = None) -> Article:
    values = {name: getattr(text, name) for name in FIELDS}
    return Article(pk=pk, slug=text.slug, updated_at=timezone.now(), **values)


def _batches(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _add(articles: list[Article]) -> None:
    Article.objects.bulk_create(articles)


def _update(articles: list[Article]) -> None:
    Article.objects.bulk_update(articles, [*FIELDS, "updated_at"])


def _remove(pks: list[int]) -> None:
    Article.objects.filter(pk__in=pks).delete()
