"""Databases of their own for projects that run beside the tests."""

from __future__ import annotations

import os

import psycopg
from psycopg import sql


def fresh_database(name: str) -> str:
    """The address of an empty database on the test session's server."""
    address = os.environ["DATABASE_URL"]
    with psycopg.connect(address, autocommit=True) as connection:
        identifier = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    return f"{address.rpartition('/')[0]}/{name}"
