"""What PostgreSQL does for a statement: how many rows it reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from django.db import connection, transaction

from benchmarks.statements import Statement

# Where rows come into a plan: from tables and their indexes, and from functions. A bitmap of an index has all rows that
# are read of its table, and maybe more.
_LEAVES = {
    "Seq Scan",
    "Sample Scan",
    "Index Scan",
    "Index Only Scan",
    "Bitmap Index Scan",
    "Tid Scan",
    "Tid Range Scan",
    "Function Scan",
}
_DROPPED = ("Rows Removed by Filter", "Rows Removed by Index Recheck")


def is_read(statement: Statement) -> bool:
    """Whether it is a question, which can be asked again; what writes, or is no query, cannot."""
    return statement.sql.lstrip("( \n").upper().startswith(("SELECT", "WITH"))


def rows_read(statement: Statement, *, ignored: Collection[str] = ()) -> int:
    """The rows that it reads, those that it drops included; without those of the `ignored` tables.

    An index is used if there is one, as it is where tables are large and what is looked for is rare.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL random_page_cost = 1.1")
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) {statement.sql}", statement.params)
        [found] = cursor.fetchone()
        # Should it have written something.
        transaction.set_rollback(True)
    (plan,) = json.loads(found) if isinstance(found, str) else found
    return sum(_rows(node) for node in _nodes(plan["Plan"]) if node.get("Relation Name") not in ignored)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _rows(node: dict[str, Any]) -> int:
    if node["Node Type"] not in _LEAVES:
        return 0
    # Of each loop, on average.
    of_loop = node["Actual Rows"] + sum(node.get(key, 0) for key in _DROPPED)
    return round(of_loop * node["Actual Loops"])
