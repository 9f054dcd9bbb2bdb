"""The queries of queries.toml, with what they should find."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("queries.toml")
EXACT, GOOD = 2, 1


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody typed, and the grade of each article that answers it, by slug."""

    text: str
    kind: str
    grades: dict[str, int]

    def among(self, slugs: Collection[str]) -> Query:
        """The same query, expecting nothing but these."""
        return Query(self.text, self.kind, {slug: grade for slug, grade in self.grades.items() if slug in slugs})


def load() -> list[Query]:
    """All queries, in the file's order."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))["query"]
    return [Query(entry["text"], entry["kind"], _grades(entry)) for entry in entries]


def _grades(entry: dict[str, list[str]]) -> dict[str, int]:
    return dict.fromkeys(entry.get("good", []), GOOD) | dict.fromkeys(entry["exact"], EXACT)
