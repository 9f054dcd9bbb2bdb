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
    """An entry of EMBEDDING_PROVIDERS. `needs_server` gives it the address and the key of the test server.

    The address is that of the server's API, and `path`, under the name `address_option`.
    """

    name: str
    backend: str
    model_id: str
    dimensions: int
    options: dict[str, Any] = field(default_factory=dict)
    needs_server: bool = False
    address_option: str = "BASE_URL"
    path: str = ""

    def make(self, server: OpenAIServer) -> Provider:
        address = {self.address_option: server.base_url + self.path, "API_KEY": server.api_key}
        options = {**(address if self.needs_server else {}), **self.options}
        provider: Provider = import_string(self.backend)(
            ProviderSettings("default", self.backend, self.model_id, self.dimensions, options)
        )
        return provider


_LOCAL = "embeddings.providers.local.LocalProvider"
_OPENAI = "embeddings.providers.openai.OpenAIProvider"
_DUMMY = "embeddings.providers.dummy.DummyProvider"
# That of docs/own-providers.md.
_OWN = "tests.docs.own_provider.HttpProvider"

CANDIDATES = [
    Candidate("local", _LOCAL, "l2_supercat_256", 256),
    Candidate("local, shortened", _LOCAL, "l2_supercat_256", 64),
    Candidate("openai, base64", _OPENAI, "text-embedding-3-small", 64, {"ENCODING": "base64"}, needs_server=True),
    Candidate("openai, float", _OPENAI, "text-embedding-3-small", 64, {"ENCODING": "float"}, needs_server=True),
    Candidate("openai, without dimensions", _OPENAI, "all-minilm", 384, {"MAX_INPUTS": 32}, needs_server=True),
    Candidate("dummy", _DUMMY, "dummy", 256),
    Candidate(
        "the guide's", _OWN, "text-embedding-3-small", 64, needs_server=True, address_option="URL", path="/embeddings"
    ),
]
