from __future__ import annotations

from django.apps import AppConfig


class TestAppConfig(AppConfig):
    name = "tests.testapp"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from embeddings import registry
        from tests.testapp.models import Foreign

        registry.register(Foreign, "vector", source="words")
