"""The census: what the ledger holds, counted from time to time by one worker, for everybody who asks."""

from __future__ import annotations

from embeddings.census.counting import Count
from embeddings.census.reading import latest
from embeddings.census.turns import take_if_due

__all__ = ["Count", "latest", "take_if_due"]
