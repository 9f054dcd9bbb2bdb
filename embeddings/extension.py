"""pgvector's extension is there before any app's migrations, also of those that come before ours in the alphabet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.migrations.state import ProjectState
from django.db.models.signals import pre_migrate
from pgvector.django import VectorExtension


def create_before_migrations(app_config: Any) -> None:
    """Create it in `manage.py migrate`, where this app's tables are to be; a migration with a vector names no other."""
    pre_migrate.connect(_create, sender=app_config, dispatch_uid="embeddings.extension")


def _create(sender: Any, using: str, plan: Sequence[tuple[Any, bool]], **kwargs: Any) -> None:
    if any(not is_backwards for _, is_backwards in plan):
        # It asks the routers, and whether it is there already.
        with connections[using].schema_editor() as editor:
            VectorExtension().database_forwards(sender.label, editor, ProjectState(), ProjectState())
