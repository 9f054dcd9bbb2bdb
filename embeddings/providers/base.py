"""What a provider is: text in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from embeddings.conf import ProviderSettings
from embeddings.exceptions import ConfigurationError, InputRejected


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of a quota, in requests or tokens, as the provider said with an answer.

    `reset_seconds` is the time in which it is whole again.
    """

    limit: int
    left: int
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class Embedded:
    """The answer to one request.

    `vectors` has one entry an input, in order, each `dimensions` floats: a list or a one-dimensional float32 array.
    `tokens` is what the provider counted (and bills), None where it does not say. `requests_left` and `tokens_left`
    are what it said of the account's quotas.
    """

    vectors: Sequence[Any]
    tokens: int | None = None
    requests_left: Remaining | None = None
    tokens_left: Remaining | None = None


# A text that every provider takes.
PING = "ping"


class Provider:
    """Base of all providers. A subclass implements `embed`; batching, retries, limits and metrics live outside.

    `embed` is called from several threads of one process at once.
    """

    # The most that one request may hold. Token figures are compared with the estimate of `batching.estimate_tokens`.
    # A provider whose options set them assigns them to itself.
    max_inputs: int = 2048
    max_request_tokens: int = 300_000
    max_input_tokens: int = 8192

    # Option names that this provider takes under "OPTIONS".
    known_options: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: ProviderSettings) -> None:
        unknown = sorted(set(settings.options) - self.known_options)
        if unknown:
            raise ConfigurationError(
                f"Provider {settings.alias!r} has unknown OPTIONS {', '.join(unknown)}; "
                f"{type(self).__name__} takes {', '.join(sorted(self.known_options)) or 'none'}."
            )
        self.alias = settings.alias
        self.model_id = settings.model_id
        self.dimensions = settings.dimensions
        self.options = settings.options
        self.timeout_seconds = settings.timeout_seconds
        self.requests_per_minute = settings.requests_per_minute
        self.tokens_per_minute = settings.tokens_per_minute

    def prepare(self) -> None:
        """Load what is slow to load. A worker calls it once before it forks, so that its jobs start quickly."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """n texts (none empty) → n vectors of `dimensions` floats; no texts → no vectors, without a request.

        Raises a subclass of `ProviderError`; its class decides what happens to the tasks. The vectors are passed
        on as they came: whether their numbers are finite is checked outside, for all providers alike.
        """
        raise NotImplementedError

    def ping(self) -> Embedded:
        """Ask for one harmless vector, to learn whether the provider works; raises as `embed` does."""
        return self.embed([PING])

    def cost(self, tokens: int) -> float | None:
        """US dollars for so many tokens; None where the price is not known."""
        return None


def refuse_unusable(texts: Sequence[str]) -> None:
    """Raise InputRejected if one of `texts` is what no provider can take: not a string, empty, or not Unicode.

    Half of a surrogate pair (a cut emoji) is a Python string that has no UTF-8 form.
    """
    for text in texts:
        if not isinstance(text, str):
            raise InputRejected(f"An input is not text but {type(text).__name__}.")
        if not text:
            raise InputRejected("An input is empty.")
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InputRejected("An input holds half of a surrogate pair, which is not valid Unicode.") from exc
