"""What the API answers. Never the texts that are embedded, nor vectors.

The names begin with "Embedding", because a project's schema puts the names of all its apps side by side.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from embeddings.api.choices import none_of
from embeddings.models import EmbeddingTask, Status

MODES = ("hybrid", "semantic", "keyword")


class EmbeddingTaskErrorSerializer(serializers.Serializer[EmbeddingTask]):
    """What went wrong last."""

    kind = serializers.CharField(
        source="error_kind", help_text="`rate_limit`, `transient`, `input`, `configuration` or `crash`."
    )
    message = serializers.CharField(source="error_message")
    signature = serializers.CharField(
        source="error_signature", help_text="The message without what differs from task to task; may be empty."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """With `class`, which Python does not take as the name of an attribute."""
        named = serializers.CharField(source="error_class", help_text="The name of the exception.")
        return {**super().get_fields(), "class": named}


class EmbeddingTaskSerializer(serializers.ModelSerializer[EmbeddingTask]):
    """One object's one field to embed."""

    model = serializers.CharField(source="target_model_label", read_only=True, help_text="As `app.model`.")
    error = serializers.SerializerMethodField()

    class Meta:
        model = EmbeddingTask
        fields = (
            "id",
            "model",
            "object_id",
            "field",
            "status",
            "priority",
            "attempts",
            "provider",
            "model_id",
            "dimensions",
            "tokens",
            "truncated",
            "batch",
            "error",
            "created_at",
            "updated_at",
            "available_at",
            "claimed_at",
            "completed_at",
        )
        read_only_fields = fields
        extra_kwargs = {"provider": {"help_text": "Empty for a task that splits a text into chunks."}}

    @extend_schema_field(EmbeddingTaskErrorSerializer(allow_null=True))
    def get_error(self, task: EmbeddingTask) -> dict[str, str] | None:
        return dict(EmbeddingTaskErrorSerializer(task).data) if task.error_kind else None


class EmbeddingTaskEventSerializer(serializers.Serializer[Any]):
    """Something that happened to a task. What does not apply is empty or null."""

    at = serializers.DateTimeField()
    what = serializers.CharField(help_text="`attempt 2`, `in hand`, or what somebody did in the admin.")
    outcome = serializers.CharField(help_text="Of an attempt.")
    number = serializers.IntegerField(allow_null=True, help_text="Of the attempt.")
    worker = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True, help_text="From the claim to the end.")
    tokens = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    by = serializers.CharField(help_text="The name of the user.")


class EmbeddingTaskDetailSerializer(EmbeddingTaskSerializer):
    """One task, with what happened to it."""

    timeline = EmbeddingTaskEventSerializer(many=True, read_only=True, help_text="Newest first.")

    class Meta(EmbeddingTaskSerializer.Meta):
        fields: Any = (*EmbeddingTaskSerializer.Meta.fields, "timeline")
        read_only_fields: Any = fields


class EmbeddingEntityTargetSerializer(serializers.Serializer[Any]):
    """One embedded field of an object, or its text that is split."""

    field = serializers.CharField()
    status = serializers.ChoiceField(Status.choices, allow_null=True, help_text="Null: there is no task for it.")
    taskId = serializers.IntegerField(allow_null=True)
    isStored = serializers.BooleanField(help_text="False: the object waits in this task to be stored with its vector.")
    error = EmbeddingTaskErrorSerializer(allow_null=True)


class EmbeddingEntitySerializer(serializers.Serializer[Any]):
    """How far the vectors of one object are."""

    model = serializers.CharField(help_text="As `app.model`.")
    objectId = serializers.CharField()
    targets = EmbeddingEntityTargetSerializer(many=True)


class EmbeddingQueueStatusSerializer(serializers.Serializer[Any]):
    """How much work there is, in the names that clients of older systems read."""

    queueLength = serializers.IntegerField(help_text="Tasks that wait.")
    processing = serializers.IntegerField(help_text="Tasks that workers have in hand.")
    isProcessing = serializers.BooleanField(help_text="Whether workers have any in hand.")


class EmbeddingChangeSerializer(serializers.Serializer[Any]):
    """What an operation did."""

    changed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    status = serializers.CharField(help_text="The task's status now.")


class EmbeddingSearchQuerySerializer(serializers.Serializer[Any]):
    """The parameters of a search."""

    model = serializers.ListField(
        child=serializers.CharField(max_length=200),
        min_length=1,
        max_length=20,
        help_text="The embedded model to search, as `app.model`; several to search them all at once.",
    )
    q = serializers.CharField(max_length=1000, help_text="What to look for, in plain words.")
    mode = serializers.ChoiceField(
        choices=MODES,
        default="hybrid",
        error_messages=none_of(MODES),
        help_text="By meaning and words together, by meaning, or by words.",
    )
    limit = serializers.IntegerField(min_value=1, max_value=100, default=10, help_text="Results at most.")
    field = serializers.CharField(
        max_length=100, required=False, help_text="The embedded field, where the model has several; of one model only."
    )


class EmbeddingHitSerializer(serializers.Serializer[Any]):
    """One object that was found."""

    model = serializers.CharField(help_text="As `app.model`.")
    object_id = serializers.CharField()
    title = serializers.CharField()
    score = serializers.FloatField(help_text="Larger is better; comparable only within one answer.")
    found_by = serializers.CharField(help_text="`semantic`, `keyword` or `both`.")
    passage = serializers.CharField(
        allow_null=True, help_text="Of a long text, the chunk that matches best; null if it was found as a whole."
    )
    url = serializers.CharField(allow_null=True, help_text="The object's own page, where it has one.")


class EmbeddingHitsSerializer(serializers.Serializer[Any]):
    """The answer to a search, best first."""

    results = EmbeddingHitSerializer(many=True)
    degraded = serializers.BooleanField(
        help_text="True: the provider could not be asked for the meaning, so only words were compared."
    )


class EmbeddingTextRequestSerializer(serializers.Serializer[Any]):
    """A text to embed."""

    text = serializers.CharField(trim_whitespace=False, help_text="What is too long for the provider is cut.")
    immediate = serializers.BooleanField(default=False, help_text="True: wait for the vector.")


class EmbeddingVectorSerializer(serializers.Serializer[Any]):
    """The vector of a text."""

    vector = serializers.ListField(child=serializers.FloatField(), help_text="As many numbers as dimensions.")


class EmbeddingTextQueuedSerializer(serializers.Serializer[Any]):
    """A text that is embedded in the background, in the names that clients of older systems read."""

    taskId = serializers.IntegerField()


class EmbeddingTextSerializer(EmbeddingTextQueuedSerializer):
    """What became of a text."""

    status = serializers.ChoiceField(Status.choices)
    vector = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    error = serializers.CharField(help_text="What went wrong last; empty if nothing did.")


class EmbeddingErrorSerializer(serializers.Serializer[Any]):
    """What went wrong with a request."""

    code = serializers.CharField(help_text="For programs: a word that does not change.")
    message = serializers.CharField(help_text="For people.")
