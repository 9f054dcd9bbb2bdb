"""Where the texts of chunks are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passages:
    """The table of the chunks, and its columns: key, text and beginning."""

    table: str
    key: str
    text: str
    start: str
