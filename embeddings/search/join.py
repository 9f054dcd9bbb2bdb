"""A queryset joined to the hits of a search, so that all that querysets can do works on what was found.

Django's own way: an entry of `Query.alias_map` is whatever compiles to a piece of the FROM clause. One of ours compiles
to a subquery, which is as lazy as the queryset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from django.db.models import Field, QuerySet
from django.db.models.expressions import Expression
from django.db.models.sql.constants import INNER

# From a connection to the SQL of the hits and its parameters.
Compile = Callable[[Any], tuple[str, tuple[Any, ...]]]


def narrowed(queryset: QuerySet[Any], compile_hits: Compile, columns: Mapping[str, Field[Any, Any]]) -> QuerySet[Any]:
    """`queryset` joined to the rows of a statement by their `key`, annotated with those of their `columns`."""
    found = queryset.all()
    query: Any = found.query
    parent = query.get_initial_alias()
    join = _Hits(f"search_{len(query.alias_map)}", parent, queryset.model._meta.pk, compile_hits)
    query.alias_map[join.table_alias] = join
    query.alias_refcount[join.table_alias] = 1
    query.table_map[join.table_name] = [join.table_alias]
    joined: QuerySet[Any] = found.annotate(
        **{name: _Column(join.table_alias, name, field) for name, field in columns.items()}
    )
    return joined


def is_found(queryset: QuerySet[Any]) -> bool:
    """Whether the queryset is joined to the hits of a search."""
    return any(isinstance(join, _Hits) for join in queryset.query.alias_map.values())


class _Hits:
    """What Django asks of an entry of `Query.alias_map`, as `django.db.models.sql.datastructures.Join` has it."""

    join_type = INNER
    nullable = False
    filtered_relation = None

    def __init__(self, alias: str, parent_alias: str, key: Any, compile_hits: Compile) -> None:
        self.table_name = self.table_alias = alias
        self.parent_alias = parent_alias
        self._key = key
        self._compile_hits = compile_hits

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        hits, params = self._compile_hits(connection)
        alias, parent = (compiler.quote_name_unless_alias(name) for name in (self.table_alias, self.parent_alias))
        key = connection.ops.quote_name(self._key.column)
        return f"INNER JOIN ({hits}) {alias} ON ({alias}.key = {parent}.{key})", params

    def relabeled_clone(self, change_map: Mapping[str, str]) -> _Hits:
        clone = copy(self)
        clone.parent_alias = change_map.get(self.parent_alias, self.parent_alias)
        clone.table_alias = change_map.get(self.table_alias, self.table_alias)
        return clone

    def promote(self) -> _Hits:
        """Never to an outer join: what was not found is not wanted."""
        return self

    demote = promote


class _Column(Expression):
    """A column of the hits."""

    contains_column_references = True

    def __init__(self, alias: str, name: str, output_field: Any) -> None:
        super().__init__(output_field=output_field)
        self.alias = alias
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        quote = compiler.quote_name_unless_alias
        return f"{quote(self.alias)}.{connection.ops.quote_name(self.name)}", ()

    def relabeled_clone(self, change_map: Mapping[str, str]) -> _Column:
        clone = self.copy()
        clone.alias = change_map.get(self.alias, self.alias)
        return clone

    def get_group_by_cols(self) -> list[Any]:
        return [self]
