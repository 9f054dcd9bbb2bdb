"""What a benchmark changes in the processes that it starts, where no setting does."""

from __future__ import annotations

import os

from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    """BENCHMARK_WINDOW_SECONDS: the length of the windows in which quotas are counted, for minutes that are shorter."""

    name = "benchmarks"

    def ready(self) -> None:
        from embeddings.quotas import waits

        waits.WINDOW_SECONDS = int(os.environ.get("BENCHMARK_WINDOW_SECONDS", waits.WINDOW_SECONDS))
