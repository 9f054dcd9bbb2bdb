"""Searches: by meaning, by words, and both. The only place with distance operators."""

from __future__ import annotations

from embeddings.search.finding import search, similar
from embeddings.search.modes import CANDIDATES, SearchMode

__all__ = ["CANDIDATES", "SearchMode", "search", "similar"]
