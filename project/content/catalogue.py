"""What the pages show and the search covers: five collections of texts, one for each system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.text import capfirst

from embeddings import registry
from project.content.models import Article, Note, Page, Receipt, Recommendation
from project.content.visibility import User, visible


@dataclass(frozen=True, slots=True)
class Collection:
    """The objects of one model. `text` names the field that a passage is taken from."""

    model: type[Model]
    text: str
    # What stands for the text in a search: its vector, or how it is split into chunks that have some.
    embedded: str = "embedding"
    # Whether an object has neighbours: not if only its chunks have vectors.
    has_neighbours: bool = True
    # Whether the text is Markdown.
    is_markdown: bool = False

    @property
    def name(self) -> str:
        """ "articles", as addresses have it."""
        return str(self.model._meta.verbose_name_plural)

    @property
    def label(self) -> str:
        return capfirst(self.name)

    @property
    def one(self) -> str:
        """ "article", as a result is called."""
        return str(self.model._meta.verbose_name)

    @property
    def key(self) -> str:
        """ "article", as forms and element ids have it."""
        return str(self.model._meta.model_name)

    def visible(self, user: User) -> QuerySet[Any]:
        """What `user` may see, without the vectors, which are long."""
        vectors = [target.field for target in registry.targets_for(self.model)]
        return visible(self.model, user).defer(*vectors, "words")


_all = (
    Collection(Article, "content"),
    Collection(Page, "content", "chunking", has_neighbours=False, is_markdown=True),
    Collection(Note, "text"),
    Collection(Recommendation, "text"),
    Collection(Receipt, "text", "text_embedding"),
)
COLLECTIONS: Mapping[str, Collection] = MappingProxyType({each.name: each for each in _all})


def collection_of(obj: Model | type[Model]) -> Collection:
    """The collection that an object, or a model, belongs to."""
    return COLLECTIONS[str(obj._meta.verbose_name_plural)]
