"""Whose turn it is to count, and how often that is: the larger the ledger, the more seldom."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from embeddings import timeouts
from embeddings.census.counting import SECONDS, Count, count, readable_share
from embeddings.failure import Failure
from embeddings.models import Census, CensusCount

logger = logging.getLogger(__name__)

# Between two counts: so long at least, and so many times what the last one took, so that it costs 2% of one process.
LEAST_SECONDS = 5.0
REST = 50
# Who has not counted in this time has died of it; it is somebody else's turn.
TURN_SECONDS = 60.0


def take_if_due(using: str) -> bool:
    """Count the ledger of a database if it is time to, and nobody else does; returns whether it was our turn.

    The database's errors are logged: nobody's work ends because something could not be counted.
    """
    turn = None
    try:
        turn = _take_turn(using)
        if turn is not None:
            _take(turn, using)
    except AnyDatabaseError as exc:
        logger.warning("The ledger of %r could not be counted: %s", using, Failure.of(exc).message)
    return turn is not None


def _take_turn(using: str) -> datetime | None:
    """Until when it is ours; None if it is not."""
    is_due = ExpressionWrapper(Q(due_at__lte=Now()), output_field=BooleanField())
    due = _census(using).values_list(is_due, flat=True).first()
    if due is None:
        Census.objects.using(using).bulk_create([Census(pk=1, due_at=Now())], ignore_conflicts=True)
    if due is False:
        return None
    until = Now() + timedelta(seconds=TURN_SECONDS)
    if not _census(using).filter(due_at__lte=Now()).update(due_at=until):
        return None  # Another worker was quicker.
    return _census(using).values_list("due_at", flat=True).get()


def _take(turn: datetime, using: str) -> None:
    before = _census(using).get()
    # One that was quick may be followed by one that reads more.
    share = before.share * 2 if before.took_seconds < SECONDS / 2 else before.share
    share = min(share, readable_share(using))
    started = time.monotonic()
    try:
        found = count(using, share)
    except AnyDatabaseError as exc:
        if timeouts.is_timeout(exc) and not timeouts.is_lock_timeout(exc):
            _census(using).filter(due_at=turn).update(
                share=share / 2, took_seconds=SECONDS, due_at=Now() + _rest(SECONDS)
            )
        raise
    _store(found, time.monotonic() - started, turn, using)


def _store(found: Count, took_seconds: float, turn: datetime, using: str) -> None:
    """Replace the last census; not if our turn is over, and somebody else's has begun."""
    with transaction.atomic(using=using):
        if not _census(using).select_for_update().filter(due_at=turn):
            return
        present = CensusCount.objects.using(using)
        if {_values(row) for row in present.all()} != {_values(row) for row in found.tasks}:
            present.all().delete()
            present.bulk_create(found.tasks)
        _census(using).update(
            taken_at=found.taken_at,
            took_seconds=took_seconds,
            share=found.share,
            table_rows=found.tables,
            due_at=Now() + _rest(took_seconds),
        )


def _rest(took_seconds: float) -> timedelta:
    return timedelta(seconds=max(LEAST_SECONDS, REST * took_seconds))


def _values(row: CensusCount) -> tuple[object, ...]:
    return tuple(getattr(row, field.attname) for field in CensusCount._meta.concrete_fields if not field.primary_key)


def _census(using: str) -> QuerySet[Census]:
    return Census.objects.using(using).filter(pk=1)
