"""The provider: one request through the `openai` SDK."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from embeddings.conf import ProviderSettings
from embeddings.exceptions import ProviderMisconfigured, TransientError
from embeddings.providers.base import Embedded, Provider, refuse_unusable
from embeddings.providers.openai import options
from embeddings.providers.openai.errors import provider_error
from embeddings.providers.openai.redaction import Redaction
from embeddings.providers.openai.remaining import remaining
from embeddings.providers.openai.response import UnreadableResponse, read_tokens, read_vectors

if TYPE_CHECKING:
    from openai import OpenAI

CONNECT_SECONDS = 10.0


class OpenAIProvider(Provider):
    """OpenAI, and with BASE_URL also Ollama, vLLM, Text Embeddings Inference, LM Studio.

    `options.OpenAIOptions` lists what OPTIONS takes; only API_KEY is needed, and only for OpenAI itself.
    """

    known_options = options.NAMES

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self.typed_options = options.read(settings)
        self.timeout_seconds = self.typed_options.timeout_seconds
        self.max_inputs = self.typed_options.max_inputs
        self.max_request_tokens = self.typed_options.max_request_tokens
        self.max_input_tokens = self.typed_options.max_input_tokens
        self._base_url = self.typed_options.base_url or options.OPENAI_URL
        self._server = f"{self.model_id} at {urlsplit(self._base_url).hostname}"
        self._clients: dict[int, OpenAI] = {}
        self._make_client_once = threading.Lock()

    def prepare(self) -> None:
        """Import the SDK, which takes half a second; no connection is made."""
        _sdk()

    def embed(self, texts: Sequence[str]) -> Embedded:
        """n texts → n vectors of `dimensions` floats, in one request; and what it used and left of the account."""
        refuse_unusable(texts)
        if not texts:
            return Embedded([], 0)
        body, headers = self._post(texts)
        try:
            vectors = read_vectors(body, len(texts))
        except UnreadableResponse as exc:
            raise TransientError(f"{self._server} sent {exc}.") from exc
        for vector in vectors:
            if len(vector) != self.dimensions:
                raise ProviderMisconfigured(self._wrong_dimensions(len(vector)))
        return Embedded(vectors, read_tokens(body), remaining(headers, "requests"), remaining(headers, "tokens"))

    def cost(self, tokens: int) -> float | None:
        """US dollars, by PRICE_PER_MILLION_TOKENS or OpenAI's list."""
        price = self.typed_options.price_per_million_tokens
        return None if price is None else tokens * price / 1_000_000

    def _post(self, texts: Sequence[str]) -> tuple[Any, Mapping[str, str]]:
        """The body, parsed, and the headers of a good answer."""
        asked: dict[str, Any] = {"dimensions": self.dimensions} if self.typed_options.send_dimensions else {}
        asked["encoding_format"] = self.typed_options.encoding
        client = self._client()
        try:
            # The raw response, because the SDK would turn each vector into Python floats, and not check its shape.
            response = client.embeddings.with_raw_response.create(input=list(texts), model=self.model_id, **asked)
            return response.http_response.json(), response.headers
        except _sdk().OpenAIError as exc:
            redaction = Redaction(self.typed_options.api_key, texts)
            raise provider_error(exc, server=self._server, alias=self.alias, redaction=redaction) from exc
        except ValueError as exc:
            raise TransientError(f"{self._server} sent something else than JSON.") from exc

    def _client(self) -> OpenAI:
        """This process's client, for all its threads; a child process must not use its parent's connections."""
        process = os.getpid()
        if process not in self._clients:
            with self._make_client_once:
                if process not in self._clients:
                    self._clients = {process: self._make_client()}
        return self._clients[process]

    def _make_client(self) -> OpenAI:
        if not (self.typed_options.api_key or self.typed_options.base_url):
            raise ProviderMisconfigured(
                f"EMBEDDING_PROVIDERS[{self.alias!r}] needs API_KEY in its OPTIONS, or BASE_URL for another server."
            )
        openai = _sdk()
        client: OpenAI = openai.OpenAI(
            # Without these the SDK takes them from the environment, and would send OpenAI's key to another server.
            api_key=self.typed_options.api_key or "none",
            base_url=self._base_url,
            organization=self.typed_options.organization or None,
            timeout=openai.Timeout(self.timeout_seconds, connect=min(CONNECT_SECONDS, self.timeout_seconds)),
            max_retries=0,
        )
        weakref.finalize(self, client.close)  # when the settings change; left to itself it would leak its sockets
        return client

    def _wrong_dimensions(self, got: int) -> str:
        return (
            f"{self._server} sent {got} dimensions, and DIMENSIONS in EMBEDDING_PROVIDERS[{self.alias!r}] is "
            f"{self.dimensions}; set it to {got}, or set SEND_DIMENSIONS to True in its OPTIONS if the server can "
            "shorten its vectors."
        )


def _sdk() -> ModuleType:
    """The `openai` module, imported at the first request: a process that only queues work never pays for it."""
    try:
        import openai
    except ImportError as exc:
        raise ProviderMisconfigured(
            "OpenAIProvider needs the SDK: pip install 'django-rq-embeddings[openai]'."
        ) from exc
    return openai
