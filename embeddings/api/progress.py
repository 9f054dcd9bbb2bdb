"""What the API answers about batches and operations, and what it takes to begin and to stop one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from rest_framework import serializers

from embeddings import stats
from embeddings.api.choices import none_of
from embeddings.api.parsing import StrictSerializer
from embeddings.models import EmbeddingBatch, EmbeddingOperation

NOTHING = stats.BatchProgress(0)
KINDS = ("regenerate", "requeue")


class EmbeddingBatchProgressSerializer(serializers.Serializer[Any]):
    """Counts of a batch's tasks now."""

    total = serializers.IntegerField(
        help_text="Tasks that joined it. The others make less once some were requested anew, or their objects deleted."
    )
    open = serializers.IntegerField(help_text="Waiting, or in a worker's hand.")
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    share = serializers.FloatField(help_text="The part that is not open any more, 0 to 1.")
    eta_seconds = serializers.FloatField(allow_null=True, help_text="Null if nothing moved in the last minute.")
    finished_at = serializers.DateTimeField(allow_null=True, help_text="When the last task ended; null before.")


class EmbeddingBatchSerializer(serializers.ModelSerializer[EmbeddingBatch]):
    """A named group of tasks."""

    progress = EmbeddingBatchProgressSerializer(read_only=True)

    class Meta:
        model = EmbeddingBatch
        fields = ("id", "name", "parameters", "created_at", "rolled_back_at", "progress")
        read_only_fields = fields


class EmbeddingOperationSerializer(serializers.ModelSerializer[EmbeddingOperation]):
    """Something that workers do to all rows of a model, or to all tasks that match a filter."""

    model = serializers.CharField(
        source="target",
        read_only=True,
        help_text="As `app.model`, or `app.model.field`; empty where `parameters` hold a filter of tasks.",
    )
    progress = EmbeddingBatchProgressSerializer(read_only=True, help_text="Of its batch: the vectors made.")
    eta_seconds = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Until all rows have their vectors; null if unknown."
    )

    class Meta:
        model = EmbeddingOperation
        fields = (
            "id",
            "kind",
            "model",
            "parameters",
            "state",
            "rows_total",
            "rows_read",
            "changed",
            "batch",
            "progress",
            "eta_seconds",
            "by",
            "error_message",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class EmbeddingBeginSerializer(StrictSerializer):
    """What to do, and to what."""

    kind = serializers.ChoiceField(choices=KINDS, error_messages=none_of(KINDS))
    model = serializers.CharField(max_length=255, help_text="As `app.model`, or `app.model.field`.")
    dryRun = serializers.BooleanField(default=False, help_text="True: only count what it would come to.")


class EmbeddingPreviewSerializer(serializers.Serializer[Any]):
    """What an operation would come to."""

    rows = serializers.IntegerField(allow_null=True, help_text="What it would change; null if nobody has counted.")
    isAtLeast = serializers.BooleanField(source="is_at_least", help_text="True: counting stopped there.")
    isEstimate = serializers.BooleanField(source="is_estimate", help_text="True: by the last census.")
    parts = serializers.DictField(child=serializers.IntegerField(), help_text="The same by status, or condition.")
    others = serializers.IntegerField(help_text="Tasks that match too, but are in no state for it.")
    tokens = serializers.IntegerField(allow_null=True, help_text="Estimated; null if unknown.")
    cost = serializers.FloatField(allow_null=True, help_text="In US dollars, estimated; null if unknown.")


class EmbeddingStopSerializer(StrictSerializer):
    """How to stop."""

    cancel = serializers.BooleanField(default=False, help_text="Also cancel what it has queued and nobody else wants.")


class EmbeddingRetriedSerializer(serializers.Serializer[Any]):
    """What a retry of a batch did."""

    changed = serializers.IntegerField(help_text="Tasks that will be tried again.")
    skipped = serializers.IntegerField(help_text="Failed tasks that somebody else was just changing.")


class EmbeddingRolledBackSerializer(serializers.Serializer[Any]):
    """What a roll-back did."""

    changed = serializers.IntegerField(help_text="Tasks that were cancelled.")
    skipped = serializers.IntegerField(help_text="Tasks that are done, in hand, or wanted by somebody else too.")


def attach_progress(batches: Sequence[Any]) -> None:
    """Give each batch its `progress`, in two queries for all."""
    found = stats.batch_progress([batch.pk for batch in batches])
    for batch in batches:
        batch.progress = found.get(batch.pk, NOTHING)


def attach_batches(operations: Sequence[Any]) -> None:
    """Give each operation of one database the `progress` of its batch and its `eta_seconds`, in two queries for all."""
    using = operations[0]._state.db if operations else DEFAULT_DB_ALIAS
    found = stats.batch_progress([one.batch_id for one in operations if one.batch_id], using=using)
    for operation in operations:
        operation.progress = found.get(operation.batch_id, NOTHING)
        operation.eta_seconds = stats.eta_seconds(operation, operation.progress)
