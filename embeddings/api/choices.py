"""Fields of choices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def none_of(choices: Iterable[str]) -> dict[str, Any]:
    """The error messages of such a field: they say what there is to choose."""
    return {"invalid_choice": f'"{{input}}" is none of {", ".join(choices)}.'}
