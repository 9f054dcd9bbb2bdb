from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from embeddings.providers.openai.retry_after import retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "20", "x-ratelimit-reset-requests": "6m0s"}, 20),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "20ms"}, 1),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "12"}, 12),
        ({"retry-after": "soon", "x-ratelimit-reset-tokens": "7s"}, 7),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"x-ratelimit-reset-tokens": "1 fortnight"}, None),
        ({"x-ratelimit-reset-tokens": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after__reads_each_notation(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == (None if seconds is None else pytest.approx(seconds))


def test_retry_after__reads_a_date() -> None:
    in_a_minute = formatdate(time.time() + 60, usegmt=True)

    assert retry_after({"retry-after": in_a_minute}) == pytest.approx(60, abs=2)


@pytest.mark.parametrize(("quota", "seconds"), [("tokens", 0.02), ("requests", 360), ("other", 360), (None, 360)])
def test_retry_after__waits_for_the_quota_that_is_used_up(quota: str | None, seconds: float) -> None:
    headers = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}

    assert retry_after(headers, quota) == pytest.approx(seconds)
