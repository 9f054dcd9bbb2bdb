from __future__ import annotations

import pytest

from embeddings.providers.base import Remaining
from embeddings.providers.openai.remaining import remaining

HEADERS = {
    "x-ratelimit-limit-requests": "3000",
    "x-ratelimit-remaining-requests": "2999",
    "x-ratelimit-reset-requests": "20ms",
    "x-ratelimit-limit-tokens": "1000000",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-tokens": "1m0s",
}


def test_remaining__of_each_quota() -> None:
    assert remaining(HEADERS, "requests") == Remaining(3000, 2999, 0.02)
    assert remaining(HEADERS, "tokens") == Remaining(1_000_000, 0, 60)


@pytest.mark.parametrize("value", ["1e+06", "1000000.0"])
def test_remaining__of_another_notation(value: str) -> None:
    assert remaining({**HEADERS, "x-ratelimit-limit-tokens": value}, "tokens") == Remaining(1_000_000, 0, 60)


@pytest.mark.parametrize("name", ["limit", "remaining", "reset"])
@pytest.mark.parametrize("value", [None, "", "many", "-1", "nan", "inf", "1 fortnight"])
def test_remaining__is_unknown_if_a_part_is_missing_or_nonsense(name: str, value: str | None) -> None:
    headers = {**HEADERS, f"x-ratelimit-{name}-tokens": value}

    assert remaining({key: text for key, text in headers.items() if text is not None}, "tokens") is None
    assert remaining(headers, "requests") == Remaining(3000, 2999, 0.02)
