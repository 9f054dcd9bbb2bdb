"""A provider for tests and development: instant, deterministic, and able to fail on demand."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from embeddings.batching import estimate_tokens
from embeddings.exceptions import InputRejected, ProviderMisconfigured, RateLimited, TransientError
from embeddings.providers.base import Embedded, Provider, refuse_unusable


def vector(text: str, dimensions: int) -> list[float]:
    """The unit vector of `text`: `dimensions` numbers from its SHA-3 stream, the same on every machine."""
    stream = hashlib.shake_128(text.encode()).digest(2 * dimensions)
    numbers = struct.unpack(f"<{dimensions}h", stream)
    scale = 1 / (math.hypot(*numbers) or 1)
    return [number * scale for number in numbers]


class DummyProvider(Provider):
    """Vectors without meaning. For tests and development only: equal texts are near each other, no others are.

    OPTIONS:
        LATENCY_SECONDS   how long each request takes.
        LOG               a file that gets one line a request, from any number of processes: the number of inputs,
                          then the SHA-256 of each.
        ALLOW_CRASH       True lets a text kill the process.
        DOWN              a file: while it exists, every request fails as if the provider were down; if it holds one of
                          the words below, as if every text contained it.

    A text that contains one of these makes its whole request fail, as it would with a real provider:
    [[misconfigured]], [[rate-limit]] (retry after 0.2 s), [[transient]], [[reject]], and [[crash]] (SIGKILL to this
    process, if ALLOW_CRASH). [[nan]] succeeds, with a vector that is not numbers.

    The class counts for the process: `calls`, `inputs`, and the texts of the latest `requests`; `reset()` clears them.
    Failed requests count too.
    """

    known_options = frozenset({"LATENCY_SECONDS", "LOG", "ALLOW_CRASH", "DOWN"})

    calls: ClassVar[int] = 0
    inputs: ClassVar[int] = 0
    requests: ClassVar[deque[tuple[str, ...]]] = deque(maxlen=1000)
    _counting: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def reset(cls) -> None:
        """Forget all requests of this process."""
        with DummyProvider._counting:
            DummyProvider.calls = DummyProvider.inputs = 0
            DummyProvider.requests.clear()

    def embed(self, texts: Sequence[str]) -> Embedded:
        """n texts → n lists of `dimensions` floats of unit length; `tokens` is the estimate."""
        refuse_unusable(texts)
        if not texts:
            return Embedded([], 0)
        self._record(texts)
        time.sleep(self.options.get("LATENCY_SECONDS", 0))
        self._fail_on_demand(texts)
        return Embedded([self._vector(text) for text in texts], sum(map(estimate_tokens, texts)))

    def cost(self, tokens: int) -> float:
        """Nothing."""
        return 0.0

    def _record(self, texts: Sequence[str]) -> None:
        with DummyProvider._counting:
            DummyProvider.calls += 1
            DummyProvider.inputs += len(texts)
            DummyProvider.requests.append(tuple(texts))
        if log := self.options.get("LOG"):
            _append(log, " ".join([str(len(texts)), *(hashlib.sha256(text.encode()).hexdigest() for text in texts)]))

    def _fail_on_demand(self, texts: Sequence[str]) -> None:
        marked = [text for text in texts if "[[" in text]
        if (down := self.options.get("DOWN")) and Path(down).exists():
            marked.append(Path(down).read_text() or "[[transient]]")
        for marker, failure in _FAILURES.items():
            if any(marker in text for text in marked):
                raise failure()
        if self.options.get("ALLOW_CRASH") and any("[[crash]]" in text for text in marked):
            os.kill(os.getpid(), signal.SIGKILL)

    def _vector(self, text: str) -> list[float]:
        return [math.nan] * self.dimensions if "[[nan]]" in text else vector(text, self.dimensions)


_FAILURES: dict[str, Callable[[], Exception]] = {
    "[[misconfigured]]": lambda: ProviderMisconfigured("The dummy provider was asked to be misconfigured."),
    "[[rate-limit]]": lambda: RateLimited("The dummy provider was asked for a rate limit.", retry_after=0.2),
    "[[transient]]": lambda: TransientError("The dummy provider was asked for a transient error."),
    "[[reject]]": lambda: InputRejected("The dummy provider was asked to refuse a text."),
}


def _append(path: str | os.PathLike[str], line: str) -> None:
    """One write to a file opened with O_APPEND: lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)
