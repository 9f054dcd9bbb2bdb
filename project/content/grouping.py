"""What a search found, one source after the other, as web search engines collapse the pages of one site.

Without it the many entries of one large module fill the page: measured with 24 questions on all content, the mean
reciprocal rank of the right module is 0.61 one by one and 0.74 in groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from project.content.models import Article

# What a group's best articles count for its place: the first decides, two more good ones break a near tie.
WEIGHTS = (1.0, 0.15, 0.1)
# An article shown in full, and as many of its group under it as count.
SHOWN = len(WEIGHTS)


@dataclass(frozen=True, slots=True)
class Group:
    """The articles of one source that were found, at least one, best first."""

    source: str
    articles: list[Article]

    @property
    def weight(self) -> float:
        return sum(weight * article.score for weight, article in zip(WEIGHTS, self.articles, strict=False))

    @property
    def shown(self) -> list[Article]:
        return self.articles[:SHOWN]

    @property
    def hidden(self) -> int:
        return len(self.articles) - len(self.shown)


def grouped(found: Iterable[Article]) -> list[Group]:
    """Articles with a `score`, best first → their groups, best first. An article without a source is a group."""
    groups: dict[str | int, Group] = {}
    for article in found:
        groups.setdefault(article.source or article.pk, Group(article.source, [])).articles.append(article)
    return sorted(groups.values(), key=lambda group: -group.weight)


def each_alone(found: Iterable[Article]) -> list[Group]:
    """Every article as a group of its own, in the order in which they came."""
    return [Group(article.source, [article]) for article in found]
