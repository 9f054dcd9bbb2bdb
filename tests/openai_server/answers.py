"""The body of a good answer, and of the bad ones that faults ask for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.openai_server.faults import FaultKind
from tests.openai_server.protocol import EmbeddingsRequest
from tests.openai_server.vectors import Vector, expected_vector


def answer(request: EmbeddingsRequest, fault: FaultKind | None = None) -> dict[str, Any]:
    """The embeddings object of `request`."""
    vectors = [expected_vector(item, request.model, request.dimensions) for item in request.inputs]
    return {
        "object": "list",
        "model": request.model,
        "data": _spoiled_data(_data(_spoiled(vectors, fault), as_base64=request.base64), fault),
        "usage": {"prompt_tokens": request.tokens, "total_tokens": request.tokens},
    }


def _spoiled(vectors: list[Vector], fault: FaultKind | None) -> list[Vector]:
    if fault == "wrong_count":
        return vectors[:-1]
    if fault == "wrong_dimensions":
        return [vector[:-1] for vector in vectors]
    if fault == "nan":
        return [np.full_like(vectors[0], np.nan), *vectors[1:]]
    return vectors


def _data(vectors: Sequence[Vector], *, as_base64: bool) -> list[dict[str, Any]]:
    return [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_base64 else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]


def _spoiled_data(data: list[dict[str, Any]], fault: FaultKind | None) -> list[dict[str, Any]]:
    if fault == "reversed":
        return data[::-1]
    if fault == "no_index":
        return [{name: value for name, value in item.items() if name != "index"} for item in data]
    return data
