"""The field that makes a model embedded."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F
from pgvector import HalfVector
from pgvector.django import VectorField

from embeddings import registry
from embeddings.conf import DEFAULT_PROVIDER
from embeddings.models import Priority


class EmbeddingField(VectorField):
    """A vector column that is filled and kept current in the background.

    It is null until it is filled. Saving an instance never writes it back, so that an instance that was loaded
    before the vector arrived cannot erase it; to set a vector by hand use `QuerySet.update()`.
    """

    description = "Embedding"

    def __init__(
        self,
        source: registry.Source | None = None,
        *,
        dimensions: int | None = None,
        half: bool = False,
        provider: str = DEFAULT_PROVIDER,
        priority: str = Priority.NORMAL,
        delay: float = 0.0,
        when: registry.Predicate | None = None,
        words: str = "",
        **kwargs: Any,
    ) -> None:
        """`source`: field names, dotted relation paths, a method's name, or a callable that takes the instance.

        `half` stores 16-bit floats. `delay` is seconds that saves are collected before the object is embedded.
        `when` (a method's name or a callable) says whether an object should be embedded at all.
        `words` names a SearchVectorField of the model, usually a GeneratedField, that searches by keyword read.
        """
        kwargs.setdefault("null", True)
        kwargs.setdefault("blank", True)
        kwargs.setdefault("editable", False)
        super().__init__(dimensions=dimensions, **kwargs)
        self.half = half
        self.source = source
        self.provider = provider
        self.priority = priority
        self.delay = delay
        self.when = when
        self.words = words

    def deconstruct(self) -> tuple[Any, Any, Any, Any]:
        """Only what shapes the column, so that migrations stay quiet when the source changes."""
        name, path, args, kwargs = super().deconstruct()
        if self.half:
            kwargs["half"] = True
        return name, path, args, kwargs

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        # Models of migrations are rebuilt from deconstruct(), which has no source: they embed nothing.
        if self.source is not None and not cls._meta.abstract:
            registry.add(
                registry.Target(
                    model=cls,
                    field=name,
                    source=self.source,
                    provider=self.provider,
                    priority=self.priority,
                    delay_seconds=self.delay,
                    when=self.when,
                )
            )

    def db_type(self, connection: Any) -> str:
        if not self.half:
            return super().db_type(connection)
        return "halfvec" if self.dimensions is None else f"halfvec({self.dimensions})"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> list[float] | None:
        return HalfVector._from_db(value) if self.half else super().from_db_value(value, expression, connection)

    def get_prep_value(self, value: Any) -> str | None:
        return HalfVector._to_db(value) if self.half else super().get_prep_value(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """On update, the column itself: what the instance holds may be older than what a worker has written."""
        return super().pre_save(model_instance, add) if add else F(self.attname)
