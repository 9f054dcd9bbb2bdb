"""What a server says of the account's quotas with each answer: OpenAI's `x-ratelimit-*` headers."""

from __future__ import annotations

from collections.abc import Mapping

from embeddings.providers.base import Remaining
from embeddings.providers.openai.numbers import duration, number


def remaining(headers: Mapping[str, str], quota: str) -> Remaining | None:
    """What is left of `quota`, "requests" or "tokens"; None unless the server says all of it in numbers.

    `headers` has lower-case names.
    """
    limit = number(headers.get(f"x-ratelimit-limit-{quota}"))
    left = number(headers.get(f"x-ratelimit-remaining-{quota}"))
    reset = duration(headers.get(f"x-ratelimit-reset-{quota}"))
    if limit is None or left is None or reset is None:
        return None
    return Remaining(limit=int(limit), left=int(left), reset_seconds=reset)
