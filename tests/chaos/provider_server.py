"""The provider of the run: the tests' OpenAI server, which counts its faults and refuses certain texts."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

from tests.openai_server.faults import Fault, Faults
from tests.openai_server.handler import Handler
from tests.openai_server.protocol import Refused
from tests.openai_server.server import OpenAIServer

REFUSED = "[[refused]]"


class CountingFaults(Faults):
    """Faults that count their victims, by kind ("429" and "500" are kinds too)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.hits: Counter[str] = Counter()
        self._hits_lock = threading.Lock()

    def next(self) -> Fault | None:
        fault = super().next()
        if fault:
            with self._hits_lock:
                self.hits[str(fault.status) if fault.kind == "respond" else fault.kind] += 1
        return fault


class ChaosHandler(Handler):
    """Refuses a whole request for one bad text and does not say for which."""

    def _embeddings(self, content: bytes) -> None:
        texts = json.loads(content).get("input") or []
        if any(REFUSED in text for text in texts):
            self.app.stats.answered(400)
            self._send_refusal(Refused(400, "Your input was rejected by our content filter.", param="input"))
            return
        super()._embeddings(content)


class ChaosServer(OpenAIServer):
    faults: CountingFaults

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._listener.RequestHandlerClass = ChaosHandler
        self.faults = CountingFaults()
