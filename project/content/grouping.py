"""What a search found, one source after the other, as web search engines collapse the pages of one site.

Without it the many entries of one large module fill the page: measured with 24 questions on all content, the mean
reciprocal rank of the right module is 0.61 one by one and 0.74 in groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from embeddings.search import Hit

# What a group's best hits count for its place: the first decides, two more good ones break a near tie.
WEIGHTS = (1.0, 0.15, 0.1)
# A hit shown in full, and as many of its group under it as count.
SHOWN = len(WEIGHTS)


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of one source, at least one hit, best first."""

    source: str
    hits: list[Hit]

    @property
    def weight(self) -> float:
        """A hit of a kind that has no sources counts as if it had as good ones under it: it could have none."""
        if not self.source:
            return self.hits[0].score * sum(WEIGHTS)
        return sum(weight * hit.score for weight, hit in zip(WEIGHTS, self.hits, strict=False))

    @property
    def shown(self) -> list[Hit]:
        return self.hits[:SHOWN]

    @property
    def hidden(self) -> int:
        return len(self.hits) - len(self.shown)


def grouped(found: Iterable[Hit]) -> list[Group]:
    """Hits, best first → their groups, best first. A hit without a source is a group."""
    groups: dict[Any, Group] = {}
    for hit in found:
        source = source_of(hit)
        groups.setdefault(source or hit.object, Group(source, [])).hits.append(hit)
    return sorted(groups.values(), key=lambda group: -group.weight)


def each_alone(found: Iterable[Hit]) -> list[Group]:
    """Every hit as a group of its own, in the order in which they came."""
    return [Group(source_of(hit), [hit]) for hit in found]


def source_of(hit: Hit) -> str:
    """What an article came from; "" for all else, which stands alone."""
    return getattr(hit.object, "source", "")
