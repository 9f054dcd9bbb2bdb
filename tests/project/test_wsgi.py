from __future__ import annotations

import os
import subprocess
import sys

import pytest


def loaded(**environment: str) -> tuple[str, str]:
    """What a fresh web process says about its local model, and what it logs."""
    code = "import project.wsgi; from embeddings.providers import local; print(local._loaded is not None)"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings", **environment},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip(), run.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"EMBEDDING_PROVIDER": "local"}, "True"),
        ({"EMBEDDING_PROVIDER": "local", "SEMANTIC_SEARCH_ENABLED": "false"}, "False"),
        ({"EMBEDDING_PROVIDER": "dummy"}, "False"),
    ],
)
def test_wsgi__has_the_model_before_it_serves(environment, expected):
    assert loaded(**environment) == (expected, "")


def test_wsgi__serves_with_a_provider_that_cannot_be_used():
    ready, logged = loaded(EMBEDDING_PROVIDER="local", EMBEDDING_MODEL="other")

    assert ready == "False"
    assert "Search by meaning is not possible yet" in logged
