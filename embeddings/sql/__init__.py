"""SQL that was measured to matter, one named file a statement; each opens with what it is for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def load(name: str) -> str:
    """The statement in `name`.sql."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
