"""Counts that stay fast however long a table is: beyond a limit they say "more than that"."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Value
from django.utils.functional import cached_property

# Counting so many rows takes PostgreSQL some 10 ms.
COUNT_LIMIT = 50_000


class AtLeast(int):
    """A count that was stopped: an int for reckoning with pages, "50,000+" for readers."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class LimitedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts up to COUNT_LIMIT rows. Later pages are not offered: a filter or a search leads there sooner."""

    @cached_property
    def count(self) -> int:
        # Without a column, so that an index alone is enough.
        rows = self.object_list.order_by().annotate(row=Value(1)).values("row")  # type: ignore[attr-defined]
        counted: int = rows[: COUNT_LIMIT + 1].count()
        return AtLeast(COUNT_LIMIT) if counted > COUNT_LIMIT else counted
