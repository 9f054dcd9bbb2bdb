"""Whom we tell over HTTP what has happened, what is still to be told, and how each delivery went.

All of it is in the first of the databases, but for the events: these are written in the transaction that makes them
true, in its database.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class WebhookEvent(models.Model):
    """Something that has happened and is not yet in a delivery. Written only while some endpoint wants its kind."""

    class Kind(models.TextChoices):
        TASK_COMPLETED = "task.completed", "tasks completed"
        TASK_FAILED = "task.failed", "tasks failed for good"
        BATCH_FINISHED = "batch.finished", "a batch is finished"
        QUEUE_UNHEALTHY = "queue.unhealthy", "an alert was raised"
        QUEUE_RECOVERED = "queue.recovered", "an alert is over"
        # Sent when somebody asks for it; nobody subscribes to it.
        TEST = "webhook.test", "a test message"

    kind = models.CharField(max_length=30, choices=Kind.choices)
    # What the messages will carry of it: of tasks a list, since one statement ends many.
    data = models.JSONField(default=dict)
    # Of those that go into deliveries together: whoever repeats that after a crash makes the same messages of them.
    group = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class WebhookEndpoint(models.Model):
    """An address that is told of events, in messages signed by the Standard Webhooks scheme."""

    name = models.CharField(max_length=100, unique=True)
    url = models.CharField("address", max_length=500)
    # Kinds of events.
    events = ArrayField(models.CharField(max_length=30, choices=WebhookEvent.Kind.choices))
    # Only of tasks of these targets, as "app.model.field"; none: of all.
    targets = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    # "whsec_" and base64. The former one signs too until its time is over, so that receivers can change in peace.
    secret = models.CharField(max_length=100, editable=False)
    former_secret = models.CharField(max_length=100, blank=True, default="", editable=False)
    former_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)
    # Why it was disabled by itself.
    disabled_reason = models.TextField(blank=True, default="", editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when no delivery has succeeded.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_delivered_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # The name of the user who added it.
    created_by = models.CharField(max_length=255, blank=True, default="", editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(models.Model):
    """One message to one endpoint, until its receiver has taken it or it is given up."""

    class State(models.TextChoices):
        # To be sent at `available_at`.
        WAITING = "waiting", "waiting"
        # A worker is sending it.
        SENDING = "sending", "sending"
        # The receiver answered 2xx.
        DELIVERED = "delivered", "delivered"
        # Given up after the last attempt.
        FAILED = "failed", "failed"
        # Its endpoint was disabled before it was sent.
        CANCELLED = "cancelled", "cancelled"

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=30, choices=WebhookEvent.Kind.choices)
    # The header "webhook-id", the same at each attempt and at a replay: receivers know by it what they have had.
    message_id = models.CharField(max_length=100)
    # The body that is sent; `timestamp` in it is when the last of its events happened.
    payload = models.JSONField()
    # How many tasks it tells of; 1 of what is no task.
    events = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now())
    worker = models.CharField(max_length=255, blank=True, default="")
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    # One entry an attempt: {"at", "status", "seconds", "error"}.
    history = models.JSONField(default=list, blank=True)
    # Of the last attempt: the status of the answer, and a sentence.
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error_message = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "webhook deliveries"
        default_permissions = ("view",)
        permissions = [("replay_webhookdelivery", "Can send webhook deliveries again")]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "message_id"], name="embeddings_delivery_once"),
            models.CheckConstraint(
                condition=Q(state="sending", lease_token__isnull=False, lease_until__isnull=False)
                | (~Q(state="sending") & Q(lease_token__isnull=True, lease_until__isnull=True)),
                name="embeddings_delivery_lease_if_sending",
            ),
            models.CheckConstraint(
                condition=Q(state="delivered", delivered_at__isnull=False)
                | (~Q(state="delivered") & Q(delivered_at__isnull=True)),
                name="embeddings_delivery_time_if_delivered",
            ),
        ]
        indexes = [
            models.Index(fields=["available_at"], condition=Q(state="waiting"), name="embeddings_delivery_due"),
            models.Index(fields=["lease_until"], condition=Q(state="sending"), name="embeddings_delivery_lease"),
            models.Index(fields=["endpoint", "-id"], name="embeddings_delivery_endpoint"),
            models.Index(fields=["state", "-id"], name="embeddings_delivery_state"),
            models.Index(fields=["kind", "-id"], name="embeddings_delivery_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"
