"""Read the JSON of an embeddings response."""

from __future__ import annotations

import array
import base64
import sys
from typing import Any


class UnreadableResponse(ValueError):
    """The response is not what the protocol says."""


def read_vectors(body: Any, count: int) -> list[Any]:
    """The vectors of `count` inputs in the order of the inputs, of whatever length they came.

    Ordered by each item's `index`; an item without one counts as in its place (protobuf gateways drop a 0).
    Vectors are float32 arrays, or lists where numpy is not installed. Raises UnreadableResponse.
    """
    try:
        items = body["data"]
        if len(items) != count:
            raise UnreadableResponse(f"{len(items)} vectors for {count} inputs")
        by_index = {item.get("index", position): item["embedding"] for position, item in enumerate(items)}
        return [_floats(by_index[index]) for index in range(count)]
    except UnreadableResponse:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise UnreadableResponse("something else than a list of vectors") from exc


def read_tokens(body: Any) -> int | None:
    """The tokens that are billed; None where the server does not say."""
    usage = body.get("usage")
    tokens = usage.get("total_tokens", usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else None


def _floats(encoded: str | list[float]) -> Any:
    """A list of numbers, or the base64 of little-endian float32 values, whichever the server chose to send."""
    if isinstance(encoded, str):
        floats = array.array("f", base64.b64decode(encoded, validate=True))
        if sys.byteorder == "big":
            floats.byteswap()
    else:
        floats = array.array("f", encoded)
    try:
        import numpy as np
    except ImportError:
        return floats.tolist()
    return np.frombuffer(floats, dtype=np.float32)
