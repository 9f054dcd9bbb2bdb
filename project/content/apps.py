from __future__ import annotations

from django.apps import AppConfig


class ContentConfig(AppConfig):
    """The reference project's own content: articles, and the pages that search them."""

    name = "project.content"
    verbose_name = "Content"
    default_auto_field = "django.db.models.BigAutoField"
