"""OpenAIProviders for tests."""

from __future__ import annotations

from typing import Any

from embeddings.conf import ProviderSettings
from embeddings.providers.openai import OpenAIProvider

MODEL_ID = "text-embedding-3-small"


def openai_provider(model_id: str = MODEL_ID, dimensions: int = 64, **options: Any) -> OpenAIProvider:
    """One with these OPTIONS; by default short vectors, which travel faster."""
    backend = "embeddings.providers.openai.OpenAIProvider"
    return OpenAIProvider(ProviderSettings("default", backend, model_id, dimensions, options))
