from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services


@pytest.fixture(scope="module")
def module_server_folder() -> Iterator[Path]:
    with services.folder() as folder:
        yield folder
