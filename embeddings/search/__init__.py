"""Searches: by meaning, by words, and both. The only place with distance operators."""

from __future__ import annotations

from embeddings.search.finding import search, similar
from embeddings.search.join import is_found
from embeddings.search.modes import CANDIDATES, SearchMode
from embeddings.search.several import Found, Hit, across

__all__ = ["CANDIDATES", "Found", "Hit", "SearchMode", "across", "is_found", "search", "similar"]
