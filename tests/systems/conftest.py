"""What the tests of the five systems share: worker processes, and people who are logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.integration.conftest import _count_from_zero, task_of, workers  # noqa: F401

LogIn = Callable[..., Client]


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """A user who may view, add, change and delete these models of the content, by their names."""

    def make(name: str, *models: str, **extra: Any) -> User:
        user = User.objects.create_user(name, password="pass", **extra)
        permissions = Permission.objects.filter(content_type__app_label="content", content_type__model__in=models)
        user.user_permissions.set(permissions)
        return user

    return make


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A client in which a user is logged in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return log_in
