"""The sample workspaces, pages and blocks."""

from __future__ import annotations


def load() -> int:
    """Write those that are missing; returns how many."""
    return 0
