"""The semantic part: which rows are near a vector."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import CharField, Exists, ExpressionWrapper, FloatField, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast
from pgvector.django import CosineDistance

from embeddings import model_ids
from embeddings.models import EmbeddingTask
from embeddings.registry import Target
from embeddings.search.sources import is_restricted

# Up to so many rows are compared one by one. An approximate index, which looks for the near ones among all rows and
# drops those that a filter refuses, is slower for fewer, and finds less (measured: recall@10 and milliseconds at
# 100,000 rows of 256 dimensions, tests/integration/test_search_recall.py).
EXACT_ROWS = 5_000


def comparable(target: Target, model_id: str, dimensions: int, using: str) -> Q:
    """The rows that have a vector of this model. The ledger is asked about each only if there may be others."""
    has_vector = Q(**{f"{target.field}__isnull": False})
    if not model_ids.is_mixed(target, model_id, dimensions, using=using):
        return has_vector
    task = EmbeddingTask.objects.using(using).filter(
        content_type_id=target.content_type_id(using),
        object_id=Cast(OuterRef("pk"), CharField()),
        field=target.field,
        model_id=model_id,
        dimensions=dimensions,
    )
    return has_vector & Q(Exists(task))


def near(rows: QuerySet[Any], vector: Any, target: Target) -> QuerySet[Any]:
    """`rows`, nearest first, annotated with the distance, in the one form that an index serves."""
    found: QuerySet[Any] = rows.annotate(_far=CosineDistance(target.field, vector))
    return found.order_by("_far")


def nearest(rows: QuerySet[Any], vector: Any, target: Target) -> QuerySet[Any]:
    """As `near`, in a form that no index serves: each row is compared."""
    far = ExpressionWrapper(CosineDistance(target.field, vector) + Value(0.0), output_field=FloatField())
    found: QuerySet[Any] = rows.annotate(_far=far)
    return found.order_by("_far", "pk")


def are_few(rows: QuerySet[Any]) -> bool:
    """Whether the planner expects so few rows that each can be compared; asks it only about rows under a condition."""
    if not is_restricted(rows):
        return False
    explained = rows.order_by().values("pk").explain(format="json")
    # Nothing is explained where no row can match.
    return not explained or json.loads(explained)[0]["Plan"]["Plan Rows"] <= EXACT_ROWS
