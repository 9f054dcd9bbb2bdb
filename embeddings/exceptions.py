"""Everything this package raises.

    EmbeddingsError
    ├── ConfigurationError          settings or a model declaration are wrong
    ├── FilterError                 a filter of tasks makes no sense
    ├── SourceError                 the text of an object could not be made
    │   └── SplitterFailed          … or could not be split into chunks
    ├── BoxError                    what a box holds cannot be stored
    ├── SourceChanged               the text changes while it is embedded, and nobody says so
    ├── AddressRefused              webhooks are not sent to this address
    ├── RebuildRunning              another process drops or builds indexes of the database
    ├── RowLocked                   another transaction would not let go of an object
    └── ProviderError               a request to a provider did not give vectors
        ├── RateLimited             wait; nothing is wrong with the texts
        │   └── QuotaUsedUp         … as we found before asking
        ├── TransientError          try again; nothing is known to be wrong
        │   └── Paused              … once an operator lets it go on
        ├── InputRejected           the provider will never take one of these texts
        │   └── InputTooLong        … because it is too long
        └── ProviderMisconfigured   no request can work until somebody changes something

The class decides what happens to a task; messages are for people and are never compared.
"""

from __future__ import annotations


class EmbeddingsError(Exception):
    """Something went wrong in the embeddings app."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ConfigurationError(EmbeddingsError):
    """The embeddings configuration is wrong."""


class FilterError(EmbeddingsError):
    """The filter of tasks makes no sense."""


class SourceError(EmbeddingsError):
    """The source text of an object could not be made."""

    kind = "input"


class BoxError(EmbeddingsError):
    """What a box holds cannot be stored."""

    kind = "input"


class SplitterFailed(SourceError):
    """The text could not be split into chunks."""


class SourceChanged(EmbeddingsError):
    """When the vector came, the text was another, without a save: raw SQL changed it, or it is never the same twice."""


class AddressRefused(EmbeddingsError):
    """Webhooks are not sent to this address."""


class RebuildRunning(EmbeddingsError):
    """Another process drops or builds indexes of this database now: wait for its end, or stop it."""


class RowLocked(EmbeddingsError):
    """Another transaction held the row, or its task, for too long; its vector could not be written."""


class ProviderError(EmbeddingsError):
    """The provider did not return vectors."""

    kind = "transient"
    # Of the answer, where the provider is asked over HTTP.
    http_status: int | None = None


class RateLimited(ProviderError):
    """The provider asked to slow down."""

    kind = "rate_limit"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        """`retry_after` is the provider's own wish, in seconds from now, when it gave one."""
        super().__init__(message)
        self.retry_after = retry_after


class QuotaUsedUp(RateLimited):
    """The quota of the provider is used up for now: by our own count, or by what it said with its last answer."""


class TransientError(ProviderError):
    """The provider could not be reached or failed by itself."""

    kind = "transient"

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        """`retry_after` is the provider's own wish, in seconds from now, when it gave one."""
        super().__init__(message)
        self.retry_after = retry_after


class Paused(TransientError):
    """An operator has paused it."""


class InputRejected(ProviderError):
    """The provider refused a text."""

    kind = "input"


class InputTooLong(InputRejected):
    """The provider refused a text because it is too long."""


class ProviderMisconfigured(ProviderError):
    """The provider refused the request whatever its texts: a bad key, an unknown model, wrong dimensions."""

    kind = "configuration"
