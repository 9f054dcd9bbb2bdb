"""Load the samples: content written for a first look. What people edited since stays theirs."""

from __future__ import annotations

from collections.abc import Callable

from project.content.sampling import notes, pages, receipts, recommendations

LOADERS: dict[str, Callable[[], int]] = {
    "pages": pages.load,
    "recommendations": recommendations.load,
    "notes": notes.load,
    "receipts": receipts.load,
}


def load() -> dict[str, int]:
    """Write the samples that are missing; returns how many of each kind. A second run writes nothing."""
    return {name: loader() for name, loader in LOADERS.items()}
