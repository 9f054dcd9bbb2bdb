"""Answers as OpenAI gives them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from embeddings.kept import Kept


def vectors(made: Sequence[Kept], model_id: str, *, is_base64: bool) -> dict[str, Any]:
    """The vectors in the order of the inputs, and the tokens of all inputs, whether they were paid now or before."""
    tokens = sum(each.tokens for each in made)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(each) if is_base64 else each.floats}
            for index, each in enumerate(made)
        ],
        "model": model_id,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def models(names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """All (name, alias)."""
    return {"object": "list", "data": [model(name, alias) for name, alias in names]}


def model(name: str, alias: str) -> dict[str, Any]:
    """One name that may be asked for, owned by the provider with the alias; nobody knows when it was made."""
    return {"id": name, "object": "model", "created": 0, "owned_by": alias}


def _encoded(kept: Kept) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(kept.vector).decode()
