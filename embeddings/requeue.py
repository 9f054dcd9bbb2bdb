"""Find rows whose vectors or chunks are missing, stale or failed, and open their tasks.

A table is read in pages by primary key, never whole; rows that are fine cost no write. Where only missing vectors are
asked for, rows that have one are not read: the database passes over them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Exists, F, OuterRef, QuerySet, TextField, Value
from django.db.models.functions import Cast

from embeddings import bulk, conf, jobs, ledger, stats, writer
from embeddings.chunking import rows as chunk_rows
from embeddings.chunking.rows import Outline
from embeddings.exceptions import SourceError
from embeddings.lookups import AnyOf
from embeddings.models import OPEN, EmbeddingBatch, EmbeddingTask, Status
from embeddings.providers import Provider, get_provider
from embeddings.registry import NO_PROVIDER, Derived, Splitting, Target
from embeddings.text import LongText, SourceText, long_text, source_text


class Condition(StrEnum):
    """How a row stands with its vector, or with its chunks."""

    # The vector belongs to the present text; or there is no text, and no vector.
    CURRENT = "current"
    # Work on it is recorded already.
    QUEUED = "queued"
    # There is text, but no vector, or no chunk.
    MISSING = "missing"
    # The vector belongs to another text, model or number of dimensions; the chunks to another text, or some are gone.
    STALE = "stale"
    # The last attempt failed for good.
    FAILED = "failed"


WANTED = frozenset({Condition.MISSING, Condition.STALE, Condition.FAILED})
# Rows that one statement passes over at most, in search of those without a vector: some 50 ms.
LEAP = 50_000


@dataclass(slots=True)
class Survey:
    """What a scan of one target on one database found."""

    target: Derived
    using: str
    # Of those that were read.
    rows: Counter[Condition] = field(default_factory=Counter)
    # Rows in the conditions that were asked for, their texts' estimated tokens, and how many of them were queued.
    wanted: int = 0
    tokens: int = 0
    queued: int = 0
    # Tasks of rows that no longer exist, deleted behind our back.
    gone: int = 0

    @property
    def is_splitting(self) -> bool:
        """Whether it is about texts to split, which costs nothing; what their chunks will cost is not known before."""
        return isinstance(self.target, Splitting)

    @property
    def cost(self) -> float | None:
        """US dollars for the wanted rows; None where the provider's price is not known."""
        return 0.0 if self.is_splitting else get_provider(self.target.provider).cost(self.tokens)

    @property
    def seconds(self) -> float | None:
        """Time for the wanted rows at the rate of the provider's last requests; None before the first."""
        if self.is_splitting:
            return 0.0
        rate = stats.provider_rate(self.target.provider)
        return None if rate is None else self.wanted / rate


@dataclass(frozen=True, slots=True)
class Found:
    """A row as a scan found it; `tokens` is the estimate for its text."""

    object_id: str
    condition: Condition
    tokens: int


def row_count(target: Derived, using: str) -> int:
    """The rows that a scan will read."""
    return target.model._base_manager.using(using).count()


def survey(
    target: Derived,
    *,
    conditions: Collection[Condition] = WANTED,
    page_size: int = 1000,
    using: str = DEFAULT_DB_ALIAS,
    on_page: Callable[[int], None] = lambda rows: None,
) -> Survey:
    """Count, without a write. `on_page` is told how many rows each page had."""
    result = Survey(target, using, gone=_orphans(target, using).count())
    for wanted, rows in _scan(result, conditions, page_size):
        result.wanted += len(wanted)
        on_page(rows)
    return result


def is_any_wanted(
    target: Derived,
    *,
    conditions: Collection[Condition] = WANTED,
    page_size: int = 1000,
    using: str = DEFAULT_DB_ALIAS,
) -> bool:
    """Whether there is a row in `conditions`; no more is read than it takes to know."""
    return any(wanted for wanted, _ in _scan(Survey(target, using), conditions, page_size))


def requeue(
    target: Derived,
    batch: EmbeddingBatch,
    *,
    conditions: Collection[Condition] = WANTED,
    priority: str | None = None,
    page_size: int = 1000,
    on_page: Callable[[int], None] = lambda rows: None,
) -> Survey:
    """Open the tasks of the rows in `conditions`, as part of `batch`, on its database; a transaction a page."""
    using = batch._state.db or DEFAULT_DB_ALIAS
    result = Survey(target, using, gone=ledger.forget_orphans(_orphans(target, using), using=using))
    for wanted, rows in _scan(result, conditions, page_size):
        result.wanted += len(wanted)
        if wanted:
            requests = [bulk.request_of(target, one.object_id, using, priority=priority) for one in wanted]
            result.queued += _open(requests, batch, using)
        on_page(rows)
    return result


def _open(requests: list[ledger.Request], batch: EmbeddingBatch, using: str) -> int:
    with transaction.atomic(using=using):
        ids = ledger.request(requests, batch_id=batch.pk, using=using)
        jobs.schedule(ids, using=using)
    return len(ids)


def _orphans(target: Derived, using: str) -> QuerySet[EmbeddingTask]:
    """The target's tasks whose rows no longer exist; those of boxes are to come."""
    key = Cast(OuterRef("object_id"), output_field=target.model._meta.pk)
    rows = target.model._base_manager.using(using).filter(pk=key)
    tasks = EmbeddingTask.objects.using(using).filter(content_type_id=target.content_type_id(using), field=target.field)
    return tasks.filter(~Exists(rows), payload__isnull=True)


def _scan(result: Survey, conditions: Collection[Condition], page_size: int) -> Iterator[tuple[list[Found], int]]:
    """(rows in `conditions`, number of rows) of each page; counts go into `result`."""
    target, using = result.target, result.using
    is_of_missing = isinstance(target, Target) and set(conditions) == {Condition.MISSING}
    pages = _pages_without_vector if is_of_missing else _pages
    for keys, rows in pages(target, page_size, using):
        found = list(judge(target, writer.load(target, keys, using), using)) if keys else []
        result.rows.update(one.condition for one in found)
        wanted = [one for one in found if one.condition in conditions]
        result.tokens += sum(one.tokens for one in wanted)
        yield wanted, rows


def _pages(target: Derived, page_size: int, using: str) -> Iterator[tuple[list[str], int]]:
    """(keys of rows, their number) of each page."""
    rows = target.model._base_manager.using(using).order_by("pk")
    last: Any = None
    while True:
        page = rows if last is None else rows.filter(pk__gt=last)
        keys = list(page.values_list("pk", flat=True)[:page_size])
        if not keys:
            return
        yield [str(key) for key in keys], len(keys)
        last = keys[-1]


def _pages_without_vector(target: Derived, page_size: int, using: str) -> Iterator[tuple[list[str], int]]:
    """(keys of rows without a vector, number of rows that were passed over on the way to them) of each page."""
    ahead = target.model._base_manager.using(using).order_by("pk")
    while True:
        # Two statements: the first reads no more than the key's index.
        ends = list(ahead.values_list("pk", flat=True)[LEAP - 1 : LEAP])
        leap = ahead.filter(pk__lte=ends[0]) if ends else ahead
        keys = [str(key) for key in leap.filter(**{f"{target.field}__isnull": True}).values_list("pk", flat=True)]
        for start in range(0, len(keys), page_size):
            yield keys[start : start + page_size], 0
        yield [], LEAP if ends else leap.count()
        if not ends:
            return
        ahead = target.model._base_manager.using(using).order_by("pk").filter(pk__gt=ends[0])


def judge(target: Derived, page: dict[str, writer.Row], using: str) -> Iterator[Found]:
    """How each of these rows stands with its vector, or its chunks."""
    keys = Value(list(page), output_field=ArrayField(TextField()))  # One parameter: many are slow to read.
    tasks = EmbeddingTask.objects.using(using).filter(
        AnyOf(F("object_id"), keys), content_type_id=target.content_type_id(using), field=target.field
    )
    known = {task.object_id: task for task in tasks.only("object_id", "status", "provider", "fingerprint")}
    if isinstance(target, Splitting):
        yield from _judge_splits(target, page, known, using)
    elif isinstance(target, Target):
        yield from _judge_vectors(target, page, known)


def _judge_vectors(target: Target, page: dict[str, writer.Row], known: dict[str, EmbeddingTask]) -> Iterator[Found]:
    provider = get_provider(target.provider)
    for object_id, row in page.items():
        text = _text(row.instance, target, provider)
        condition = _condition(row, known.get(object_id), text, provider)
        yield Found(object_id, condition, text.tokens if text and text.text else 0)


def _judge_splits(
    splitting: Splitting, page: dict[str, writer.Row], known: dict[str, EmbeddingTask], using: str
) -> Iterator[Found]:
    chunks = chunk_rows.outlines(splitting, page, using)
    for object_id, row in page.items():
        text = _long_text(row.instance, splitting)
        condition = _split_condition(known.get(object_id), text, chunks.get(object_id))
        yield Found(object_id, condition, 0)


def _long_text(instance: models.Model, splitting: Splitting) -> LongText | None:
    try:
        return long_text(instance, splitting)
    except SourceError:
        return None


def _split_condition(task: EmbeddingTask | None, text: LongText | None, chunks: Outline | None) -> Condition:
    if task is not None and _is_queued(task, NO_PROVIDER):
        return Condition.QUEUED
    if task is not None and task.status == Status.FAILED:
        return Condition.FAILED
    if text is None:
        return Condition.MISSING
    if not text.text:
        return Condition.STALE if chunks else Condition.CURRENT
    if not chunks:
        return Condition.MISSING
    is_current = task is not None and task.fingerprint == text.fingerprint and chunks.is_whole(text.text)
    return Condition.CURRENT if is_current else Condition.STALE


def _text(instance: models.Model, target: Target, provider: Provider) -> SourceText | None:
    """The row's text; None when its source fails, which is for the worker to record."""
    try:
        return source_text(instance, target, provider)
    except SourceError:
        return None


def _is_queued(task: EmbeddingTask, alias: str) -> bool:
    """Whether somebody will work on it: not under an alias that is gone, nor, without a queue, if it merely waits."""
    is_worked = task.status in OPEN if conf.current().queue_enabled else task.status == Status.PROCESSING
    return is_worked and task.provider == alias


def _condition(row: writer.Row, task: EmbeddingTask | None, text: SourceText | None, provider: Provider) -> Condition:
    if task is not None and _is_queued(task, provider.alias):
        return Condition.QUEUED
    if task is not None and task.status == Status.FAILED:
        return Condition.FAILED
    if text is None:
        return Condition.MISSING
    if not text.text:
        return Condition.STALE if row.has_vector else Condition.CURRENT
    if not row.has_vector:
        return Condition.MISSING
    if task is None or task.fingerprint != text.fingerprint or task.provider != provider.alias:
        return Condition.STALE
    return Condition.CURRENT
