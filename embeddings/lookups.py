"""Comparisons that Django does not have."""

from __future__ import annotations

from typing import Any

from django.db.models import Lookup


class AnyOf(Lookup):
    """`column = ANY (array)`. Of a subquery: it runs once. With `IN` a plan may run it anew for each row, and take more
    rows than its LIMIT."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, column_params = self.process_lhs(compiler, connection)
        array, array_params = self.process_rhs(compiler, connection)
        return f"{column} = ANY ({array})", (*column_params, *array_params)
