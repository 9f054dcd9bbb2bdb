"""What the tests of the five systems share: worker processes, and people who are logged in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.integration.conftest import Workers, drain, openai, workers  # noqa: F401
from tests.openai_server import OpenAIServer

# Small requests one after the other, so that the order in which tasks are done can be seen.
EMBEDDINGS = {"BATCH_SIZE": 100, "CONCURRENCY": 1}


def providers(server: OpenAIServer) -> dict[str, Any]:
    """EMBEDDING_PROVIDERS with OpenAI's, at `server`, for the columns of the content."""
    return {"default": {**openai(server)["default"], "DIMENSIONS": project_settings.EMBEDDING_DIMENSIONS}}


@pytest.fixture
def server(workers: Workers, settings: Any) -> Iterator[OpenAIServer]:  # noqa: F811
    """The provider, with a worker process that waits for work. (A process for each test: content types are renumbered
    between two of them.)"""
    with OpenAIServer() as running:
        settings.EMBEDDING_PROVIDERS = providers(running)
        workers.started(embeddings=EMBEDDINGS, providers=providers(running))
        yield running


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
