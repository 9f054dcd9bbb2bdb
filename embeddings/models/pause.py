"""What operators have paused."""

from __future__ import annotations

from django.db import models


class Pause(models.Model):
    """Nothing is begun of what it names until it is lifted, or its time is over. In the first of the databases."""

    class Kind(models.TextChoices):
        EVERYTHING = "everything", "everything"
        # No request is sent to it, by tasks or by searches.
        PROVIDER = "provider", "provider"
        # Its tasks wait.
        TARGET = "target", "target"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    # An alias of EMBEDDING_PROVIDERS, or "content.article.embedding"; "" for everything.
    name = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    # Null: until somebody resumes it.
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("set_pause", "Can pause and resume")]
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="embeddings_pause_one")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}".strip()
