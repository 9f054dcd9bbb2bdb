"""The tests' OpenAI server in a process of its own, so that it has a processor to itself if there is one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.test.utils import override_settings

from benchmarks.crew import ROOT

KEY = "a-key-that-nobody-checks"


@contextlib.contextmanager
def served(*, latency_seconds: float) -> Iterator[dict[str, dict[str, Any]]]:
    """Provider "http" of EMBEDDING_PROVIDERS, with its address; in this process it is set already."""
    arguments = ["--latency-seconds", str(latency_seconds), "--api-key", ""]
    command = [sys.executable, "-m", "tests.openai_server", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address = server.stdout.readline().strip()
            # As OpenAI itself is asked; other servers are asked for text, which is four times as long.
            options = {"API_KEY": KEY, "BASE_URL": address, "ENCODING": "base64"}
            http = {**settings.EMBEDDING_PROVIDERS["http"], "OPTIONS": options}
            with override_settings(EMBEDDING_PROVIDERS={**settings.EMBEDDING_PROVIDERS, "http": http}):
                yield {"http": http}
        finally:
            server.terminate()
