"""Approximate indexes: which there are, and a backfill without them."""

from __future__ import annotations

from embeddings.indexes.catalogue import Index, find, of_target
from embeddings.indexes.rebuild import Rebuild, unfinished
from embeddings.indexes.session import is_running

__all__ = ["Index", "Rebuild", "find", "is_running", "of_target", "unfinished"]
