"""OpenAI's provider with a possible end during and after each request, and one text that nobody survives."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from embeddings.providers import Embedded
from embeddings.providers.openai import OpenAIProvider

DEADLY = "[[deadly]]"


class ChaosProvider(OpenAIProvider):
    """Where it is not run by a worker of the chaos run, it is OpenAI's."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        worker = sys.modules.get("tests.chaos.worker")
        if worker is None:
            return super().embed(texts)
        if any(DEADLY in text for text in texts):
            worker.points.die_of_text()
        with worker.points.under_way("request"):
            embedded = super().embed(texts)
        worker.points.reached("answer")
        return embedded
