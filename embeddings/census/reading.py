"""The last census, for who asks how things stand."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from embeddings.census.counting import Count, count, readable_share
from embeddings.census.tables import size
from embeddings.models import Census, CensusCount, EmbeddingTask

# An older census is passed over where counting anew is quick: perhaps no worker runs.
FRESH = timedelta(seconds=60)
QUICK_ROWS = 200_000


def latest(using: str, *, with_tables: bool = False) -> Count:
    """The last census of a database; or a count made now, if that is old and the ledger small, or there is none.

    The rows of the embedded models' tables come `with_tables` only, as they may have to be counted too.
    """
    age = ExpressionWrapper(Now() - F("taken_at"), output_field=DurationField())
    taken = Census.objects.using(using).filter(pk=1, taken_at__isnull=False).annotate(age=age).first()
    if taken is None or (taken.age > FRESH and size(EmbeddingTask, using) <= QUICK_ROWS):
        return count(using, readable_share(using, QUICK_ROWS), largest_table=QUICK_ROWS if with_tables else None)
    assert taken.taken_at is not None
    return Count(
        tasks=list(CensusCount.objects.using(using).all()),
        taken_at=taken.taken_at,
        age_seconds=taken.age.total_seconds(),
        share=taken.share,
        tables={label: (rows, is_counted) for label, (rows, is_counted) in taken.table_rows.items()},
    )
