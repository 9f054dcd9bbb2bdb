"""Who did what, and what happened that somebody may ask about later."""

from __future__ import annotations

from django.db import models


class AuditEvent(models.Model):
    """One entry of the audit log, in the first of EMBEDDINGS["DATABASES"]. Never changed; deleted by age."""

    class Kind(models.TextChoices):
        # An operator changed live settings or quotas; `details` holds {name: [old, new]}.
        SETTINGS = "settings", "settings changed"
        # A provider, a target or everything was paused, or goes on: by somebody, or because its time was over.
        PAUSED = "paused", "paused"
        RESUMED = "resumed", "resumed"
        # A provider is not called after failures, or is called again.
        BLOCKED = "blocked", "provider blocked"
        UNBLOCKED = "unblocked", "provider available again"
        # Tasks were taken from a dead worker; `details` counts them.
        RESCUED = "rescued", "tasks rescued"
        # An operator did something to tasks: here and now, or by an operation in the background.
        RETRIED = "retried", "tasks retried"
        CANCELLED = "cancelled", "tasks cancelled"
        CLEARED = "cleared", "tasks cleared"
        REQUESTED = "requested", "tasks requested"
        # An operation in the background began, was stopped, or came to its end.
        OPERATION = "operation", "operation"
        # An alert was raised, or what it was about is over.
        ALERT = "alert", "alert"
        ALERT_OVER = "alert_over", "alert over"
        # A webhook endpoint was added, changed or disabled, or its messages sent again.
        WEBHOOK = "webhook", "webhook"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    # What it is about: "provider default", "content.article.embedding", "task 12"; "" for everything.
    subject = models.CharField(max_length=255, blank=True, default="")
    # One sentence. Never a text of the project's objects, never a key.
    message = models.TextField()
    # The user's name; "" for what happened by itself.
    by = models.CharField(max_length=255, blank=True, default="")
    details = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "audit event"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["created_at"], name="embeddings_audit_created"),
            models.Index(fields=["kind", "id"], name="embeddings_audit_kind"),
        ]

    def __str__(self) -> str:
        return self.message
