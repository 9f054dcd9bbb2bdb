"""Where an installed package keeps its files."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def folder(package: str) -> Path:
    """The package's folder, found without importing it: an import may warn, make folders or start things."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"The package {package} is not installed: run `make install`.", name=package)
    return Path(spec.submodule_search_locations[0])
