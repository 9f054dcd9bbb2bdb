"""What ends the tasks of a claim touches these alone, whatever the statistics say of leases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from embeddings import ledger
from embeddings.failure import Failure
from embeddings.ledger import Claim, Completion
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True)

WAITING = 6_000
CLAIMED = 256


@pytest.fixture
def claims() -> list[Claim]:
    """Of a table whose statistics know of no lease, as they do not in the first minutes of a backfill."""
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(WAITING)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE embeddings_embeddingtask")
    return ledger.claim("default", CLAIMED, worker="test")


def complete(claims: list[Claim]) -> None:
    done = [Completion(claim.id, "completed", "f" * 64, 1, 1, truncated=False) for claim in claims]
    ledger.complete(done, model_id="dummy", dimensions=256, token=claims[0].token, using="default")


def fail(claims: list[Claim]) -> None:
    ledger.fail(claims, Failure.of(ValueError("bad")), is_final=False)


@pytest.mark.parametrize("end", [complete, fail])
def test_end__touches_the_tasks_of_the_claim_alone(claims: list[Claim], end: Callable[[list[Claim]], None]) -> None:
    touched: list[float] = []

    with explained(touched), transaction.atomic():
        end(claims)

    (rows,) = touched
    assert CLAIMED <= rows < 15 * CLAIMED


@contextmanager
def explained(touched: list[float]) -> Iterator[None]:
    """For each statement that writes attempts, the rows that go through its plan, with those that it drops."""

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT INTO embeddings_taskattempt" in sql:
            point = transaction.savepoint()
            run(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params, many, context)
            [[plan]] = context["cursor"].fetchone()
            transaction.savepoint_rollback(point)
            plan = json.loads(plan) if isinstance(plan, str) else plan
            touched.append(sum(map(rows_of, nodes(plan["Plan"]))))
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_of(node: dict[str, Any]) -> float:
    dropped = ("Rows Removed by Filter", "Rows Removed by Join Filter")
    return node["Actual Loops"] * (node["Actual Rows"] + sum(node.get(key, 0) for key in dropped))
