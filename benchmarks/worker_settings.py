"""The settings of the workers that are timed: a provider that takes its time, and requests of one size."""
# ruff: noqa: F403, F405

from __future__ import annotations

import os

from benchmarks.settings import *

_TIMED = {"OPTIONS": {"LATENCY_SECONDS": float(os.environ["BENCHMARK_LATENCY"])}}
EMBEDDING_PROVIDERS = {"default": {**EMBEDDING_PROVIDERS["default"], **_TIMED}}
_SIZES = {"BATCH_SIZE": int(os.environ["BENCHMARK_BATCH"]), "CONCURRENCY": int(os.environ["BENCHMARK_CONCURRENCY"])}
EMBEDDINGS = {**EMBEDDINGS, **_SIZES}
