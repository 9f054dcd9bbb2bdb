"""What is known about providers: whether they may be called now, and what each request cost."""

from __future__ import annotations

from django.db import models


class ProviderState(models.Model):
    """Whether a provider may be called now; shared by all workers. No row means that it may."""

    class Reason(models.TextChoices):
        # It asked to slow down; it may be called again after `blocked_until`.
        RATE_LIMIT = "rate_limit", "rate limit"
        # By our own count, or by what it says is left, its quota is used up; there is some again after `blocked_until`.
        QUOTA = "quota", "quota used up"
        # Too many transient failures in a row; a ping after `blocked_until` decides.
        CIRCUIT = "circuit", "circuit open"
        # No request can work until somebody changes something; a ping after `blocked_until` decides.
        CONFIGURATION = "configuration", "configuration"

    alias = models.CharField(max_length=64, primary_key=True)
    blocked_until = models.DateTimeField(null=True, blank=True)
    blocked_reason = models.CharField(max_length=16, choices=Reason.choices, blank=True, default="")
    failures_in_a_row = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")
    # What was learned of it last, and when: so many requests of one worker at once did not make it slow down.
    in_flight = models.PositiveSmallIntegerField(null=True, blank=True)
    in_flight_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "provider"
        permissions = [("resume_providerstate", "Can let a blocked provider be called again")]

    def __str__(self) -> str:
        return self.alias


class ProviderCall(models.Model):
    """One request to a provider."""

    provider = models.CharField(max_length=64)
    model_id = models.CharField(max_length=200)
    inputs = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField(null=True, blank=True)
    # US dollars; null where the price is not known.
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    latency_ms = models.PositiveIntegerField()
    # "ok", or the kind of error.
    outcome = models.CharField(max_length=16)
    worker = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "provider request"
        indexes = [
            models.Index(fields=["created_at"], name="embeddings_call_created"),
            # For operators' lists, newest first.
            models.Index(fields=["outcome", "id"], name="embeddings_call_outcome"),
            models.Index(fields=["provider", "id"], name="embeddings_call_provider"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.outcome} {self.inputs} inputs"
