"""A server's vectors, asked for over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from embeddings.conf import ProviderSettings
from embeddings.exceptions import (
    ConfigurationError,
    InputRejected,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    TransientError,
)
from embeddings.providers import Embedded, Provider
from embeddings.providers.base import refuse_unusable


class HttpProvider(Provider):
    """OPTIONS: URL, where texts are sent; API_KEY, if the server wants one."""

    known_options = frozenset({"URL", "API_KEY"})
    # What one request may hold, and one text, by the server's manual.
    max_inputs = 512
    max_request_tokens = 100_000
    max_input_tokens = 8_000

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        if not self.options.get("URL"):
            raise ConfigurationError(f"EMBEDDING_PROVIDERS[{self.alias!r}] needs URL in its OPTIONS.")

    def embed(self, texts: Sequence[str]) -> Embedded:
        refuse_unusable(texts)
        if not texts:
            return Embedded([], 0)
        answer = self._post({"model": self.model_id, "input": list(texts), "dimensions": self.dimensions})
        try:
            vectors = [each["embedding"] for each in answer["data"]]
            tokens = answer["usage"]["total_tokens"]
        except (KeyError, TypeError) as exc:
            raise TransientError(f"{self.model_id} sent something that is no answer.") from exc
        return Embedded(vectors, tokens)

    def cost(self, tokens: int) -> float:
        """US dollars, by the server's price list."""
        return tokens * 0.02 / 1_000_000

    def _post(self, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := self.options.get("API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.options["URL"], json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
                return json.load(response)
        except urllib.error.HTTPError as exc:
            with exc:
                raise self._refusal(exc) from exc
        except (OSError, ValueError) as exc:
            raise TransientError(f"{self.model_id} gave no answer: {type(exc).__name__}.") from exc

    def _refusal(self, exc: urllib.error.HTTPError) -> ProviderError:
        if exc.code == 429:
            error: ProviderError = RateLimited("The server asked to slow down.", retry_after=_seconds(exc))
        elif exc.code in {401, 403, 404}:
            error = ProviderMisconfigured(f"The server refused the key or the model ({exc.code}).")
        elif exc.code < 500:
            error = InputRejected(f"The server refused a text ({exc.code}).")
        else:
            error = TransientError(f"The server failed ({exc.code}).", retry_after=_seconds(exc))
        error.http_status = exc.code
        return error


def _seconds(exc: urllib.error.HTTPError) -> float | None:
    said = exc.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else None
