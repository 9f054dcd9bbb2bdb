"""The column that a search by keyword reads."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models


class WordsField(models.GeneratedField):
    """The words of other columns, made by the database: those of the first count most, those of the last least."""

    def __init__(self, *columns: str, **kwargs: Any) -> None:
        if columns:
            weights = "ABC"[: len(columns) - 1] + "D"
            vectors = [SearchVector(c, config="english", weight=w) for c, w in zip(columns, weights, strict=True)]
            kwargs["expression"] = reduce(add, vectors)
        super().__init__(**{"output_field": SearchVectorField(), "db_persist": True, **kwargs})

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.GeneratedField", args, kwargs
