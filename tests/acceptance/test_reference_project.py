"""The reference project, told by environment variables alone what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.databases import fresh_database
from tests.openai_server import OpenAIServer, expected_vector
from tests.openai_server.server import API_KEY

ROOT = Path(__file__).resolve().parents[2]

SAVE = """
from project.content.models import Article
Article.objects.create(slug="zebra", title="Zebra", content="It has stripes.")
"""
STORED = """
from project.content.models import Article
print(*Article.objects.get().embedding)
"""


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMBEDDING_", "DJANGO_"))}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_openai__stores_1536_dimensions_without_an_edit():
    with OpenAIServer() as server:
        environment = {
            "DATABASE_URL": fresh_database("reference"),
            "EMBEDDING_PROVIDER": "openai",
            "EMBEDDING_DIMENSIONS": "1536",
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_BASE_URL": server.base_url,
        }
        steps = [
            manage("migrate", "--verbosity", "0", **environment),
            manage("check", "--database", "default", "--fail-level", "WARNING", **environment),
            manage("makemigrations", "--check", **environment),
            manage("shell", "--verbosity", "0", "--command", SAVE, **environment),
            manage("rqworker", "embeddings", "--burst", **environment),
            manage("shell", "--verbosity", "0", "--command", STORED, **environment),
        ]

        assert [step.returncode for step in steps] == [0] * len(steps), [step.stderr for step in steps]
        stored = [float(number) for number in steps[-1].stdout.split()]
        (text,) = server.stats.as_json(with_texts=True)["inputs_of"]
        assert "It has stripes." in text
        assert len(stored) == 1536
        assert stored == pytest.approx(expected_vector(text, "text-embedding-3-small", 1536), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "EMBEDDING_PROVIDER",
            "cohere",
            "EMBEDDING_PROVIDER must be one of local, openai, ollama, dummy,",
        ),
        ("EMBEDDING_PROVIDER", "openai", "EMBEDDING_PROVIDER is openai: set OPENAI_API_KEY to your key"),
        ("EMBEDDING_DIMENSIONS", "many", "EMBEDDING_DIMENSIONS must be a whole number from 1 to 16000, not 'many'."),
        ("EMBEDDING_QUEUE_ENABLED", "maybe", "EMBEDDING_QUEUE_ENABLED must be true or false, not 'maybe'."),
        ("SEMANTIC_SEARCH_ENABLED", "2", "SEMANTIC_SEARCH_ENABLED must be true or false, not '2'."),
        (
            "EMBEDDING_WORKER_INTERVAL",
            "-1",
            "EMBEDDING_WORKER_INTERVAL must be a whole number from 1 to",
        ),
        ("EMBEDDING_MAX_RETRIES", "0", "EMBEDDING_MAX_RETRIES must be a whole number from 1 to 1000, not '0'."),
        ("EMBEDDING_RETRY_BACKOFF_BASE", "1s", "EMBEDDING_RETRY_BACKOFF_BASE must be a whole number"),
        ("EMBEDDING_BATCH_SIZE", "", ""),
        ("EMBEDDING_CLEANUP_INTERVAL", "0", "EMBEDDING_CLEANUP_INTERVAL must be a whole number from 1 to"),
        ("EMBEDDING_CLEANUP_RETENTION_DAYS", "x", "EMBEDDING_CLEANUP_RETENTION_DAYS must be a whole number"),
        ("EMBEDDING_WORKER_TIMEOUT", "0", "EMBEDDING_WORKER_TIMEOUT must be a whole number from 1 to"),
        ("EMBEDDING_CONCURRENT_WORKERS", "none", "EMBEDDING_CONCURRENT_WORKERS must be a whole number"),
        ("OLLAMA_BASE_URL", "localhost:11434", "OLLAMA_BASE_URL must be an address like http://host:port/"),
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL must be an address like postgresql://host:port/"),
        (
            "DATABASE_URL",
            "postgresql://localhost:abc/x",
            "DATABASE_URL must be an address like postgresql://host:port/",
        ),
        ("REDIS_URL", "redis://localhost:6379/x", "REDIS_URL must be an address like redis://host:port/"),
        ("REDIS_URL", "valkey://localhost", "REDIS_URL must be an address like redis://host:port/"),
        ("OPENAI_BASE_URL", "ftp://x", "OPENAI_BASE_URL must be an address like http://host:port/"),
        ("EMBEDDING_BATCH_SIZE", "100000", "EMBEDDING_BATCH_SIZE must be a whole number from 1 to 10000"),
        ("REDIS_URL", "localhost", "REDIS_URL must be an address like redis://host:port/"),
        ("DJANGO_DEBUG", "false", "DJANGO_DEBUG is off: set DJANGO_SECRET_KEY to a long random string."),
    ],
)
def test_environment__malformed_value_stops_the_start_with_one_sentence(name, value, sentence):
    started = manage("check", **{name: value})

    assert (started.returncode != 0) == bool(sentence), started.stderr
    assert len(started.stderr.strip().splitlines()) == bool(sentence)
    assert sentence in started.stderr


def test_environment__blank_secret_key_is_none():
    started = manage("check", DJANGO_DEBUG="false", DJANGO_SECRET_KEY="  ")

    assert started.returncode != 0
    assert "set DJANGO_SECRET_KEY to a long random string." in started.stderr
