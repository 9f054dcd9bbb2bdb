"""Which statements a page sends to the database, and how long each takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as Django sent it, with the values for its places."""

    sql: str
    params: Any
    seconds: float


@contextlib.contextmanager
def recorded() -> Iterator[list[Statement]]:
    """The statements of the default database that are sent in the block."""
    statements: list[Statement] = []

    def record(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            statements.append(Statement(str(sql), params, time.perf_counter() - start))

    with connection.execute_wrapper(record):
        yield statements
