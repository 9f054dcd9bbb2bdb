"""Settings that operators change while workers run."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from embeddings import conf


def _count(most: int, help_text: str, *, least: int = 1) -> models.PositiveIntegerField[int | None, int | None]:
    bounds = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveIntegerField(null=True, blank=True, validators=bounds, help_text=help_text)


def _seconds(most: float, help_text: str, *, least: float = 0.0) -> models.FloatField[float | None, float | None]:
    bounds = [MinValueValidator(least), MaxValueValidator(most)]
    return models.FloatField(null=True, blank=True, validators=bounds, help_text=help_text)


class LiveSettings(models.Model):
    """One row; a field that is null leaves the value of EMBEDDINGS in force. In each of the databases alike.

    The names are those of `conf.EmbeddingSettings`, but for the head starts.
    """

    batch_size = _count(10_000, "Tasks claimed at once, and the most texts in one request.")
    concurrency = _count(64, "Requests in flight at once in one worker.")
    max_attempts = _count(100, "Attempts before a task is failed.")
    backoff_base_seconds = _seconds(3600, "Delay after the first failed attempt; doubles with each.")
    backoff_cap_seconds = _seconds(86_400, "The longest delay between two attempts.", least=0.1)
    circuit_failures = _count(1000, "Failures in a row that open a provider's circuit.")
    circuit_open_seconds = _seconds(3600, "Time before a provider with an open circuit is tried again.", least=1)

    head_start_high_seconds = _seconds(604_800, "Head start of tasks with high priority in the queue.")
    head_start_normal_seconds = _seconds(604_800, "Head start of tasks with normal priority.")
    head_start_low_seconds = _seconds(604_800, "Head start of tasks with low priority.")

    cleanup_retention_days = _count(36_500, "Age of deleted records of requests, workers, batches; 0 keeps.", least=0)
    attempt_retention_days = _count(36_500, "Age at which the history of tasks is deleted; 0 keeps it.", least=0)
    metric_retention_days = _count(36_500, "Age at which the figures of each minute are deleted; 0 keeps.", least=0)
    audit_retention_days = _count(36_500, "Age at which entries of the audit log are deleted; 0 keeps them.", least=0)

    alert_failed = _count(1_000_000_000, "So many failed tasks raise an alert; 0 for none.", least=0)
    alert_waiting_seconds = _seconds(31_536_000, "A task that waits for longer raises an alert; 0 for none.")

    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=255, blank=True, default="", editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "settings"
        default_permissions = ("view", "change")
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="embeddings_live_settings_one")]

    def __str__(self) -> str:
        return "Live settings"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Refuse values that contradict each other, or what EMBEDDINGS says where one of them is left to it."""
        if any(value != value for value in vars(self).values()):
            raise ValidationError("A setting is not a number.")
        errors = {}
        for smaller, larger, why in _ORDERED:
            if getattr(self, smaller) is None and getattr(self, larger) is None:
                continue
            least, most = (_in_force(self, name) for name in (smaller, larger))
            if least > most:
                wrong = larger if getattr(self, smaller) is None else smaller
                errors[wrong] = why.format(least=f"{least:g}", most=f"{most:g}")
        if errors:
            raise ValidationError(errors)


# (name, name, what is wrong if the first is larger than the second)
_ORDERED = [
    (
        "backoff_base_seconds",
        "backoff_cap_seconds",
        "The first delay, {least} s, is longer than the longest, {most} s: lower the one or raise the other.",
    ),
    (
        "head_start_normal_seconds",
        "head_start_high_seconds",
        "Normal tasks, with a head start of {least} s, would overtake those with high priority, with {most} s.",
    ),
    (
        "head_start_low_seconds",
        "head_start_normal_seconds",
        "Low tasks, with a head start of {least} s, would overtake those with normal priority, with {most} s.",
    ),
]


def _in_force(row: LiveSettings, name: str) -> float:
    value: float | None = getattr(row, name)
    return conf.configured_value(name) if value is None else value


class ProviderQuota(models.Model):
    """What a provider's account may use in a minute; null leaves what EMBEDDING_PROVIDERS says."""

    alias = models.CharField(max_length=64, primary_key=True)
    requests_per_minute = _count(1_000_000_000, "Requests a minute, all workers together.")
    tokens_per_minute = _count(2_000_000_000, "Tokens a minute, all workers together.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.alias
