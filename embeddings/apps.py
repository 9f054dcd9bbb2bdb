from __future__ import annotations

from django.apps import AppConfig


class EmbeddingsConfig(AppConfig):
    name = "embeddings"
    verbose_name = "Embeddings"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from embeddings import boxes, checks, direct, extension, signals  # noqa: F401  (registers checks; loads `boxes`)

        direct.register()
        signals.connect_all()
        extension.create_before_migrations(self)
