"""Shape texts into requests that a provider accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# OpenAI checks its limit per request against about this figure (read in pgai's embedders/openai.py), not against
# real tokens; it is a good mean for English text with every byte-pair tokenizer.
TOKENS_PER_BYTE = 0.25


def estimate_tokens(text: str, tokens_per_byte: float = TOKENS_PER_BYTE) -> int:
    """A provider's tokens for `text`, estimated from its UTF-8 length; at least 1."""
    return max(1, round(len(text.encode()) * tokens_per_byte))


def truncate(text: str, max_tokens: int, tokens_per_byte: float = TOKENS_PER_BYTE) -> str:
    """`text`, or its longest prefix of whole characters that is estimated at `max_tokens` or fewer."""
    max_bytes = int(max_tokens / tokens_per_byte)
    if len(text) * 4 <= max_bytes:
        return text
    encoded = text.encode()
    return text if len(encoded) <= max_bytes else encoded[:max_bytes].decode(errors="ignore")


def split(items: Iterable[tuple[T, int]], *, max_inputs: int, max_tokens: int) -> Iterator[list[T]]:
    """Group (item, tokens) pairs, in order, into lists of at most `max_inputs` items and `max_tokens` tokens.

    An item that is over the token limit by itself gets a list of its own: the provider, not we, decides about it.
    """
    group: list[T] = []
    total = 0
    for item, tokens in items:
        if group and (len(group) >= max_inputs or total + tokens > max_tokens):
            yield group
            group, total = [], 0
        group.append(item)
        total += tokens
    if group:
        yield group


def halve(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Two halves of a rejected request, to find the guilty input in log2 steps."""
    middle = len(items) // 2
    return items[:middle], items[middle:]
