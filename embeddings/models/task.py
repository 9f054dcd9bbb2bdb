"""The ledger's rows. Only `embeddings.ledger` writes their status."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import ExpressionWrapper, Q
from django.db.models.functions import Now
from django.utils.functional import cached_property

from embeddings.models.batch import EmbeddingBatch
from embeddings.models.status import DONE, Priority, Status

# For annotate(is_boxed=...): whether the object waits in the task to be stored, without loading it.
IS_BOXED = ExpressionWrapper(Q(payload__isnull=False), output_field=models.BooleanField())

_IS_PROCESSING = Q(status=Status.PROCESSING)
_IS_COMPLETED = Q(status=Status.COMPLETED)
_HAS_TIME = Q(status__in=[Status.SCHEDULED, Status.RATE_LIMITED])


class EmbeddingTask(models.Model):
    """One target to embed: one object's one vector field; or one object's text to split into chunks.

    A hundred edits of the object are this one row.
    """

    # What.
    content_type = models.ForeignKey(ContentType, models.CASCADE, verbose_name="model", db_index=False)
    object_id = models.CharField(max_length=255)
    field = models.CharField(max_length=100)
    # "" is nobody's lane: a text is to be split, for which no provider is needed.
    provider = models.CharField(max_length=64)
    # Of a boxed object: its fields, from which it is stored together with its vector; null for all others.
    payload = models.JSONField(null=True, blank=True, editable=False)

    # When and in what order.
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    priority = models.CharField(max_length=6, choices=Priority.choices, default=Priority.NORMAL)
    # Request time minus the head start of the priority: ordering by it prefers and ages without rewriting rows.
    sort_key = models.DateTimeField()
    available_at = models.DateTimeField(null=True, blank=True)
    batch = models.ForeignKey(
        EmbeddingBatch, models.SET_NULL, null=True, blank=True, related_name="tasks", db_index=False
    )
    # Somebody besides its batch has requested it too: rolling the batch back leaves it.
    is_shared = models.BooleanField(default=False, db_default=False)

    # By whom.
    worker = models.CharField(max_length=255, blank=True, default="")
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)

    # Which text: `version` counts requests; the rest describes the vector that the column holds.
    version = models.PositiveIntegerField(default=1)
    fingerprint = models.CharField(max_length=64, blank=True, default="")
    model_id = models.CharField(max_length=200, blank=True, default="")
    dimensions = models.PositiveIntegerField(null=True, blank=True)

    # How it went.
    tokens_estimated = models.PositiveIntegerField(null=True, blank=True)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    truncated = models.BooleanField(default=False)
    error_kind = models.CharField(max_length=16, blank=True, default="")
    error_class = models.CharField(max_length=200, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_signature = models.CharField(max_length=255, blank=True, default="")

    # Of the provider's answer, if it was one of HTTP.
    error_status = models.PositiveSmallIntegerField(null=True, blank=True)

    created_at = models.DateTimeField()
    # Since when the vector is asked for: an edit while it is open changes nothing.
    requested_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [
            ("retry_embeddingtask", "Can retry embedding tasks"),
            ("cancel_embeddingtask", "Can cancel embedding tasks"),
            ("clear_embeddingtask", "Can clear failed and cancelled embedding tasks"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["content_type", "object_id", "field"], name="embeddings_task_target"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="embeddings_task_status"),
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="embeddings_task_priority"),
            models.CheckConstraint(
                name="embeddings_task_lease_if_processing",
                condition=(_IS_PROCESSING & Q(lease_token__isnull=False, lease_until__isnull=False))
                | (~_IS_PROCESSING & Q(lease_token__isnull=True, lease_until__isnull=True)),
            ),
            models.CheckConstraint(
                name="embeddings_task_time_if_completed",
                condition=(_IS_COMPLETED & Q(completed_at__isnull=False))
                | (~_IS_COMPLETED & Q(completed_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="embeddings_task_time_if_waiting_for_it",
                condition=(_HAS_TIME & Q(available_at__isnull=False)) | (~_HAS_TIME & Q(available_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="embeddings_task_vector_if_completed",
                condition=~_IS_COMPLETED
                | (~Q(fingerprint="") & (Q(provider="") | (~Q(model_id="") & Q(dimensions__isnull=False)))),
            ),
            models.CheckConstraint(
                name="embeddings_task_no_box_if_done", condition=~Q(status__in=DONE) | Q(payload__isnull=True)
            ),
        ]
        indexes = [
            models.Index(
                fields=["provider", "crashes", "sort_key"],
                condition=Q(status=Status.PENDING),
                name="embeddings_task_claim",
            ),
            models.Index(fields=["available_at"], condition=_HAS_TIME, name="embeddings_task_due"),
            models.Index(fields=["lease_until"], condition=_IS_PROCESSING, name="embeddings_task_lease"),
            # For the claims of single targets, while others are paused.
            models.Index(
                fields=["content_type", "field", "crashes", "sort_key"],
                condition=Q(status=Status.PENDING),
                name="embeddings_task_claim_target",
            ),
            # Groups of failures, counted and dated from the index alone.
            models.Index(
                fields=["error_signature", "id"],
                include=["updated_at"],
                condition=Q(status=Status.FAILED),
                name="embeddings_task_failed",
            ),
            # For operators, whose filters ask for what is rare among many that are completed.
            models.Index(
                fields=["status", "id"],
                condition=Q(status__in=[Status.EMPTY, Status.FAILED, Status.CANCELLED]),
                name="embeddings_task_ended",
            ),
            models.Index(fields=["error_kind", "id"], condition=~Q(error_kind=""), name="embeddings_task_error"),
            models.Index(fields=["id"], condition=Q(payload__isnull=False), name="embeddings_task_boxed"),
            # A batch's progress, counted and timed from the index alone.
            models.Index(
                fields=["batch", "status", "updated_at"],
                condition=Q(batch__isnull=False),
                name="embeddings_task_batch",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_label} {self.object_id}"

    @property
    def target_label(self) -> str:
        """ "content.article.embedding", without a query: content types are cached."""
        return f"{self.target_model_label}.{self.field}"

    @property
    def target_model_label(self) -> str:
        content_type = self._content_type
        return f"{content_type.app_label}.{content_type.model}"

    @cached_property
    def _content_type(self) -> ContentType:
        manager = ContentType.objects.db_manager(self._state.db)
        return manager.get_for_id(self.content_type_id)

    @property
    def model_class(self) -> type[models.Model] | None:
        """The model of the embedded object; None when the code no longer has it."""
        return self._content_type.model_class()

    @cached_property
    def target_object(self) -> Any:
        """The embedded object; None when it, or its model, is gone."""
        model = self.model_class
        if model is None:
            return None
        try:
            return model._base_manager.using(self._state.db).filter(pk=self.object_id).first()
        except (ValueError, ValidationError):  # a key that the model cannot have: its key's type has changed
            return None
