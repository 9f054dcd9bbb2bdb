"""More databases on the benchmark's server: what differs in one thing only is measured in turns."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections


def copy(name: str, *, of: str = DEFAULT_DB_ALIAS) -> str:
    """Make a database like another, rows and all, and an alias for it; returns the alias. Ends connections to both."""
    connections.databases[name] = connections.databases[DEFAULT_DB_ALIAS] | {"NAME": f"bench_{name}"}
    connections[of].close()
    with connections[of]._nodb_cursor() as cursor:
        template = connections.databases[of]["NAME"]
        cursor.execute(f'CREATE DATABASE "bench_{name}" TEMPLATE "{template}" STRATEGY file_copy')
    return name
