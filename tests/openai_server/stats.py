"""What the server was asked, and what it would have billed."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from tests.openai_server.protocol import EmbeddingsRequest, Input


class Stats:
    """Every request counts in `requests` and `statuses`; inputs and tokens count once they are embedded, so billed.

    A billed answer may still be lost on its way (a cut connection); its `statuses` entry is 200 then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self.requests = 0
        self.inputs = 0
        self.tokens = 0
        self.statuses: Counter[int] = Counter()
        self.sizes: list[int] = []
        self._inputs_of: Counter[Input] = Counter()

    def reset(self) -> None:
        with self._lock:
            self._clear()

    def answered(self, status: int) -> None:
        with self._lock:
            self.requests += 1
            self.statuses[status] += 1

    def billed(self, request: EmbeddingsRequest) -> None:
        with self._lock:
            self.inputs += len(request.inputs)
            self.tokens += request.tokens
            self.sizes.append(len(request.inputs))
            self._inputs_of.update(request.inputs)

    def inputs_of(self, text: str) -> int:
        """How often `text` was paid for."""
        with self._lock:
            return self._inputs_of[text]

    def paid_more_than_once(self) -> dict[str, int]:
        """The texts that were, and how often."""
        with self._lock:
            return {str(text): count for text, count in self._inputs_of.items() if count > 1}

    def as_json(self, *, with_texts: bool) -> dict[str, Any]:
        with self._lock:
            numbers: dict[str, Any] = {
                "requests": self.requests,
                "inputs": self.inputs,
                "tokens": self.tokens,
                "statuses": {str(status): count for status, count in self.statuses.items()},
                "sizes": list(self.sizes),
                "distinct_inputs": len(self._inputs_of),
            }
            if with_texts:
                numbers["inputs_of"] = {str(text): count for text, count in self._inputs_of.items()}
            return numbers
