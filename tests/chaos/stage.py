"""What the run plays on: a folder, a PostgreSQL, a Valkey and a provider of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.development import lock
from project.development.postgres import PostgresServer
from project.development.valkey import ValkeyServer
from tests import services
from tests.chaos.provider_server import ChaosServer
from tests.openai_server.server import API_KEY

MODEL = "text-embedding-3-small"
DIMENSIONS = 256  # those of tests.testapp's models


@dataclass(frozen=True, slots=True)
class Stage:
    """All of it runs, and Django is set up on it."""

    folder: Path
    postgres: PostgresServer
    valkey: ValkeyServer
    provider: ChaosServer

    @property
    def workers_folder(self) -> Path:
        return self.folder / "workers"

    def keep(self) -> Path:
        """Copy what is worth reading after a bad end: the logs and notes; returns where."""
        kept = Path(tempfile.mkdtemp(prefix="embeddings-chaos-"))
        for file in self.folder.iterdir():
            if file.suffix in {".log", ".txt", ".csv"}:
                shutil.copy(file, kept)
        for part in ("workers", "permits"):
            shutil.copytree(self.folder / part, kept / part, dirs_exist_ok=True)
        return kept


@contextlib.contextmanager
def built(embeddings: Mapping[str, Any], *, latency_seconds: float) -> Iterator[Stage]:
    """A stage whose workers have this EMBEDDINGS setting. All of it ends with the block."""
    with contextlib.ExitStack() as stack:
        # The name by which a later test session finds and removes what a killed run has left.
        services.remove_leftovers()
        folder = Path(tempfile.mkdtemp(prefix=services.PREFIX))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(lock.held(folder / "lock"))
        (folder / "workers").mkdir()
        (folder / "permits").mkdir()
        # Durable, because it is killed.
        postgres = stack.enter_context(PostgresServer(folder / "postgres", durable=True))
        valkey = stack.enter_context(ValkeyServer(folder / "valkey"))
        provider = stack.enter_context(ChaosServer(latency_seconds=latency_seconds))
        stage = Stage(folder, postgres, valkey, provider)
        _set_up_django(stage, embeddings)
        stack.callback(_close_connections)
        yield stage


def _set_up_django(stage: Stage, embeddings: Mapping[str, Any]) -> None:
    description = {
        "folder": str(stage.folder),
        "pid": os.getpid(),
        "model": MODEL,
        "dimensions": DIMENSIONS,
        "provider_url": stage.provider.base_url,
        "api_key": API_KEY,
        "embeddings": dict(embeddings),
    }
    os.environ |= {
        "DATABASE_URL": stage.postgres.url,
        "REDIS_URL": stage.valkey.url,
        "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
        "CHAOS_STAGE": json.dumps(description),
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()
