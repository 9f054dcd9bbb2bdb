"""The settings of worker processes in a project whose web processes use Django's pool of connections."""
# ruff: noqa: F403, F405

from __future__ import annotations

from tests.worker_settings import *

for database in DATABASES.values():
    database["OPTIONS"] = {**database.get("OPTIONS", {}), "pool": {"min_size": 2, "max_size": 4}}
