from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def module_server_folder() -> Iterator[Path]:
    yield from _folder()


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A temporary folder for servers.

    Not `tmp_path`: PostgreSQL must be another user where we are root, and each pytest session that starts beside ours
    closes the folder above all `tmp_path`s to other users again.
    """
    yield from _folder()


def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="embeddings-server-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
