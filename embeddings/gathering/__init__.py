"""The vectors of many texts, here and now, for somebody who waits: those that are kept, and the rest from a provider.

What the provider has made is kept at once, also if something else goes wrong: who asks again pays for the rest only.
"""

from __future__ import annotations

from collections.abc import Sequence

from embeddings import kept, live
from embeddings.batching import estimate_tokens
from embeddings.exceptions import InputRejected
from embeddings.gathering.fetching import Fetch
from embeddings.kept import Kept
from embeddings.providers import Provider, get_provider
from embeddings.text import SourceText

__all__ = ["TextRefused", "gather"]


class TextRefused(InputRejected):
    """One of the texts cannot be embedded."""

    def __init__(self, message: str, position: int) -> None:
        """`position` is its place among the texts, from 0."""
        super().__init__(message)
        self.position = position


def gather(texts: Sequence[str], provider: Provider) -> list[Kept]:
    """n texts, none empty → n vectors of `dimensions` floats, in their order, with the tokens of each.

    Equal texts are asked for once, kept ones not at all. No text is cut. Raises TextRefused or another ProviderError.
    Call it in no transaction: one would stay open while the provider is asked, and could roll back what is kept.
    """
    if live.refresh(max_age_seconds=live.PATIENT_SECONDS):
        get_provider(provider.alias)  # Which gives the one in hand the quotas that are in force now.
    sources = [SourceText(text, provider) for text in texts]
    _refuse_long(texts, sources, provider)
    found = kept.find({source.fingerprint for source in sources})
    missing = {source.fingerprint: source for source in sources if source.fingerprint not in found}
    if missing:
        fetch = Fetch(provider)
        fetch.run(list(missing.values()))
        _raise_error(fetch, sources)
        found |= fetch.made
    return [found[source.fingerprint] for source in sources]


def _refuse_long(texts: Sequence[str], sources: Sequence[SourceText], provider: Provider) -> None:
    for position, source in enumerate(sources):
        if source.truncated:
            tokens, most = estimate_tokens(texts[position]), provider.max_input_tokens
            raise TextRefused(f"It has about {tokens:,} tokens, and {provider.model_id} takes {most:,}.", position)


def _raise_error(fetch: Fetch, sources: Sequence[SourceText]) -> None:
    if fetch.error is None:
        return
    if fetch.guilty is None:
        raise fetch.error
    position = next(n for n, source in enumerate(sources) if source.fingerprint == fetch.guilty.fingerprint)
    raise TextRefused(str(fetch.error), position) from fetch.error
