"""The settings of the benchmarks: those of the tests, with two providers, and without what DEBUG costs.

BENCHMARK_PROVIDERS and BENCHMARK_EMBEDDINGS, in JSON, change those of a process that a benchmark starts.
"""
# ruff: noqa: F403, F405

from __future__ import annotations

import json
import os

from tests.settings import *

DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]
DATABASES = {"default": DATABASES["default"]}
# The second is that of benchmarks.baselines.naive.
RQ_QUEUES = {**RQ_QUEUES, "naive": {"URL": RQ_QUEUES["embeddings"]["URL"]}}
_LOCAL = {
    "BACKEND": "embeddings.providers.local.LocalProvider",
    "MODEL": "l2_supercat_256",
    "DIMENSIONS": 256,
}
_HTTP = {
    "BACKEND": "embeddings.providers.openai.OpenAIProvider",
    "MODEL": "text-embedding-3-small",
    "DIMENSIONS": 1536,
    "OPTIONS": {"API_KEY": "not-used", "BASE_URL": "http://127.0.0.1:9/v1"},
}
EMBEDDING_PROVIDERS = {
    "default": _LOCAL,
    "second": EMBEDDING_PROVIDERS["default"],
    "http": _HTTP,
    **json.loads(os.environ.get("BENCHMARK_PROVIDERS", "{}")),
}
EMBEDDINGS = {**EMBEDDINGS, **json.loads(os.environ.get("BENCHMARK_EMBEDDINGS", "{}"))}
