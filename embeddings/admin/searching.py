"""The search for tasks: by an object's key, by model and key, or by a task's own number; each by an index."""

from __future__ import annotations

import re

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q, QuerySet

from embeddings import registry
from embeddings.models import EmbeddingTask

HELP = "Search by the key of an object, alone or after its model's name (article 12), or by number (#345)."
_NUMBER = re.compile(r"(?:#|task\s+#?)([0-9]{1,18})", re.IGNORECASE)


def find(tasks: QuerySet[EmbeddingTask], term: str) -> QuerySet[EmbeddingTask]:
    """Those of the tasks that the term names; it finds keys exactly as they are.

    Naming the registered models lets the unique index find a key.
    """
    term = term.strip()
    types = ContentType.objects.get_for_models(*{target.model for target in registry.all_derived()})
    wanted = Q(content_type_id__in=[each.pk for each in types.values()], object_id=term)
    if number := _NUMBER.fullmatch(term):
        wanted |= Q(pk=int(number[1]))
    for model, content_type in types.items():
        if key := _key_after(model, term):
            wanted |= Q(content_type_id=content_type.pk, object_id=key)
    return tasks.filter(wanted)


def _key_after(model: type[models.Model], term: str) -> str:
    """The key in "article 12" or "content.Article 12", if that is the model's name; else ""."""
    opts = model._meta
    for name in (opts.label_lower, opts.model_name or "", str(opts.verbose_name).lower()):
        if term.lower().startswith(f"{name} "):
            return term[len(name) :].strip().removeprefix("#")
    return ""
