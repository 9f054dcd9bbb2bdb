"""Tasks in a worker's hand: taken under a lease, kept, settled, given back."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now

from embeddings import conf, events, pauses, tally
from embeddings.backoff import retry_delay
from embeddings.failure import Failure
from embeddings.ledger import telling
from embeddings.ledger.records import Claim, Completion
from embeddings.ledger.statements import delete, execute, execute_text, held_tasks, move, tasks_of
from embeddings.models import Status

logger = logging.getLogger(__name__)

# How long a task waits for what may take somebody's hand: a lock that is held, a table that is not as expected.
POSTPONE_SECONDS = 30.0
_ANY_CRASHES = 32_767  # as many as the column holds


def claim(
    provider: str,
    limit: int,
    *,
    worker: str,
    crashes: int = 0,
    or_more: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> list[Claim]:
    """Take up to `limit` pending tasks of a provider, the most urgent first; none of a paused target.

    They were in hand at `crashes` deaths of workers, or at more of them.
    """
    most = _ANY_CRASHES if or_more else crashes
    params = {"provider": provider, "limit": limit, "crashes": crashes, "most_crashes": most}
    targets = pauses.open_targets([provider], using)
    if targets is None:
        return _claim("claim", params, worker, using)
    params |= {"content_types": [target[0] for target in targets], "fields": [target[1] for target in targets]}
    return _claim("claim_open", params, worker, using) if targets else []


def claim_ids(
    ids: Collection[int], providers: Collection[str], *, worker: str, using: str = DEFAULT_DB_ALIAS
) -> list[Claim]:
    """Take exactly these tasks, as far as they are of these providers, wait, are not paused, and nobody holds them."""
    paused = pauses.paused_targets(using)
    params = {
        "ids": list(ids),
        "providers": list(providers),
        "paused_content_types": [content_type_id for content_type_id, _ in paused],
        "paused_fields": [field for _, field in paused],
    }
    return _claim("claim_ids", params, worker, using)


def _claim(statement: str, params: dict[str, Any], worker: str, using: str) -> list[Claim]:
    token = uuid.uuid4()
    lease_seconds = conf.current().lease_seconds
    rows = execute(statement, {**params, "worker": worker, "token": token, "lease_seconds": lease_seconds}, using)
    if rows:
        about = {"worker": worker, "provider": params.get("provider"), "tasks": len(rows), "database": using}
        logger.debug("Claimed tasks.", extra=about)
    return sorted((Claim(token, *row) for row in rows), key=lambda claimed: (claimed.sort_key, claimed.id))


def renew(tokens: Collection[uuid.UUID], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Prolong leases that are still held."""
    lease = timedelta(seconds=conf.current().lease_seconds)
    return move(tasks_of(using).filter(lease_token__in=tokens), using, lease_until=Now() + lease)


def lock(claims: Iterable[Claim], *, using: str) -> dict[int, int]:
    """Lock held tasks for settling; returns {id: version}. Tasks lost to others or locked by them are missing.

    Call it in a transaction, after the rows of the embedded objects are locked: a save locks in this order too.
    """
    return dict(
        held_tasks(claims, using).order_by("pk").select_for_update(skip_locked=True).values_list("pk", "version")
    )


def held(claims: Iterable[Claim], *, using: str) -> set[int]:
    """The ids of those tasks whose lease this worker has not lost."""
    return set(held_tasks(claims, using).values_list("pk", flat=True))


def complete(
    completions: Sequence[Completion], *, model_id: str, dimensions: int | None, token: uuid.UUID, using: str
) -> None:
    """Record what this transaction has written: vectors, or chunks, which have no model. Lock the tasks first."""
    params = {
        "ids": [c.id for c in completions],
        "fingerprints": [c.fingerprint for c in completions],
        "tokens_estimated": [c.tokens_estimated for c in completions],
        "tokens": [c.tokens for c in completions],
        "empty": [c.id for c in completions if c.status == Status.EMPTY],
        "truncated": [c.id for c in completions if c.truncated],
        "kept": [c.id for c in completions if c.is_kept],
        "model_id": model_id,
        "dimensions": dimensions,
        "token": token,
    }
    ended = execute_text(telling.statement("complete", "settled", events.Kind.TASK_COMPLETED), params, using)
    transaction.on_commit(partial(tally.completed, using, ended), using=using)


def fail(claims: Sequence[Claim], failure: Failure, *, is_final: bool, using: str = DEFAULT_DB_ALIAS) -> int:
    """Record a failed attempt of tasks of one claim; returns how many are failed for good."""
    settings = conf.current()
    base, cap = settings.backoff_base_seconds, settings.backoff_cap_seconds
    rows = execute_text(
        telling.statement("fail", "charged", events.Kind.TASK_FAILED),
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
    charged = [(*target, status == Status.FAILED) for *target, status in rows if status != Status.PENDING]
    transaction.on_commit(partial(tally.failed, using, charged), using=using)
    failed: int = sum(is_failed for *_, is_failed in charged)
    _tell_of(claims, failure, failed, using)
    return failed


def _tell_of(claims: Sequence[Claim], failure: Failure, failed: int, using: str) -> None:
    """In the log: that an attempt failed, and that it was the last."""
    about = {
        "task": claims[0].id if len(claims) == 1 else None,
        "tasks": len(claims),
        "failed": failed,
        "database": using,
        "kind": failure.kind,
        "error": failure.error_class,
        "status": failure.status,
        "signature": failure.signature,
    }
    message = "Tasks failed for good." if failed else "An attempt failed; the tasks are tried again."
    logger.log(logging.WARNING if failed else logging.INFO, message, extra=about)


def defer(claims: Iterable[Claim], until: datetime, failure: Failure, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Let tasks wait for their provider's quota, together; no attempt is charged."""
    return _give_back(claims, using, status=Status.RATE_LIMITED, available_at=until, **failure.columns())


def postpone(
    claims: Iterable[Claim], failure: Failure, *, seconds: float = POSTPONE_SECONDS, using: str = DEFAULT_DB_ALIAS
) -> int:
    """Try tasks again some time later, as often as it takes: what hinders them is not theirs; no attempt is charged."""
    until = Now() + timedelta(seconds=seconds)
    put_off = _give_back(claims, using, status=Status.SCHEDULED, available_at=until, **failure.columns())
    about = {"tasks": put_off, "database": using, "kind": failure.kind, "error": failure.error_class}
    logger.info("Put off tasks for %g s.", seconds, extra=about)
    return put_off


def release(claims: Iterable[Claim], *, provider: str | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give tasks back as they were, to be claimed again at once; no attempt is charged.

    `provider` is the one that they belong to, if they were taken from another's lane.
    """
    return _give_back(claims, using, status=Status.PENDING, **({} if provider is None else {"provider": provider}))


def _give_back(claims: Iterable[Claim], using: str, **values: Any) -> int:
    values |= {"attempts": Greatest(F("attempts"), 1) - 1, "lease_token": None, "lease_until": None}
    return move(held_tasks(claims, using), using, **values)


def discard(claims: Iterable[Claim], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete held tasks whose objects are gone; returns how many.

    One that was requested meanwhile is given back: an object with that key exists again.
    """
    claims = list(claims)
    with transaction.atomic(using=using):
        versions = lock(claims, using=using)
        gone = {c.id for c in claims if versions.get(c.id) == c.version}
        release([c for c in claims if c.id not in gone], using=using)
        deleted = tasks_of(using).filter(pk__in=gone)
        with telling.ending(deleted, using):
            return delete(deleted)
