"""Visitors of the pages, and a worker in the test's own process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from embeddings import pipeline


@pytest.fixture
def log_in(client: Client) -> Callable[..., User]:
    """Log the client in as a user with these permissions of the content's models ("add_note"), and return the user."""

    def log_in(*codenames: str) -> User:
        user = User.objects.create_user("reader")
        wanted = Permission.objects.filter(content_type__app_label="content", codename__in=codenames)
        assert len(wanted) == len(codenames)
        user.user_permissions.set(wanted)
        client.force_login(user)
        return user

    return log_in


@pytest.fixture
def embed(redis_client: object) -> Callable[[], None]:
    """Let a worker do all that waits."""
    return lambda: pipeline.Drain("test", seconds=30).run() and None
