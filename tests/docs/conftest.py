from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import services
from tests.docs import site as sites
from tests.docs.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The live site, for all pages."""
    with services.folder() as folder, sites.running(folder) as running:
        yield running
