"""The only reader of settings: EMBEDDINGS and EMBEDDING_PROVIDERS, typed, with their defaults.

What is in force is these, and over them what operators have changed while the processes run: see `override`.
"""

from __future__ import annotations

from embeddings.conf.host import max_body_bytes, rq_queues, rq_worker_class
from embeddings.conf.in_force import configured_value, current, override, provider_settings
from embeddings.conf.options import EmbeddingSettings, configured
from embeddings.conf.providers import DEFAULT_PROVIDER, ProviderSettings, configured_provider, provider_aliases

__all__ = [
    "DEFAULT_PROVIDER",
    "EmbeddingSettings",
    "ProviderSettings",
    "configured",
    "configured_provider",
    "configured_value",
    "current",
    "max_body_bytes",
    "override",
    "provider_aliases",
    "provider_settings",
    "rq_queues",
    "rq_worker_class",
]
