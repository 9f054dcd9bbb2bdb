from __future__ import annotations

import pytest

from embeddings.conf import ProviderSettings
from embeddings.providers.dummy import DummyProvider
from embeddings.quotas import request_tokens


@pytest.mark.parametrize(
    ("requests_per_minute", "tokens_per_minute", "expected"),
    [
        pytest.param(None, None, 300_000, id="the provider's own limit"),
        pytest.param(3, None, 300_000, id="… where only requests are limited"),
        pytest.param(3000, 1_200_000, 20_000, id="what refills in a second"),
        pytest.param(None, 1_200_000, 20_000, id="… without a limit of requests, too"),
        pytest.param(None, 1_000_000_000, 300_000, id="never more than the provider's own limit"),
        pytest.param(3, 150_000, 50_000, id="not so little that requests run out first"),
        pytest.param(1, 5_000_000, 300_000, id="… unless the provider's limit says so"),
        pytest.param(None, 5, 1, id="never nothing"),
    ],
)
def test_request_tokens__use_the_quotas_up(
    requests_per_minute: int | None, tokens_per_minute: int | None, expected: int
) -> None:
    provider = DummyProvider(
        ProviderSettings(
            "default", "", "dummy", 8, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute
        )
    )

    assert request_tokens(provider) == expected
