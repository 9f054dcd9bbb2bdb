"""A search of long texts: their chunks are read, and what is found are the objects that have the texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    BooleanField,
    CharField,
    Exists,
    F,
    Field,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.functions import Cast
from django.db.models.sql import Query

from embeddings import conf
from embeddings.models import EmbeddingTask, Status
from embeddings.registry import NO_PROVIDER, Splitting
from embeddings.search.sources import Passages, Source, plain
from embeddings.search.words import Words, is_searchable, with_any

# Texts without chunks that a search looks at: each is parsed, as no index knows its words.
MAX_UNSPLIT = 1_000


@dataclass(frozen=True)
class Chunks(Source):
    """The chunks of a queryset's objects. An object is found by its best chunk, which is its passage."""

    splitting: Splitting

    columns: ClassVar[str] = "key, chunk, far"

    @property
    def parent(self) -> str:
        """The column of a chunk that has its object's key."""
        name: str = self.splitting.parent_field.attname
        return name

    @property
    def passage_fields(self) -> dict[str, Field[Any, Any]]:
        key = self.splitting.chunk_model._meta.pk
        return {"chunk_id": key, "passage": TextField(), "passage_start": IntegerField()}

    @property
    def passages(self) -> Passages | None:
        meta: Any = self.splitting.chunk_model._meta
        text, start = (meta.get_field(name).column for name in ("text", "start"))
        return Passages(meta.db_table, meta.pk.column, text, start)

    def texts(self, chunks: Iterable[str]) -> dict[str, str]:
        rows = self.splitting.chunk_model._base_manager.using(self.using)
        key = self.splitting.chunk_model._meta.pk
        found = rows.filter(pk__in=[key.to_python(chunk) for chunk in chunks])
        return {str(pk): text for pk, text in found.values_list("pk", "text")}

    def keys_of(self, rows: QuerySet[Any], limit: int) -> Query:
        """The first rows as (key of the object, key of the chunk, how far)."""
        query: Query = rows.values_list(self.parent, "pk", "_far")[:limit].query
        return query

    def unsplit(self, query: str, limit: int) -> Query | None:
        if not is_searchable(self.splitting):
            return None
        parents = plain(self.queryset)
        chunks = self.splitting.chunk_model._base_manager.filter(**{self.parent: OuterRef("pk")})
        # As a list that is made first, or else every text would be parsed before it is asked for its chunks.
        few = ArraySubquery(parents.filter(self._is_awaited(), ~Exists(chunks)).values("pk")[:MAX_UNSPLIT])
        found = with_any(parents.filter(_is_among(few)), Words.of(query, self.splitting, self.using), self.splitting)
        no_chunk = Cast(Value(None), output_field=self.splitting.chunk_model._meta.pk)
        keys: Query = found.annotate(_chunk=no_chunk).values_list("pk", "_chunk", "_far")[:limit].query
        return keys

    def _is_awaited(self) -> Q:
        """What the ledger says is still to be split: to ask every text for its chunks would read all of both tables."""
        if not conf.current().enabled:
            return Q()  # what is saved now is in no ledger
        tasks = EmbeddingTask.objects.using(self.using).filter(
            # In the forms that the partial indexes of the ledger serve.
            Q(status=Status.PENDING, provider=NO_PROVIDER)
            | Q(status=Status.PROCESSING)
            | Q(status__in=[Status.SCHEDULED, Status.RATE_LIMITED])
            | Q(status__in=[Status.EMPTY, Status.FAILED, Status.CANCELLED]),
            content_type_id=self.splitting.content_type_id(self.using),
            field=self.splitting.field,
            object_id=Cast(OuterRef("pk"), CharField()),
        )
        return Q(Exists(tasks))


def _is_among(keys: ArraySubquery) -> Func:
    any_of = Func(keys, function="ANY", output_field=TextField())
    return Func(F("pk"), any_of, template="%(expressions)s", arg_joiner=" = ", output_field=BooleanField())
