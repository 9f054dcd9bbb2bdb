"""What was answered to calls of the API that must not be done twice."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class IdempotencyKey(models.Model):
    """One `Idempotency-Key` of a user, and the answer that its first call got. In the first of the databases."""

    # The user's primary key, as text.
    user = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    # sha256 of method, path and body: the same key for something else is an error.
    fingerprint = models.CharField(max_length=64)
    # None while the first call is being worked on.
    status_code = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="embeddings_idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
