"""The ledger: the only writer of task statuses.

Each transition is one set-based statement that returns how many tasks it moved. Those made by workers never wait
for a lock: a row that somebody else holds is left for later.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import F, Lookup, QuerySet
from django.db.models.functions import Greatest, Now

from embeddings import conf, sql
from embeddings.backoff import retry_delay
from embeddings.failure import Failure
from embeddings.models import CANCELLABLE, RETRYABLE, EmbeddingTask, Status

SWEEP_LIMIT = 10_000  # tasks that one statement moves at most
POSTPONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """The wish that one object's field be embedded."""

    content_type_id: int
    object_id: str
    field: str
    provider: str
    priority: str
    delay_seconds: float = 0.0
    # Of the present text where it is known; "" asks for a look at the object in any case.
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task in hand. `fingerprint` is that of the text whose vector the column holds."""

    token: uuid.UUID
    id: int
    content_type_id: int
    object_id: str
    field: str
    fingerprint: str
    version: int
    attempts: int
    crashes: int
    sort_key: datetime


@dataclass(frozen=True, slots=True)
class Completion:
    """A task whose vector was written (`completed`) or nulled for want of text (`empty`)."""

    id: int
    status: str
    fingerprint: str
    tokens_estimated: int
    tokens: int | None
    truncated: bool
    # The vector was there already: what is known of its making stays.
    is_kept: bool = False


def _execute(statement: str, params: dict[str, Any], using: str) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(sql.load(statement), params)
        return list(cursor.fetchall()) if cursor.description else []


def request(
    requests: Iterable[Request],
    *,
    batch_id: int | None = None,
    is_overwritten: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> list[int]:
    """Open the tasks of changed objects, in the caller's transaction; returns the ids of those that have work to do.

    `is_overwritten` says that somebody else has written the columns: what is known of their vectors is void.
    """
    unique = {(r.content_type_id, r.object_id, r.field): r for r in requests}.values()
    if not unique:
        return []
    head_starts = conf.current().head_start_seconds
    rows = _execute(
        "request",
        {
            "content_type_ids": [r.content_type_id for r in unique],
            "object_ids": [r.object_id for r in unique],
            "fields": [r.field for r in unique],
            "providers": [r.provider for r in unique],
            "priorities": [r.priority for r in unique],
            "head_starts": [head_starts[r.priority] for r in unique],
            "delays": [r.delay_seconds for r in unique],
            "fingerprints": [r.fingerprint for r in unique],
            "batch_id": batch_id,
            "is_overwritten": is_overwritten,
        },
        using,
    )
    return [row[0] for row in rows]


def claim(provider: str, limit: int, *, worker: str, crashes: int = 0, using: str = DEFAULT_DB_ALIAS) -> list[Claim]:
    """Take up to `limit` pending tasks of a provider, the most urgent first."""
    return _claim("claim", {"provider": provider, "limit": limit, "crashes": crashes}, worker, using)


def claim_ids(
    ids: Collection[int], providers: Collection[str], *, worker: str, using: str = DEFAULT_DB_ALIAS
) -> list[Claim]:
    """Take exactly these tasks, as far as they are of these providers, wait, and nobody holds them."""
    return _claim("claim_ids", {"ids": list(ids), "providers": list(providers)}, worker, using)


def _claim(statement: str, params: dict[str, Any], worker: str, using: str) -> list[Claim]:
    token = uuid.uuid4()
    lease_seconds = conf.current().lease_seconds
    rows = _execute(statement, {**params, "worker": worker, "token": token, "lease_seconds": lease_seconds}, using)
    return sorted((Claim(token, *row) for row in rows), key=lambda claimed: (claimed.sort_key, claimed.id))


def renew(tokens: Collection[uuid.UUID], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Prolong leases that are still held."""
    lease = timedelta(seconds=conf.current().lease_seconds)
    return _tasks(using).filter(lease_token__in=tokens).update(lease_until=Now() + lease)


def lock(claims: Iterable[Claim], *, using: str) -> dict[int, int]:
    """Lock held tasks for settling; returns {id: version}. Tasks lost to others or locked by them are missing.

    Call it in a transaction, after the rows of the embedded objects are locked: a save locks in this order too.
    """
    return dict(_held(claims, using).order_by("pk").select_for_update(skip_locked=True).values_list("pk", "version"))


def held(claims: Iterable[Claim], *, using: str) -> set[int]:
    """The ids of those tasks whose lease this worker has not lost."""
    return set(_held(claims, using).values_list("pk", flat=True))


def complete(
    completions: Sequence[Completion], *, model_id: str, dimensions: int, token: uuid.UUID, using: str
) -> None:
    """Record vectors that this transaction has written. Lock the tasks first."""
    params = {
        "ids": [c.id for c in completions],
        "statuses": [c.status for c in completions],
        "fingerprints": [c.fingerprint for c in completions],
        "tokens_estimated": [c.tokens_estimated for c in completions],
        "tokens": [c.tokens for c in completions],
        "truncated": [c.truncated for c in completions],
        "kept": [c.is_kept for c in completions],
        "model_id": model_id,
        "dimensions": dimensions,
        "token": token,
    }
    _execute("complete", params, using)


def fail(claims: Sequence[Claim], failure: Failure, *, is_final: bool, using: str = DEFAULT_DB_ALIAS) -> int:
    """Record a failed attempt of tasks of one claim; returns how many are failed for good."""
    settings = conf.current()
    base, cap = settings.backoff_base_seconds, settings.backoff_cap_seconds
    rows = _execute(
        "fail",
        {
            "ids": [c.id for c in claims],
            "versions": [c.version for c in claims],
            "delays": [retry_delay(c.attempts, base_seconds=base, cap_seconds=cap) for c in claims],
            "is_final": is_final,
            **failure.columns(),
            "max_attempts": settings.max_attempts,
            "token": claims[0].token,
        },
        using,
    )
    return sum(1 for (status,) in rows if status == Status.FAILED)


def defer(claims: Iterable[Claim], until: datetime, failure: Failure, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Let tasks wait for their provider's quota, together; no attempt is charged."""
    return _give_back(claims, using, status=Status.RATE_LIMITED, available_at=until, **failure.columns())


def postpone(claims: Iterable[Claim], failure: Failure, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Try tasks again some time later, as often as it takes: what hinders them is not theirs; no attempt is charged."""
    until = Now() + timedelta(seconds=POSTPONE_SECONDS)
    return _give_back(claims, using, status=Status.SCHEDULED, available_at=until, **failure.columns())


def release(claims: Iterable[Claim], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give tasks back as they were, to be claimed again at once; no attempt is charged."""
    return _give_back(claims, using, status=Status.PENDING)


def _give_back(claims: Iterable[Claim], using: str, **values: Any) -> int:
    values |= {"attempts": Greatest(F("attempts"), 1) - 1, "lease_token": None, "lease_until": None}
    return _move(_held(claims, using), using, **values)


def forget(content_type_id: int, object_ids: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete the tasks of objects that are gone; returns how many."""
    return _delete(_tasks(using).filter(content_type_id=content_type_id, object_id__in=object_ids))


def discard(claims: Iterable[Claim], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete held tasks whose objects are gone; returns how many.

    One that was requested meanwhile is given back: an object with that key exists again.
    """
    claims = list(claims)
    with transaction.atomic(using=using):
        versions = lock(claims, using=using)
        gone = {c.id for c in claims if versions.get(c.id) == c.version}
        release([c for c in claims if c.id not in gone], using=using)
        return _delete(_tasks(using).filter(pk__in=gone))


def forget_orphans(orphans: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete tasks whose objects a query says are gone; returns how many.

    It is asked again under the lock: an object with the key may exist again since.
    """
    with transaction.atomic(using=using):
        free = list(orphans.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True))
        return _delete(orphans.filter(pk__in=free))


def promote_due(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make tasks claimable whose time has come."""
    due = _tasks(using).filter(status__in=[Status.SCHEDULED, Status.RATE_LIMITED], available_at__lte=Now())
    return _move(due.order_by("available_at")[:SWEEP_LIMIT], using, status=Status.PENDING, available_at=None)


def rescue(*, worker: str | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """Free tasks whose lease ran out and, where `worker` is given, those in hand of that dead worker."""
    params = {"worker": worker, "limit": SWEEP_LIMIT, "max_crashes": conf.current().max_crashes}
    return len(_execute("rescue", params, using))


def retry(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make ended or waiting tasks claimable now, with all attempts ahead of them. Completed ones are left alone."""
    stopped = tasks.filter(status__in=RETRYABLE)
    return _move(
        stopped,
        using,
        status=Status.PENDING,
        available_at=None,
        attempts=0,
        crashes=0,
        version=F("version") + 1,
        error_kind="",
        error_class="",
        error_message="",
        error_signature="",
    )


def cancel(tasks: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Stop tasks that are not done; what a worker has in hand of them it will not write."""
    unfinished = tasks.filter(status__in=CANCELLABLE)
    return _move(unfinished, using, status=Status.CANCELLED, available_at=None, lease_token=None, lease_until=None)


def has_claimable(providers: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether a claim for one of these providers would find a task."""
    pending = _tasks(using).filter(status=Status.PENDING, crashes__lt=conf.current().max_crashes)
    fit = pending.filter(provider__in=providers).select_for_update(skip_locked=True)
    with transaction.atomic(using=using):
        return bool(fit.values_list("pk", flat=True)[:1])


def _tasks(using: str) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(using)


def _held(claims: Iterable[Claim], using: str) -> QuerySet[EmbeddingTask]:
    """The claimed tasks whose lease is not lost."""
    claims = list(claims)
    return _tasks(using).filter(pk__in=[c.id for c in claims], lease_token__in={c.token for c in claims})


def _delete(tasks: QuerySet[EmbeddingTask]) -> int:
    return tasks._raw_delete(tasks.db) or 0  # Django returns None where it need not ask the database


def _move(tasks: QuerySet[EmbeddingTask], using: str, **values: Any) -> int:
    """Update the tasks that nobody else holds just now; returns how many."""
    free = tasks.select_for_update(skip_locked=True, of=("self",)).values("pk")
    with transaction.atomic(using=using):
        return _tasks(using).filter(_AnyOf(F("pk"), ArraySubquery(free))).update(updated_at=Now(), **values)


class _AnyOf(Lookup):
    """`column = ANY (ARRAY (subquery))`: one run of the subquery. With `IN` a plan may run it anew for each row, and
    take more rows than its LIMIT."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, column_params = self.process_lhs(compiler, connection)
        array, array_params = self.process_rhs(compiler, connection)
        return f"{column} = ANY ({array})", (*column_params, *array_params)
