"""The search of the core, over what each user may see."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet

from embeddings.api.search import Search
from project.content.visibility import visible


class ContentSearch(Search):
    def objects(self, model: type[Model]) -> QuerySet[Any]:
        return visible(model, self.request.user)
