"""What the tests of providers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embeddings.providers.openai import OpenAIProvider
from tests.openai_server import OpenAIServer
from tests.unit.providers.clients import MODEL_ID, openai_provider


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def connect(server: OpenAIServer) -> Callable[..., OpenAIProvider]:
    """Makes a provider that talks to the test server, with these options."""

    def make(model_id: str = MODEL_ID, dimensions: int = 64, **options: Any) -> OpenAIProvider:
        address = {"BASE_URL": server.base_url, "API_KEY": server.api_key}
        return openai_provider(model_id, dimensions, **{**address, **options})

    return make
