"""The providers that the suite is run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.module_loading import import_string

from embeddings.conf import ProviderSettings
from embeddings.providers import Provider
from tests.openai_server import OpenAIServer


@dataclass(frozen=True)
class Candidate:
    """An entry of EMBEDDING_PROVIDERS. `needs_server` gives it the address and the key of the test server."""

    name: str
    backend: str
    model_id: str
    dimensions: int
    options: dict[str, Any] = field(default_factory=dict)
    needs_server: bool = False

    def make(self, server: OpenAIServer) -> Provider:
        address = {"BASE_URL": server.base_url, "API_KEY": server.api_key} if self.needs_server else {}
        provider: Provider = import_string(self.backend)(
            ProviderSettings("default", self.backend, self.model_id, self.dimensions, {**address, **self.options})
        )
        return provider


_LOCAL = "embeddings.providers.local.LocalProvider"
_OPENAI = "embeddings.providers.openai.OpenAIProvider"
_DUMMY = "embeddings.providers.dummy.DummyProvider"

CANDIDATES = [
    Candidate("local", _LOCAL, "l2_supercat_256", 256),
    Candidate("local, shortened", _LOCAL, "l2_supercat_256", 64),
    Candidate("openai, base64", _OPENAI, "text-embedding-3-small", 64, {"ENCODING": "base64"}, needs_server=True),
    Candidate("openai, float", _OPENAI, "text-embedding-3-small", 64, {"ENCODING": "float"}, needs_server=True),
    Candidate("openai, without dimensions", _OPENAI, "all-minilm", 384, {"MAX_INPUTS": 32}, needs_server=True),
    Candidate("dummy", _DUMMY, "dummy", 256),
]
