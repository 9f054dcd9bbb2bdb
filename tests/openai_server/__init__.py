"""A server for tests that speaks OpenAI's embeddings protocol, with its limits, its quotas, and faults on demand.

In a test:

    with OpenAIServer(requests_per_minute=600) as server:
        provider = ...  # BASE_URL server.base_url, API_KEY server.api_key
        server.faults.add("respond", status=503, count=2)
        ...
        assert server.stats.inputs_of("some text") == 1

For real worker processes: `python -m tests.openai_server --port 8099`, then `GET /_stats`, `POST /_faults`.
"""

from __future__ import annotations

from tests.openai_server.server import OpenAIServer
from tests.openai_server.vectors import expected_vector

__all__ = ["OpenAIServer", "expected_vector"]
