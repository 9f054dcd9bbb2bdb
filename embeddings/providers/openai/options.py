"""The OPTIONS of OpenAIProvider, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError

OPENAI_URL = "https://api.openai.com/v1"

# US dollars for a million tokens, from OpenAI's page of each model.
PRICES = {
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
    "text-embedding-ada-002": 0.10,
}


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Each field is an option in upper case."""

    # Not needed where BASE_URL is set. Never shown: see Redaction.
    api_key: str
    # Another server than OpenAI's, with its "/v1"; empty for OpenAI.
    base_url: str
    # OpenAI's organization id.
    organization: str
    # Without an answer for so long, a request has failed. Default: REQUEST_TIMEOUT_SECONDS of EMBEDDINGS.
    timeout_seconds: float
    # Ask the server for DIMENSIONS. Default: for text-embedding-3 models only, since others refuse to be asked.
    send_dimensions: bool
    # "base64", which is a quarter of the size, or "float", which every server knows. Default: "base64" for OpenAI,
    # "float" where BASE_URL is set. An answer in either is understood.
    encoding: str
    # The limits of another server, such as 32 inputs for Text Embeddings Inference. Default: OpenAI's.
    max_inputs: int
    max_request_tokens: int
    max_input_tokens: int
    # US dollars; None where it is not known. Default: OpenAI's list prices.
    price_per_million_tokens: float | None


NAMES = frozenset(name.upper() for name in OpenAIOptions.__dataclass_fields__)


def read(settings: ProviderSettings) -> OpenAIOptions:
    """The options over their defaults; raises ConfigurationError naming the one that is wrong."""
    given = _Given(settings)
    base_url = given.url("BASE_URL")
    return OpenAIOptions(
        api_key=given.header("API_KEY"),
        base_url=base_url,
        organization=given.header("ORGANIZATION"),
        timeout_seconds=given.number("TIMEOUT_SECONDS", settings.timeout_seconds, at_least=0.001),
        send_dimensions=given.one_of(
            "SEND_DIMENSIONS", settings.model_id.startswith("text-embedding-3"), (True, False)
        ),
        encoding=given.one_of("ENCODING", "float" if base_url else "base64", ("base64", "float")),
        max_inputs=given.whole_number("MAX_INPUTS", 2048),
        max_request_tokens=given.whole_number("MAX_REQUEST_TOKENS", 300_000),
        max_input_tokens=given.whole_number("MAX_INPUT_TOKENS", 8192),
        price_per_million_tokens=given.number("PRICE_PER_MILLION_TOKENS", PRICES.get(settings.model_id), at_least=0),
    )


class _Given:
    """Reads one option; None and a missing key are the default. Messages never show a value that may be a key."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._options = settings.options
        self._where = f"EMBEDDING_PROVIDERS[{settings.alias!r}]['OPTIONS']"

    def header(self, name: str) -> str:
        """A text that can be sent in an HTTP header, without the white space that files and shells leave around it."""
        value = self._get(name, "")
        if not isinstance(value, str):
            raise self._wrong(name, "must be a string")
        value = value.strip()
        if not value.isascii() or not value.isprintable() or " " in value:
            raise self._wrong(name, "has characters that cannot be part of it; copy it again")
        return value

    def url(self, name: str) -> str:
        value = self._get(name, "")
        if not isinstance(value, str):
            raise self._wrong(name, "must be a string")
        if not value:
            return ""
        try:
            parts = urlsplit(value)
            valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # a port that is not a number
            valid = False
        if not valid:
            raise self._wrong(name, "must be an address such as http://localhost:11434/v1")
        return value

    def one_of(self, name: str, default: Any, choices: tuple[Any, ...]) -> Any:
        value = self._get(name, default)
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
            raise self._wrong(name, f"must be {' or '.join(map(repr, choices))}, not {value!r}")
        return value

    def number(self, name: str, default: float | None, *, at_least: float) -> Any:
        value = self._get(name, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value < float("inf"):
            raise self._wrong(name, f"must be a number of at least {at_least:g}, not {value!r}")
        return value

    def whole_number(self, name: str, default: int) -> int:
        value: Any = self.number(name, default, at_least=1)
        if not isinstance(value, int):
            raise self._wrong(name, f"must be a whole number, not {value!r}")
        return value

    def _get(self, name: str, default: Any) -> Any:
        value = self._options.get(name)
        return default if value is None else value

    def _wrong(self, name: str, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where}: {name} {problem}.")
