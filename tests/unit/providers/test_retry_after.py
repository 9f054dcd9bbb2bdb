from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from embeddings.providers.openai.retry_after import quota_free_after, retry_after


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
def test_quota_free_after__reads_each_notation(headers: dict[str, str], seconds: float | None) -> None:
    assert quota_free_after(headers) == (None if seconds is None else pytest.approx(seconds))


def test_retry_after__reads_a_date() -> None:
    in_a_minute = formatdate(time.time() + 60, usegmt=True)

    assert retry_after({"retry-after": in_a_minute}) == pytest.approx(60, abs=2)


@pytest.mark.parametrize(("quota", "seconds"), [("tokens", 0.02), ("requests", 360), ("other", 360), (None, 360)])
def test_quota_free_after__is_of_the_quota_that_is_used_up(quota: str | None, seconds: float) -> None:
    headers = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}

    assert quota_free_after(headers, quota) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20", "x-ratelimit-reset-requests": "6m0s"}, 20),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ratelimit-reset-requests": "6m0s"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after__is_what_is_asked_for_and_not_when_a_quota_is_whole(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds
